"""The samples of several channels to the one channel that the voice is on."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from edge.audio.resample import Resampler
from edge.contract import SAMPLE_RATE, Floats
from edge.features import Features
from edge.speech_gate import SpeechGate

log = logging.getLogger(__name__)

ENOUGH = 60
"""Faces (1 s) of speech on a channel after which the question is settled."""
LONGEST = 30
"""Seconds of a recording after which it is settled in any case."""
MOST = 8
"""Channels that are listened to; more of them are an array, whose first ones hear as well."""
SAME_DB = 1.0
"""A channel is only better than an earlier one if it is louder by this."""


class VoiceChannel:
    """Listens to every channel until one of them has spoken for a second."""

    def __init__(self, channels: int, rate: int) -> None:
        heard = min(channels, MOST)
        self._resamplers = [Resampler(rate) for _ in range(heard)] if rate != SAMPLE_RATE else None
        self._features = [Features() for _ in range(heard)]
        self._gates = [SpeechGate() for _ in range(heard)]
        self._faces, self._power = [0] * heard, [0.0] * heard
        self.index = 0
        """The channel that has had the most speech so far, from 0."""
        self.settled = heard == 1

    def listen(self, samples: Floats) -> None:
        """Take in (n, channels) samples in [-1, 1] at the rate of the recording."""
        for i, (features, gate) in enumerate(zip(self._features, self._gates, strict=True)):
            one = np.ascontiguousarray(samples[:, i])
            if self._resamplers:
                one = self._resamplers[i].push(one)
            for _, mels, level in features.push(one):
                if gate.speaks(mels):
                    self._faces[i] += 1
                    self._power[i] += 10 ** (level / 10)
        for i, power in enumerate(self._power):
            if power > self._power[self.index] * 10 ** (SAME_DB / 10):
                self.index = i
        self.settled = max(self._faces) >= ENOUGH


def one_channel(blocks: Iterator[Floats], rate: int, channels: int, name: str) -> Iterator[Floats]:
    """(n,) samples of the channel with the voice; the first ``LONGEST`` seconds are held for it."""
    voice = VoiceChannel(channels, rate)
    held: list[Floats] = []
    for block in blocks:
        held.append(block)
        voice.listen(block)
        if voice.settled or sum(map(len, held)) >= LONGEST * rate:
            break
    if voice.index:
        log.info("%s: the voice is on channel %d of %d", name, voice.index + 1, channels)
    for block in held:
        yield np.ascontiguousarray(block[:, voice.index])
    held.clear()
    for block in blocks:
        yield np.ascontiguousarray(block[:, voice.index])
