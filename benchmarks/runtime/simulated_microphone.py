"""A microphone on a simulated clock: hours of audio and its faults, as fast as they go."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from benchmarks.runtime.sound_server import voice
from edge.audio.fresh_queue import FreshQueue
from edge.contract import SAMPLE_RATE, AudioBlock

BLOCK = SAMPLE_RATE // 100


class SimulatedMicrophone:
    """The demo voice from a device that drifts, bursts, is lost and breaks, on its own clock."""

    state = "listening"

    def __init__(self, hours: float, seed: int, watch: Callable[[float], None]) -> None:
        self.now = 0.0
        self._end, self._watch = hours * 3600, watch
        self._random, self._voice = random.Random(seed), voice(60)
        self._queue: FreshQueue[AudioBlock] = FreshQueue(12)
        self._n, self._period = 0, 0.01 * 1.0001  # 100 ppm slow
        self.lost = self.stalls = self.broken = self.reconnects = 0
        self._next = self._arrival()

    @property
    def dropped(self) -> int:
        """Blocks dropped."""
        return self._queue.dropped

    def clock(self) -> float:
        """Simulated seconds."""
        return self.now

    def _arrival(self) -> float:
        return (self._n + 1) * self._period + self._random.random() * 0.005

    def _deliver(self) -> None:
        samples = self._voice[self._n * BLOCK % (len(self._voice) - BLOCK) :][:BLOCK]
        dice = self._random.random()
        if dice < 2e-5:
            samples, self.broken = np.full(BLOCK, np.nan, np.float32), self.broken + 1
        captured = (self._n + 1) * self._period
        self._queue.put(AudioBlock(samples, self._n * BLOCK, captured))
        self._n += 1
        if 2e-5 <= dice < 5e-5:
            # Once in some minutes the device is away for up to 5 s.
            self._n += self._random.randrange(1, 500)
            self.lost += 1
        self._next = self._arrival()

    def read(self, timeout: float) -> AudioBlock | None:
        """As a real one, but the clock jumps instead of waiting."""
        if self.now >= self._end:
            raise EOFError
        if self._random.random() < 2e-5:
            self.now += self._random.uniform(0.02, 1.0)  # the machine had other things to do
            self.stalls += 1
        self._watch(self.now)
        till = self.now + timeout
        while self._next <= self.now:
            self._deliver()
        if not len(self._queue):
            if self._next > till:
                self.now = till + 1e-9
                return None
            self.now = self._next
            self._deliver()
        return self._queue.get(0)

    def close(self) -> None:
        """Nothing is held."""
