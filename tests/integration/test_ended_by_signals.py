"""SIGTERM and SIGHUP end a run over files as Ctrl-C does: nothing half-written is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.console import ended_by_signals
from edge.contract import SAMPLE_RATE, Floats
from tests.fakes import ROOT

COMMANDS = {
    "edge.cli": ["--mic", "file:{takes}/long.wav", "--offline", "--record", "{out}/long.csv"],
    "edge.batch": ["{takes}", "--out", "{out}"],
}


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory, demo: Floats) -> Path:
    folder = tmp_path_factory.mktemp("takes")
    soundfile.write(folder / "long.wav", np.tile(demo, 200), SAMPLE_RATE)
    return folder


def begin(
    module: str, takes: Path, out: Path, hup: object = signal.SIG_DFL
) -> subprocess.Popen[str]:
    """The command, once it has begun to write."""
    arguments = [text.format(takes=takes, out=out) for text in COMMANDS[module]]
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, hup),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    # Only once its buffer was written: the file is there a moment before it is guarded.
    while not any(p.stat().st_size for p in out.glob(".*.part")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("module", COMMANDS)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_that_ends_a_run_over_files_leaves_nothing_half_written(
    module: str, number: signal.Signals, status: int, takes: Path, tmp_path: Path
) -> None:
    process = begin(module, takes, tmp_path)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == status
    assert "stopped" in stderr
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_a_hangup_that_nohup_ignores_stays_ignored(takes: Path, tmp_path: Path) -> None:
    process = begin("edge.batch", takes, tmp_path, signal.SIG_IGN)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_the_handlers_are_put_back() -> None:
    # Other tests of this process may have left handlers of a live run.
    found = [signal.signal(name, signal.SIG_DFL) for name in (signal.SIGTERM, signal.SIGHUP)]
    try:
        with pytest.raises(SystemExit), ended_by_signals():
            signal.raise_signal(signal.SIGTERM)
        for name in (signal.SIGTERM, signal.SIGHUP):
            assert signal.getsignal(name) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, found[0])
        signal.signal(signal.SIGHUP, found[1])
