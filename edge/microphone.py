"""A microphone to ``AudioBlock``, opened again for as long as it takes whenever it is lost."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Any

from edge.audio import clean
from edge.capture import Clock, FreshQueue
from edge.contract import SAMPLE_RATE, AudioBlock, Floats, InputError, MissingError
from edge.resample import Resampler

log = logging.getLogger(__name__)

STALLED_S = 1.0
"""Callbacks older than this mean that the microphone is gone, whatever PortAudio says: behind Pulse
a suspended source stays ``active``."""
FIRST_S = 3.0
"""The first callback may take longer: 1.9 s were measured on Pulse's null sink."""
RETRY_S = 1.0
WATCH_S = 0.25


@dataclass(frozen=True, slots=True)
class Choice:
    """What is opened, and why it was chosen."""

    device: str | int | None
    """As PortAudio takes it."""
    name: str
    rate: int
    """Hz; the device's own where it does not take 16 kHz."""
    channels: int
    """Opened together; the first is heard."""

    def __str__(self) -> str:
        resampled = "" if self.rate == SAMPLE_RATE else ", resampled to 16 kHz"
        first = "" if self.channels == 1 else f", first of {self.channels} channels"
        return f"'{self.name}' at {self.rate} Hz{resampled}{first}"


@dataclass(frozen=True, slots=True)
class _Opening:
    """One time that the device was opened."""

    base: int
    """16 kHz index of its first sample."""
    resampler: Resampler | None


class Microphone:
    """A PortAudio input and a thread that watches it.

    All calls into PortAudio but the first come from that thread, because opening can take seconds
    and faces must not wait. While there is no microphone, ``read`` finds nothing.
    """

    def __init__(
        self, mic: str, depth: int, wait: bool = False, clock: Clock = time.monotonic
    ) -> None:
        """``mic`` is ``default``, a name or an index; ``depth`` counts blocks of 10 ms.

        Raises ``InputError`` if it cannot be opened now, unless ``wait``: then it is tried until it
        can. ``MissingError`` without PortAudio.
        """
        self._mic, self._clock, self._began = mic, clock, clock()
        self._queue: FreshQueue[tuple[_Opening, AudioBlock]] = FreshQueue(depth)
        self._stream: Any = None
        self._heard_at = clock()
        self._next = 0  # 16 kHz index after the last block handed out
        self.reconnects = 0
        """How often a lost microphone was opened again."""
        self.state = "waiting"
        """``waiting`` for a device, or ``open``."""
        self._sounddevice = import_sounddevice()
        try:
            self._open()
        except InputError as error:
            if not wait:
                raise
            log.warning("%s; trying again every %g s", error, RETRY_S)
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="microphone", daemon=True)
        self._watcher.start()

    def _open(self) -> None:
        choice = choose(self._sounddevice, self._mic)
        # Time went on without audio; the jump in sample indices tells the pipeline how long.
        elapsed = round((self._clock() - self._began) * SAMPLE_RATE)
        opening = _Opening(
            max(elapsed, self._next) if self._next else 0,
            None if choice.rate == SAMPLE_RATE else Resampler(choice.rate),
        )
        count = 0

        def heard(data: Floats, frames: int, when: Any, status: Any) -> None:
            # PortAudio reuses ``data``, so it is copied; everything else happens in the worker.
            nonlocal count
            self._heard_at = self._clock()
            self._queue.put((opening, AudioBlock(data[:, 0].copy(), count, self._heard_at)))
            count += frames

        try:
            self._stream = self._sounddevice.InputStream(
                device=choice.device,
                channels=choice.channels,
                samplerate=choice.rate,
                blocksize=choice.rate // 100,
                dtype="float32",
                latency="low",
                callback=heard,
            )
            self._stream.start()
        except self._sounddevice.PortAudioError as error:
            self._drop()
            raise InputError(
                f"microphone '{choice.name}' cannot be opened ({error}); is it in use elsewhere?"
            ) from error
        self._heard_at = self._clock() + FIRST_S - STALLED_S
        self.state = "open"
        log.info("microphone %s", choice)

    def _watch(self) -> None:
        while not self._closing.wait(WATCH_S if self._stream else RETRY_S):
            if self._stream is None:
                self._reopen()
            elif not self._stream.active or self._clock() - self._heard_at > STALLED_S:
                log.warning("microphone lost; trying again every %g s", RETRY_S)
                self._drop()

    def _reopen(self) -> None:
        # PortAudio lists devices only when it starts, so a new one is invisible until it restarts.
        self._sounddevice._terminate()
        self._sounddevice._initialize()
        try:
            self._open()
            self.reconnects += 1
        except (InputError, ValueError) as error:
            log.debug("%s", error)

    def _drop(self) -> None:
        self.state = "waiting"
        stream, self._stream = self._stream, None
        if stream is not None:
            # ``stop`` waits for buffers that never come: 18 s on a suspended source.
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)

    @property
    def dropped(self) -> int:
        """Blocks forgotten because nobody fetched them in time."""
        return self._queue.dropped

    def read(self, timeout: float) -> AudioBlock | None:
        """The next block at 16 kHz; ``None`` if none came in ``timeout`` seconds."""
        if (got := self._queue.get(timeout)) is None:
            return None
        opening, block = got
        samples, start = block.samples, block.start
        if opening.resampler is not None:
            # Blocks forgotten before the resampler leave its count; put the gap back.
            start = opening.resampler.skip_to(start)
            samples = opening.resampler.push(clean(samples))
        start = max(opening.base + start, self._next)
        self._next = start + len(samples)
        return AudioBlock(samples, start, block.captured_at)

    def close(self) -> None:
        """Release the device."""
        self._closing.set()
        self._watcher.join(2.0)
        self._drop()


