"""The emotion in the voice, as the generator hears it: a name, how likely, how pleasant, how sure.

The generator gives a mean on the unit sphere and a log-variance (DEEPTalk's embedding of speech);
the bundle says which direction of the sphere means what.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.contract import FPS, Floats
from edge.emotion import load_valence

EVERY = 6
"""Faces between two looks: an emotion does not change faster than ten times a second."""
SHARE = EVERY / (0.5 * FPS)
"""Of the way a look, which smooths over 0.5 s; the generator listens over 1.5 s already."""
HOLD = 10
"""Looks (1 s) that another emotion must lead before the face may follow."""
MOST = 0.8
"""Intensity of a face that follows a voice heard without any doubt."""


class VoiceEmotion:
    """What the last seconds of speech felt like."""

    def __init__(
        self,
        names: Sequence[str],
        weight: Floats,
        bias: Floats,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        """``names`` of E emotions, ``weight`` (E, D) and ``bias`` (E,) that read them.

        At a ``temperature`` above 0 a face follows an emotion drawn from the distribution that was
        heard, by ``seed``; what is reported stays the likeliest.
        """
        self._names, self._weight, self._bias = list(names), weight, bias
        self._valence = np.array([load_valence()[name] for name in names], np.float32)
        self._chances = np.full(len(names), 1 / len(names), np.float32)
        self._heard = np.zeros((2, weight.shape[1]), np.float32)
        self._temperature = np.float32(temperature)
        self._random = np.random.default_rng(seed)
        self._led = 0
        self._leader = self._followed = ""
        self.uncertainty = 0.0
        """Mean standard deviation of the embedding, whose means lie on the unit sphere."""

    def logits(self, emotion: Floats) -> Floats:
        """(E,) what the generator's output (..., 2 D) says at this very moment."""
        return self._read(_unit(emotion.reshape(2, -1)[0]))

    def _read(self, mean: Floats) -> Floats:
        read: Floats = self._weight @ mean + self._bias
        return read

    def update(self, emotion: Floats) -> None:
        """One look at the generator's output (..., 2 D), while somebody speaks."""
        mean, log_variance = emotion.reshape(2, -1)
        deviation = np.exp(0.5 * np.clip(log_variance, -20, 5))
        self._heard[0], self._heard[1] = _unit(mean), deviation
        self._chances += (_softmax(self.logits(emotion)) - self._chances) * np.float32(SHARE)
        self.uncertainty += (float(deviation.mean()) - self.uncertainty) * SHARE
        leader = self._names[int(self._chances.argmax())]
        self._led = self._led + 1 if leader == self._leader else 1
        self._leader = leader

    def follow(self) -> tuple[str, float] | None:
        """Emotion and intensity to turn the face to; ``None`` where it should stay as it is."""
        if self._led < HOLD or self._leader == self._followed:
            return None
        self._followed, chances = self._leader, self._chances
        if self._temperature:
            mean, deviation = self._heard
            noise = self._random.standard_normal(len(mean), np.float32)
            chances = _softmax(self._read(_unit(mean + self._temperature * deviation * noise)))
        return self._names[int(chances.argmax())], MOST * float(chances.max())

    def forget(self) -> None:
        """Follow anew from the next look on."""
        self._followed = ""

    def describe(self) -> dict[str, float | str]:
        """Plain data for the status: name, chance 0..1, valence -1..1, uncertainty."""
        return {
            "name": self._names[int(self._chances.argmax())],
            "chance": round(float(self._chances.max()), 3),
            "valence": round(float(self._chances @ self._valence), 3),
            "uncertainty": round(self.uncertainty, 4),
        }


def _unit(mean: Floats) -> Floats:
    """On the sphere, where the embedding's means lie."""
    there: Floats = mean / max(float(np.linalg.norm(mean)), 1e-6)
    return there


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max())
    chances: Floats = weights / weights.sum()
    return chances
