"""Log lines as journald likes them, and the line a minute."""

import io
import logging
import os
import sys

import numpy as np
import pytest

from edge.contract import BlendshapeFrame
from edge.service.logs import EveryMinute, JournalFormatter, LineFormatter, in_journal, set_up_logs

FACE = BlendshapeFrame(np.zeros(52, np.float32), 0, 0.0)


class Stats:
    faces = rested = 0

    def latency_ms(self):
        return 7.14, 9.86


class Source:
    dropped = 0


def test_one_line_a_minute_is_logged_and_trouble_is_a_warning(caplog):
    caplog.set_level(logging.INFO)
    now, stats, source = [0.0], Stats(), Source()
    minute = EveryMinute(stats, source, lambda: now[0])
    for dropped in (0, 5):
        source.dropped += dropped
        for _ in range(3601):
            stats.faces += 1
            now[0] += 1 / 60
            minute.send(FACE)
    minute.close()
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "WARNING"]
    assert caplog.messages[1].endswith(
        "60.0 faces/s, latency p50 7.1 ms, p99 9.9 ms, 0 at rest, 5 dropped"
    )


def record(level, text):
    return logging.LogRecord("edge", level, "", 0, text, (), None)


@pytest.mark.parametrize(
    ("level", "priority"), [(logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6)]
)
def test_the_journal_gets_a_priority_before_every_line(level, priority):
    failed = record(level, "one")
    failed.exc_text = "two\nthree"
    text = JournalFormatter("%(message)s").format(failed)
    assert text == f"<{priority}>one\n<{priority}>two\n<{priority}>three"


def test_a_name_with_a_newline_forges_no_line():
    forged = record(logging.INFO, "bundle.yaml\n<6>all is well\x1b[2J\u2028")
    for formatter in (JournalFormatter("%(message)s"), LineFormatter("%(message)s")):
        assert "bundle.yaml\\n<6>all is well\\x1b[2J\\u2028" in formatter.format(forged)
        assert len(formatter.format(forged).splitlines()) == 1


def test_the_journal_is_known_by_its_very_file(tmp_path):
    with (tmp_path / "log").open("w") as stream:
        stat = os.fstat(stream.fileno())
        here = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
        assert in_journal(stream, here)
        assert not in_journal(stream, {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino + 1}"})
        assert not in_journal(stream, {})


def test_logs_outside_the_journal_name_the_program_and_come_once(monkeypatch):
    ours = logging.getLogger("edge")
    before, level = ours.handlers, ours.level
    try:
        set_up_logs({})
        set_up_logs({})
        monkeypatch.setattr(sys, "stderr", now := io.StringIO())
        logging.getLogger("edge.outputs").warning("cannot send")
    finally:
        ours.handlers = before
        ours.setLevel(level)
    assert now.getvalue() == "edge-run: cannot send\n"
