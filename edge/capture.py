"""A microphone, a file or standard input to ``AudioBlock`` at 16 kHz."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

import numpy as np

from edge.audio import clean, stream_audio
from edge.contract import SAMPLE_RATE, AudioBlock, Floats, InputError, MissingError
from edge.resample import Resampler

BLOCK = SAMPLE_RATE // 100
"""Samples asked of a microphone at a time (10 ms)."""

Clock = Callable[[], float]


class Source(Protocol):
    """Where audio comes from."""

    @property
    def dropped(self) -> int:
        """Blocks forgotten because nobody fetched them in time."""

    def read(self, timeout: float) -> AudioBlock | None:
        """The next block, or ``None`` if none came in ``timeout`` seconds.

        Raises ``EOFError`` when there will never be one again.
        """

    def close(self) -> None:
        """Release the device or file."""


class FreshQueue:
    """Hands blocks from the audio thread to the worker, forgetting the oldest when full."""

    def __init__(self, depth: int) -> None:
        self._blocks: deque[AudioBlock] = deque(maxlen=depth)
        self._ready = threading.Condition()
        self._ended = False
        self.dropped = 0

    def put(self, block: AudioBlock) -> None:
        """Called from the audio thread: no waiting, nothing but the hand-over."""
        with self._ready:
            self.dropped += len(self._blocks) == self._blocks.maxlen
            self._blocks.append(block)
            self._ready.notify()

    def end(self) -> None:
        """No more blocks will come."""
        with self._ready:
            self._ended = True
            self._ready.notify()

    def get(self, timeout: float) -> AudioBlock | None:
        """Oldest block still held; ``None`` if none comes in time, ``EOFError`` after the end."""
        with self._ready:
            if not self._ready.wait_for(lambda: self._blocks or self._ended, timeout):
                return None
            if self._blocks:
                return self._blocks.popleft()
            raise EOFError


class Microphone:
    """A PortAudio input. Opens at 16 kHz if the device can, else at its own rate and resamples."""

    def __init__(self, device: str | int | None, depth: int, clock: Clock = time.monotonic) -> None:
        """``device`` is a name, an index or ``None`` for the default; ``depth`` counts blocks."""
        sounddevice = import_sounddevice()
        try:
            found = sounddevice.query_devices(device, "input")
        except (ValueError, sounddevice.PortAudioError) as error:
            what = "no default microphone" if device is None else f"no microphone '{device}'"
            raise InputError(f"{what}; see edge-run --list-mics, or use --mic file:PATH") from error
        self._clock, self._queue, self._start = clock, FreshQueue(depth), 0
        self.name: str = found["name"]
        rate = _rate(sounddevice, device, found)
        self._resampler = None if rate == SAMPLE_RATE else Resampler(rate)
        try:
            self._stream = sounddevice.InputStream(
                device=device,
                channels=1,
                samplerate=rate,
                blocksize=rate // 100,
                dtype="float32",
                latency="low",
                callback=self._heard,
            )
            self._stream.start()
        except sounddevice.PortAudioError as error:
            raise InputError(
                f"microphone '{self.name}' cannot be opened ({error}); is another program using it?"
            ) from error

    def _heard(self, data: Floats, frames: int, when: Any, status: Any) -> None:
        # PortAudio reuses ``data``, so it is copied; everything else happens in the worker.
        samples = data[:, 0].copy()
        self._queue.put(AudioBlock(samples, self._start, self._clock()))
        self._start += frames

    @property
    def dropped(self) -> int:
        """Blocks forgotten because nobody fetched them in time."""
        return self._queue.dropped

    def read(self, timeout: float) -> AudioBlock | None:
        """The next block at 16 kHz; ``None`` if none came in ``timeout`` seconds."""
        block = self._queue.get(timeout)
        if block is None or self._resampler is None:
            return block
        # Blocks dropped before the resampler leave its count; put the gap back on the 16 kHz axis.
        start = self._resampler.skip_to(block.start)
        return AudioBlock(self._resampler.push(clean(block.samples)), start, block.captured_at)

    def close(self) -> None:
        """Release the device. ``abort``, because ``stop`` can hang on a suspended source."""
        self._stream.abort()
        self._stream.close()


def import_sounddevice() -> Any:
    """The sounddevice module, or ``MissingError`` that says what to install."""
    try:
        import sounddevice
    except ImportError as error:
        raise MissingError("sounddevice is not installed: pip install sounddevice") from error
    except OSError as error:
        raise MissingError(
            "PortAudio is missing: apt install libportaudio2, or use --mic file:PATH"
        ) from error
    return sounddevice


def _rate(sounddevice: Any, device: str | int | None, found: dict[str, Any]) -> int:
    """16 kHz where the device takes it, else the device's own rate."""
    try:
        sounddevice.check_input_settings(device, 1, "float32", samplerate=SAMPLE_RATE)
    except sounddevice.PortAudioError:
        return int(found["default_samplerate"])
    return SAMPLE_RATE


def list_microphones() -> list[dict[str, Any]]:
    """Every input PortAudio offers: index, name, channels, default rate in Hz, and the default."""
    sounddevice = import_sounddevice()
    default = sounddevice.default.device[0]
    return [
        {
            "index": i,
            "name": d["name"],
            "channels": d["max_input_channels"],
            "rate": int(d["default_samplerate"]),
            "default": i == default,
        }
        for i, d in enumerate(sounddevice.query_devices())
        if d["max_input_channels"] > 0
    ]


class PacedFile:
    """An audio file that plays in real time, 10 ms at a time, then half a second of silence.

    The silence lets the mouth fall shut; without it the last faces would leave in one burst.
    """

    def __init__(self, path: str, clock: Clock = time.monotonic) -> None:
        self._blocks = _then_silence(file_blocks(path), SAMPLE_RATE // 2)
        self._clock, self._began = clock, clock()
        self._next: AudioBlock | None = next(self._blocks)
        self.dropped = 0

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
        self._queue, self._clock = FreshQueue(depth), clock
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


def open_source(mic: str, queue_ms: int) -> Source:
    """``default``, a name, an index, ``file:PATH`` or ``-`` to the source it means."""
    depth = max(1, queue_ms // 10)
    if mic == "-":
        return RawInput(depth)
    if mic.startswith("file:"):
        return PacedFile(mic.removeprefix("file:"))
    device: str | int | None = mic
    if mic == "default":
        device = None
    elif mic.isdecimal():
        device = int(mic)
    return Microphone(device, depth)