def choose(sounddevice: Any, mic: str) -> Choice:
    """The device that ``default``, a name or an index means.

    A name that PortAudio does not know may be a Pulse or PipeWire source. PortAudio shows those as
    one device, ``pulse``; the environment variable ``PULSE_SOURCE`` picks one.
    """
    device: str | int | None = mic
    if mic == "default":
        device = None
    elif mic.isdecimal():
        device = int(mic)
    try:
        found = sounddevice.query_devices(device, "input")
    except (ValueError, sounddevice.PortAudioError) as error:
        if mic not in pulse_sources():
            what = "no default microphone" if device is None else f"no microphone '{mic}'"
            raise InputError(f"{what}; see edge-run --list-mics, or use --mic file:PATH") from error
        os.environ["PULSE_SOURCE"] = mic
        device = "pulse"
        found = sounddevice.query_devices(device, "input") | {"name": mic}
    for rate in (SAMPLE_RATE, int(found["default_samplerate"])):
        for channels in (1, int(found["max_input_channels"])):
            try:
                sounddevice.check_input_settings(device, channels, "float32", samplerate=rate)
            except sounddevice.PortAudioError:
                continue
            return Choice(device, found["name"], rate, channels)
    raise InputError(
        f"microphone '{found['name']}' takes neither 16 kHz nor its own rate; see --list-mics"
    )


def pulse_sources() -> list[str]:
    """Names of the sources that PulseAudio or PipeWire offers; empty where there is neither."""
    try:
        listed = subprocess.run(
            ["pactl", "list", "short", "sources"], capture_output=True, text=True, timeout=2
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [row.split("\t")[1] for row in listed.stdout.splitlines() if "\t" in row]


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


def list_microphones() -> list[dict[str, Any]]:
    """Every input: index (``None`` for a Pulse source), name, channels, rate in Hz, default."""
    sounddevice = import_sounddevice()
    default = sounddevice.default.device[0]
    found = [
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
    if any(mic["name"] == "pulse" for mic in found):
        rows = [{"index": None, "name": name} for name in pulse_sources()]
        found += [row | {"channels": 1, "rate": SAMPLE_RATE, "default": False} for row in rows]
    return found
