"""The generator's emotion output to a name, its probability, valence and uncertainty.

The generator gives a mean on the unit sphere and a log-variance (DEEPTalk's embedding of speech);
the bundle says which direction of the sphere is which emotion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.contract import FPS, Floats
from edge.emotion import load_valence

UPDATE_FRAMES = 6
"""Faces between two updates: an emotion does not change faster than ten times a second."""
UPDATE_WEIGHT = UPDATE_FRAMES / (0.5 * FPS)
"""Weight of an update in the running mean, of 0.5 s; the generator's own is of 1.5 s."""
LEAD_UPDATES = 10
"""Updates (1 s) that another emotion must lead before the face may follow."""
MAX_INTENSITY = 0.8
"""Intensity of a face that follows an emotion of probability 1."""


class VoiceEmotion:
    """Emotion of the last seconds of speech."""

    def __init__(
        self,
        names: Sequence[str],
        weight: Floats,
        bias: Floats,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        """``names`` of E emotions, ``weight`` (E, D) and ``bias`` (E,) of their logits.

        At a ``temperature`` above 0 a face follows an emotion sampled, by ``seed``, from the
        predicted distribution; what is reported stays the likeliest.
        """
        self._names, self._weight, self._bias = list(names), weight, bias
        self._valence = np.array([load_valence()[name] for name in names], np.float32)
        self._probabilities = np.full(len(names), 1 / len(names), np.float32)
        self._mean, self._deviation = np.zeros((2, weight.shape[1]), np.float32)
        self._temperature = np.float32(temperature)
        self._random = np.random.default_rng(seed)
        self._led = 0
        self._leader = self._followed = ""
        self.uncertainty = 0.0
        """Mean standard deviation of the embedding, whose means lie on the unit sphere."""

    def logits(self, emotion: Floats) -> Floats:
        """(E,) of the generator's output (..., 2 D), not averaged."""
        return self._logits(_unit(emotion.reshape(2, -1)[0]))

    def _logits(self, mean: Floats) -> Floats:
        logits: Floats = self._weight @ mean + self._bias
        return logits

    def update(self, emotion: Floats) -> None:
        """Take in the generator's output (..., 2 D), while there is speech."""
        mean, log_variance = emotion.reshape(2, -1)
        deviation = np.exp(0.5 * np.clip(log_variance, -20, 5))
        self._mean, self._deviation = _unit(mean), deviation
        change = _softmax(self.logits(emotion)) - self._probabilities
        self._probabilities += change * np.float32(UPDATE_WEIGHT)
        self.uncertainty += (float(deviation.mean()) - self.uncertainty) * UPDATE_WEIGHT
        leader = self._names[int(self._probabilities.argmax())]
        self._led = self._led + 1 if leader == self._leader else 1
        self._leader = leader

    def follow(self) -> tuple[str, float] | None:
        """Emotion and intensity to fade the face to; ``None`` where it should stay as it is."""
        if self._led < LEAD_UPDATES or self._leader == self._followed:
            return None
        self._followed, probabilities = self._leader, self._probabilities
        if self._temperature:
            noise = self._random.standard_normal(len(self._mean), np.float32)
            sample = self._mean + self._temperature * self._deviation * noise
            probabilities = _softmax(self._logits(_unit(sample)))
        return self._names[int(probabilities.argmax())], MAX_INTENSITY * float(probabilities.max())

    def restart(self) -> None:
        """Follow anew from the next update on."""
        self._followed = ""

    def describe(self) -> dict[str, float | str]:
        """Plain data for the status: name, its probability, valence -1..1, uncertainty."""
        return {
            "name": self._names[int(self._probabilities.argmax())],
            "chance": round(float(self._probabilities.max()), 3),
            "valence": round(float(self._probabilities @ self._valence), 3),
            "uncertainty": round(self.uncertainty, 4),
        }


def _unit(mean: Floats) -> Floats:
    """The mean on the unit sphere, where the embedding's means lie."""
    unit: Floats = mean / max(float(np.linalg.norm(mean)), 1e-6)
    return unit


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max())
    probabilities: Floats = weights / weights.sum()
    return probabilities
