"""Log records to standard error: as journald likes them there, as people do elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

from edge.contract import BlendshapeFrame, one_line
from edge.service.status_line import AudioCounts, FaceCounts, StatusLine

log = logging.getLogger(__name__)

MINUTE = 60.0

# sd-daemon(3): <3> error, <4> warning, <6> information, <7> debug.
PRIORITIES = {logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


class LineFormatter(logging.Formatter):
    """A record's text on one line: a file or bundle may have a name with a newline in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The message without the traceback, which keeps its lines."""
        record.message = one_line(record.message)
        return super().formatMessage(record)


class JournalFormatter(LineFormatter):
    """``<4>text``: journald adds time and name, and would take each line for a record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with its priority before every line."""
        mark = f"<{PRIORITIES.get(record.levelno, 3)}>"
        return mark + super().format(record).replace("\n", f"\n{mark}")


if TYPE_CHECKING:
    Stream = logging.StreamHandler[TextIO]
else:  # Python 3.10 does not know the brackets at run time
    Stream = logging.StreamHandler


class StandardError(Stream):
    """Writes to what ``sys.stderr`` is at that moment: tests replace and close it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.stream = sys.stderr
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Standard error is closed or full: nobody can be told, and a traceback has no reader."""


def set_up_logs(environ: Mapping[str, str] = os.environ, program: str = "edge-run") -> None:
    """Send what ``edge`` logs at INFO and above to standard error, as suits the reader there."""
    handler = StandardError()
    if in_journal(sys.stderr, environ):
        handler.setFormatter(JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(LineFormatter(f"{program}: %(message)s"))
    ours = logging.getLogger("edge")
    ours.handlers = [handler]
    ours.setLevel(logging.INFO)


def in_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Does ``stream`` end in the journal? JOURNAL_STREAM alone is inherited by every child."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):  # closed before Python began: None
        return False
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


class EveryMinute:
    """A sink that logs one line a minute, as a warning if something was lost."""

    def __init__(
        self, stats: FaceCounts, source: AudioCounts, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, now = clock, clock()
        self._report, self._next = StatusLine(stats, source, now), now + MINUTE

    def send(self, frame: BlendshapeFrame) -> None:
        """A face left; is a minute over?"""
        if (now := self._clock()) >= self._next:
            line, trouble = self._report.line(now)
            log.log(logging.WARNING if trouble else logging.INFO, "%s", line)
            self._next = now + MINUTE

    def close(self) -> None:
        """Nothing is held."""
