"""A file, standard input or a microphone to ``AudioBlock`` at 16 kHz."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

import numpy as np

from edge.audio.audio_file import stream_audio
from edge.audio.fresh_queue import FreshQueue
from edge.audio.microphone import Microphone
from edge.contract import SAMPLE_RATE, AudioBlock, Floats, InputError

BLOCK = SAMPLE_RATE // 100
"""Samples asked of a microphone at a time (10 ms)."""

Clock = Callable[[], float]


class Source(Protocol):
    """Where audio comes from."""

    @property
    def dropped(self) -> int:
        """Blocks forgotten because nobody fetched them in time."""

    @property
    def state(self) -> str:
        """``listening``, ``missing`` or ``lost``."""

    @property
    def reconnects(self) -> int:
        """Times it was opened again."""

    def read(self, timeout: float) -> AudioBlock | None:
        """The next block, or ``None`` if none came in ``timeout`` seconds.

        Raises ``EOFError`` when there will never be one again.
        """

    def close(self) -> None:
        """Release the device or file."""


class PacedFile:
    """An audio file that plays in real time, 10 ms at a time, then half a second of silence.

    The silence lets the mouth fall shut; without it the last faces would leave in one burst.
    """

    def __init__(
        self, path: str, clock: Clock = time.monotonic, channel: int | None = None
    ) -> None:
        self._blocks = _then_silence(file_blocks(path, BLOCK, channel), SAMPLE_RATE // 2)
        self._clock, self._began = clock, clock()
        self._next: AudioBlock | None = next(self._blocks)
        self.dropped = self.reconnects = 0
        self.state = "listening"

    def read(self, timeout: float) -> AudioBlock | None:
        """The next block once its last sample would have been heard."""
        if self._next is None:
            raise EOFError
        due = self._began + self._next.end / SAMPLE_RATE
        wait = due - self._clock()
        if wait > 0:
            time.sleep(min(wait, timeout))
            if wait > timeout:
                return None
        block = AudioBlock(self._next.samples, self._next.start, due)
        self._next = next(self._blocks, None)
        return block

    def close(self) -> None:
        """Let the file go."""
        self._next = None


def file_blocks(path: str, size: int = BLOCK, channel: int | None = None) -> Iterator[AudioBlock]:
    """A file in blocks of ``size`` samples; the last may be shorter. ``captured_at`` is 0.

    ``channel`` and errors as in ``stream_audio``.
    """
    start, left = 0, np.zeros(0, np.float32)
    for samples in stream_audio(path, channel):
        left = np.concatenate([left, samples])
        while len(left) >= size:
            yield AudioBlock(left[:size], start, 0.0)
            start, left = start + size, left[size:]
    if len(left):
        yield AudioBlock(left, start, 0.0)


def pipe_blocks(stream: BinaryIO | None = None) -> Iterator[AudioBlock]:
    """Raw samples as in ``RawInput``, as fast as they come; the writer waits for the reader."""
    start = 0
    for samples in _raw_samples(stream or _standard_input(), 2 * SAMPLE_RATE):
        yield AudioBlock(samples, start, 0.0)
        start += len(samples)
    if not start:
        raise InputError("--mic -: standard input ended without a sample; check what writes to it")


def offline_blocks(mic: str, channel: int | None = None) -> Iterator[AudioBlock]:
    """``file:PATH`` or ``-`` to blocks of about a second, as fast as they are asked for."""
    if mic == "-":
        _only_channel(channel)
        return pipe_blocks()
    return file_blocks(mic.removeprefix("file:"), SAMPLE_RATE, channel)


def _standard_input() -> BinaryIO:
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("--mic -: standard input is closed; pipe raw samples into it")
    return sys.stdin.buffer


def _only_channel(channel: int | None) -> None:
    if channel not in (None, 1):
        raise InputError(f"--mic - is one channel of raw samples and has no channel {channel}")


def _raw_samples(stream: BinaryIO, size: int) -> Iterator[Floats]:
    """(n,) samples of signed 16-bit little-endian mono, up to ``size`` bytes at a time."""
    odd = b""
    # read1-like: whatever the pipe holds, so that a slow writer does not delay a face.
    while data := os.read(stream.fileno(), size):
        data = odd + data
        whole = len(data) & ~1
        odd = data[whole:]
        yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)


def _then_silence(blocks: Iterator[AudioBlock], samples: int) -> Iterator[AudioBlock]:
    end = 0
    for block in blocks:
        end = block.end
        yield block
    for start in range(end, end + samples, BLOCK):
        yield AudioBlock(np.zeros(BLOCK, np.float32), start, 0.0)


class RawInput:
    """Raw signed 16-bit little-endian mono samples at 16 kHz, as ``arecord`` pipes them."""

    BACKLOG = 2.5
    """Seconds of audio that a pipe (64 KiB) may hold before the first read."""
    FASTER = 1.25
    """Seconds of audio a second, and more: no microphone, whose clock is off by 0.01 % at most."""

    def __init__(
        self, depth: int, stream: BinaryIO | None = None, clock: Clock = time.monotonic
    ) -> None:
        self._file = stream or _standard_input()
        self._queue: FreshQueue[AudioBlock] = FreshQueue(depth)
        self._clock, self._began, self._heard = clock, clock(), 0
        self.reconnects, self.state = 0, "listening"
        threading.Thread(target=self._listen, name="stdin", daemon=True).start()

    def _listen(self) -> None:
        for samples in _raw_samples(self._file, 2 * BLOCK):
            if not self._heard:
                self._began = self._clock()
            self._queue.put(AudioBlock(samples, self._heard, self._clock()))
            self._heard += len(samples)
        self._queue.end()

    @property
    def dropped(self) -> int:
        """Blocks forgotten because nobody fetched them in time."""
        return self._queue.dropped

    def read(self, timeout: float) -> AudioBlock | None:
        """The next block; ``EOFError`` once the pipe is closed and all was read.

        ``InputError`` if audio was lost because it comes faster than real time.
        """
        self._keep_up(self.BACKLOG)
        try:
            return self._queue.get(timeout)
        except EOFError:
            self._keep_up(0.5)
            raise

    def _keep_up(self, backlog: float) -> None:
        audio = self._heard / SAMPLE_RATE
        fast = audio > self.FASTER * (self._clock() - self._began) + backlog
        if fast and self.dropped:
            raise InputError(
                f"--mic -: audio comes faster than it can be heard, and {self.dropped} blocks of "
                "10 ms were lost; for a recording add --offline, else let it come in real time "
                "(ffmpeg -re)"
            )

    def close(self) -> None:
        """Nothing to release: the thread ends with the process."""


def open_source(
    mic: str,
    queue_ms: int,
    channel: int | None = None,
    wait: bool = False,
    realtime: bool = False,
) -> Source:
    """``file:PATH``, ``-`` or a microphone (see ``choose``) to the source it means.

    ``channel`` counts from 1; without it the channel with the voice is taken. ``wait`` and
    ``realtime`` are for microphones: go on without one that is not there yet, and put the audio
    thread first in line.
    """
    depth = max(1, queue_ms // 10)
    if mic == "-":
        _only_channel(channel)
        return RawInput(depth)
    if mic.startswith("file:"):
        return PacedFile(mic.removeprefix("file:"), channel=channel)
    return Microphone(mic, depth, channel, wait, realtime)
