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
from edge.contract import SAMPLE_RATE, AudioBlock

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

    def __init__(self, path: str, clock: Clock = time.monotonic) -> None:
        self._blocks = _then_silence(file_blocks(path), SAMPLE_RATE // 2)
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


def file_blocks(path: str, size: int = BLOCK) -> Iterator[AudioBlock]:
    """A file in blocks of ``size`` samples; the last may be shorter. ``captured_at`` is 0."""
    start, left = 0, np.zeros(0, np.float32)
    for samples in stream_audio(path):
        left = np.concatenate([left, samples])
        while len(left) >= size:
            yield AudioBlock(left[:size], start, 0.0)
            start, left = start + size, left[size:]
    if len(left):
        yield AudioBlock(left, start, 0.0)


def _then_silence(blocks: Iterator[AudioBlock], samples: int) -> Iterator[AudioBlock]:
    end = 0
    for block in blocks:
        end = block.end
        yield block
    for start in range(end, end + samples, BLOCK):
        yield AudioBlock(np.zeros(BLOCK, np.float32), start, 0.0)


class RawInput:
    """Raw signed 16-bit little-endian mono samples at 16 kHz, as ``arecord`` pipes them."""

    def __init__(
        self, depth: int, stream: BinaryIO | None = None, clock: Clock = time.monotonic
    ) -> None:
        self._file = stream or sys.stdin.buffer
        self._queue: FreshQueue[AudioBlock] = FreshQueue(depth)
        self._clock = clock
        self.reconnects, self.state = 0, "listening"
        threading.Thread(target=self._listen, name="stdin", daemon=True).start()

    def _listen(self) -> None:
        start, odd = 0, b""
        # read1-like: whatever the pipe holds, so that a slow writer does not delay a face.
        while data := os.read(self._file.fileno(), 2 * BLOCK):
            data = odd + data
            odd = data[len(data) & ~1 :]
            samples = np.frombuffer(data[: len(data) & ~1], "<i2").astype(np.float32) / np.float32(
                32768
            )
            self._queue.put(AudioBlock(samples, start, self._clock()))
            start += len(samples)
        self._queue.end()

    @property
    def dropped(self) -> int:
        """Blocks forgotten because nobody fetched them in time."""
        return self._queue.dropped

    def read(self, timeout: float) -> AudioBlock | None:
        """The next block; ``EOFError`` once the pipe is closed and all was read."""
        return self._queue.get(timeout)

    def close(self) -> None:
        """Nothing to release: the thread ends with the process."""


def open_source(
    mic: str, queue_ms: int, channel: int = 1, wait: bool = False, realtime: bool = False
) -> Source:
    """``file:PATH``, ``-`` or a microphone (see ``choose``) to the source it means.

    ``wait`` and ``realtime`` are for microphones: go on without one that is not there yet, and
    put the audio thread first in line.
    """
    depth = max(1, queue_ms // 10)
    if mic == "-":
        return RawInput(depth)
    if mic.startswith("file:"):
        return PacedFile(mic.removeprefix("file:"))
    return Microphone(mic, depth, channel, wait, realtime)
