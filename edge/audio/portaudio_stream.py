"""One opened PortAudio input: blocks of samples, when each was captured, and whether it is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from edge.audio.audio_file import clean
from edge.audio.devices import DeviceChoice
from edge.audio.fresh_queue import FreshQueue
from edge.audio.resample import Resampler
from edge.audio.voice_channel import VoiceChannel
from edge.contract import SAMPLE_RATE, Floats
from edge.realtime import first_in_line

Clock = Callable[[], float]

LOST, FIRST = 0.5, 3.0
"""Seconds without a callback after which a stream counts as lost: while running (bursts behind
PulseAudio reach 80 ms) and for the first one (up to 1.9 s was measured)."""


class ArrivalClock:
    """When blocks arrived to when their samples were captured: late in bursts, never early.

    The least delay of the last blocks is taken as none at all. So a device clock that drifts is
    followed without a jump, and a loss inside the device is forgotten after 0.3 s.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._delays: deque[float] = deque(maxlen=32)

    def captured_at(self, end: int, arrived: float) -> float:
        """Time of sample ``end`` of a block that arrived then; call once a block."""
        self._delays.append(arrived - end / self._rate)
        return end / self._rate + min(self._delays)


class LevelMeter:
    """Takes a constant offset (DC) off a stream, which would pass for loudness."""

    SHARE = 0.05
    """Of the way a block; 10 ms blocks follow in 0.2 s and leave 60 Hz and above alone."""

    def __init__(self) -> None:
        self._offset = 0.0

    def push(self, samples: Floats) -> Floats:
        """Samples without their offset; it moves along a ramp, so that no step is heard."""
        then = self._offset
        self._offset += (float(samples.mean()) - then) * self.SHARE
        return samples - np.linspace(then, self._offset, len(samples), dtype=np.float32)


class Opening:
    """A stream from one opening to its loss; ``queue`` gets (this, samples, first, arrived)."""

    def __init__(
        self,
        sounddevice: Any,
        choice: DeviceChoice,
        voice: VoiceChannel,
        queue: FreshQueue[Any],
        clock: Clock,
        realtime: bool,
    ) -> None:
        self._queue, self._clock, self._realtime = queue, clock, realtime
        self._channel, self.rate, self._next = choice.channel, choice.rate, 0
        self._voice = voice
        self.resampler = None if choice.rate == SAMPLE_RATE else Resampler(choice.rate)
        self.arrivals, self.level = ArrivalClock(choice.rate), LevelMeter()
        self.offset: int | None = None
        """Where sample 0 of this stream is on the 16 kHz axis, once known."""
        self.heard_at, self._patience = clock(), FIRST
        self._stream = sounddevice.InputStream(
            device=choice.device,
            channels=choice.channels,
            samplerate=choice.rate,
            blocksize=choice.rate // 100,
            dtype="float32",
            latency="low",
            callback=self._heard,
        )
        try:
            self._stream.start()
        except Exception:
            self._stream.close()
            raise

    def _heard(self, data: Floats, frames: int, when: Any, status: Any) -> None:
        # PortAudio reuses ``data``, so it is copied; everything else happens in the worker.
        now = self._clock()
        self._queue.put((self, data.copy(), self._next, now))
        self._next += frames
        self.heard_at, self._patience = now, LOST
        if self._realtime:
            self._realtime = False
            first_in_line()

    def mono(self, samples: Floats) -> Floats:
        """The channel asked for, or else the one with the voice, of (n, channels) samples."""
        if self._channel is not None:
            return clean(samples[:, self._channel - 1])
        samples = clean(samples.ravel()).reshape(samples.shape)
        if not self._voice.settled:
            self._voice.listen(samples)
        return np.ascontiguousarray(samples[:, self._voice.index])

    @property
    def lost(self) -> bool:
        """``active`` alone does not tell: it stays true while a source is suspended."""
        return not self._stream.active or self._clock() - self.heard_at > self._patience

    def close(self) -> None:
        """``abort``, because ``stop`` was seen to hang for 18 s on a suspended source."""
        try:
            self._stream.abort()
        finally:
            self._stream.close()
