"""Files and pipes to blocks, and the queue between two threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.audio.capture import (
    FreshQueue,
    PacedFile,
    RawInput,
    Source,
    file_blocks,
    offline_blocks,
    pipe_blocks,
)
from edge.contract import SAMPLE_RATE, AudioBlock, InputError
from tests.fakes import DEMO, FakeClock

ROOT = Path(__file__).parents[1]


def read_all(source: Source) -> list[AudioBlock]:
    blocks = []
    while True:
        try:
            block = source.read(5.0)
        except EOFError:
            return blocks
        assert block is not None
        blocks.append(block)


def test_a_full_queue_forgets_the_oldest_and_counts_it() -> None:
    queue: FreshQueue[str] = FreshQueue(2)
    for word in "abc":
        queue.put(word)
    assert queue.dropped == 1
    assert [queue.get(0), queue.get(0), queue.get(0)] == ["b", "c", None]


def test_an_ended_queue_gives_what_it_holds_and_then_says_so() -> None:
    queue: FreshQueue[str] = FreshQueue(2)
    queue.put("last")
    queue.end()
    assert queue.get(0) == "last"
    with pytest.raises(EOFError):
        queue.get(0)


def test_the_blocks_of_a_file_are_all_of_it(demo: np.ndarray) -> None:
    blocks = list(file_blocks(str(DEMO), 1000))
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks]), demo)
    assert [b.start for b in blocks] == list(range(0, len(demo), 1000))


@pytest.fixture
def short(tmp_path: Path) -> str:
    path = tmp_path / "short.wav"
    soundfile.write(path, np.full(400, 0.25), SAMPLE_RATE)
    return str(path)


def test_a_paced_file_gives_each_block_when_it_would_have_been_heard(
    short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    monkeypatch.setattr("edge.audio.capture.time.sleep", sleep)
    began = clock.now
    source = PacedFile(short, clock)
    assert source.read(0.004) is None  # 10 ms have not gone by yet
    first = source.read(1.0)
    assert isinstance(first, AudioBlock)
    assert first.end == 160
    assert clock.now == pytest.approx(began + 0.01)
    assert first.captured_at == pytest.approx(began + 0.01)
    # A late reader is not made to wait again, and finds the time stamp of when it was due.
    clock.now += 0.2
    count = len(slept)
    second = source.read(1.0)
    assert second is not None
    assert len(slept) == count
    assert second.captured_at == pytest.approx(began + 0.02)


def test_a_paced_file_ends_with_half_a_second_of_silence(
    short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr("edge.audio.capture.time.sleep", lambda s: None)
    source = PacedFile(short, clock)
    clock.now += 100
    blocks = read_all(source)
    samples = np.concatenate([b.samples for b in blocks])
    assert samples[:400].min() == pytest.approx(0.25, abs=1e-4)
    assert len(samples) - 400 == SAMPLE_RATE // 2
    assert not samples[400:].any()


def test_raw_samples_survive_any_cut_of_the_pipe() -> None:
    wanted = np.arange(-500, 500, dtype="<i2")
    read, write = os.pipe()
    data = wanted.tobytes()
    with os.fdopen(read, "rb") as pipe:
        source = RawInput(1000, pipe)
        for cut in (data[:1], data[1:4], data[4:5], data[5:]):
            os.write(write, cut)
        os.close(write)
        blocks = read_all(source)
    heard = np.concatenate([b.samples for b in blocks])
    np.testing.assert_array_equal(heard * 32768, wanted.astype(np.float32))
    assert blocks[-1].end == 1000


def filled_pipe(data: bytes) -> int:
    """The end to read of a pipe into which a thread writes all of ``data`` as fast as it goes."""
    read, write = os.pipe()

    def fill() -> None:
        # The reader may have had enough.
        with suppress(BrokenPipeError), os.fdopen(write, "wb", buffering=0) as pipe:
            pipe.write(data)

    threading.Thread(target=fill, daemon=True).start()
    return read


def test_offline_a_pipe_waits_and_not_a_sample_is_lost(demo: np.ndarray) -> None:
    wanted = np.round(demo * 32767).astype("<i2")
    with os.fdopen(filled_pipe(wanted.tobytes()), "rb") as pipe:
        blocks = list(pipe_blocks(pipe))
    heard = np.concatenate([block.samples for block in blocks])
    np.testing.assert_array_equal(heard * 32768, wanted.astype(np.float32))
    assert blocks[-1].end == len(wanted)


def test_a_live_pipe_faster_than_real_time_says_so() -> None:
    with os.fdopen(filled_pipe(bytes(2 * 8 * SAMPLE_RATE)), "rb") as pipe:
        source = RawInput(12, pipe)
        with pytest.raises(InputError, match=r"comes faster than it can be heard, and \d+ blocks"):
            read_all(source)
        for thread in threading.enumerate():  # it reads on to the end, before the pipe is closed
            if thread.name == "stdin":
                thread.join(5)


def test_a_live_pipe_that_was_waiting_for_two_seconds_is_heard() -> None:
    clock = FakeClock()
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe:
        source = RawInput(12, pipe, clock)
        os.write(write, bytes(2 * 2 * SAMPLE_RATE))
        for _ in range(1000):
            clock.now += 0.01
            os.write(write, bytes(320))
            assert source.read(1.0) is not None
        os.close(write)
        read_all(source)


@pytest.mark.parametrize("channel", [2, 5])
def test_a_pipe_has_one_channel(channel: int) -> None:
    with pytest.raises(InputError, match=f"has no channel {channel}"):
        offline_blocks("-", channel)


def run_with(data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "edge.cli", "--mic", "-", *arguments]
    return subprocess.run(
        command, cwd=ROOT, input=data, capture_output=True, timeout=120, check=False
    )


def test_edge_run_records_every_face_of_a_pipe(tmp_path: Path, demo: np.ndarray) -> None:
    data = np.round(demo[: 8 * SAMPLE_RATE] * 32767).astype("<i2").tobytes()
    done = run_with(data, "--offline", "--record", str(tmp_path / "face.csv"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert len((tmp_path / "face.csv").read_text().splitlines()) == 1 + 480
    live = run_with(data, "--to", "json://127.0.0.1:9", "--control", "off")
    assert live.returncode == 66
    assert b"for a recording add --offline" in live.stderr
    assert b"Traceback" not in live.stderr
    empty = run_with(b"", "--offline")
    assert (empty.returncode, empty.stderr.count(b"\n")) == (66, 1)
