"""A lip-reader: which word of GRID do the lips say, where it is known when a word is said?

A sentence of GRID has six words, each one of 4, 10 or 25 that may stand there. A linear
discriminant (Fisher) is trained on captured faces and reads predicted ones. It can only choose
among a place's words: guessing gives .19. It judges what correlations cannot: whether the
difference between sounds is there, at its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.contract import FPS, INDEX, Floats
from quantize.data.clips import DataError

SHAPES = (
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthSmile",
    "mouthFrown",
    "mouthDimple",
    "mouthStretch",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthPress",
    "mouthLowerDown",
    "mouthUpperUp",
)
"""ARKit shapes; of a pair the mean of left and right."""
GROUPS: dict[str, tuple[str, ...]] = {
    "jaw": ("jawOpen", "mouthClose"),
    "rounding": ("mouthFunnel", "mouthPucker"),
    "corners": ("mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch"),
    "pressed lips": ("mouthRollLower", "mouthRollUpper", "mouthPress"),
    "shrugs": ("mouthShrugLower", "mouthShrugUpper"),
    "lower lip": ("mouthLowerDown",),
    "upper lip": ("mouthUpperUp",),
}
PLACES = 6
"""Words of a sentence."""
INSTANTS = 10
"""Evenly spaced from a word's start to its end."""
SHRINKAGE = 0.3
"""Of the covariance towards its diagonal; chosen among .03 to .6 on captured training talkers."""
STILL = 0.005
"""Added to a shape's standard deviation, so that noise of a still one stays small."""
LATE = round(0.1 * FPS)

Words = tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class SpokenSentence:
    """A sentence of GRID and a face for it."""

    talker: str
    faces: Floats
    """(T, 52), face ``i`` shown at ``(i + 1) / 60`` s."""
    words: Words
    """Start and end in seconds and word, for each of the six places."""

    def __post_init__(self) -> None:
        if len(self.words) != PLACES:
            raise DataError(f"a sentence of GRID has {PLACES} words, not {len(self.words)}")


@dataclass(frozen=True)
class _Discriminant:
    """The linear discriminant of one place."""

    words: tuple[str, ...]
    weights: Floats
    """(features, words)"""
    bias: Floats
    """(words,)"""

    def choose(self, features: Floats) -> list[str]:
        return [self.words[k] for k in (features @ self.weights + self.bias).argmax(1)]


class LipReader:
    """Reads words from faces. Each talker's faces are standardised first, as a viewer gets used to
    a face: how much a talker moves is not read here (see ``talkers.spread``)."""

    def __init__(self, sentences: Sequence[SpokenSentence], shapes: Sequence[str] = SHAPES) -> None:
        """Train on captured ``sentences``, looking only at ``shapes``."""
        self._shapes = shapes
        features = self._features(sentences)
        self._places = [
            _fit(features[:, place], [s.words[place][2] for s in sentences])
            for place in range(PLACES)
        ]

    def read(self, sentences: Sequence[SpokenSentence]) -> NDArray[np.bool_]:
        """(sentences, 6) whether each word is read correctly."""
        features = self._features(sentences)
        right = []
        for place, discriminant in enumerate(self._places):
            truth = [s.words[place][2] for s in sentences]
            read = discriminant.choose(features[:, place])
            right.append([a == b for a, b in zip(read, truth, strict=True)])
        return np.array(right).T

    def by_talker(self, sentences: Sequence[SpokenSentence]) -> dict[str, float]:
        """Talker -> share of the words that is read correctly."""
        right = self.read(sentences).mean(1)
        talkers = np.array([s.talker for s in sentences])
        return {str(t): float(right[talkers == t].mean()) for t in np.unique(talkers)}

    def _features(self, sentences: Sequence[SpokenSentence]) -> Floats:
        """(sentences, 6, instants * shapes)"""
        moves = [mouth_shapes(s.faces, self._shapes) for s in sentences]
        out = np.empty((len(sentences), PLACES, INSTANTS * len(self._shapes)), np.float32)
        for talker in {s.talker for s in sentences}:
            own = [k for k, s in enumerate(sentences) if s.talker == talker]
            seen = np.concatenate([moves[k] for k in own])
            mean, spread = seen.mean(0), seen.std(0) + STILL
            for k in own:
                standard = (moves[k] - mean) / spread
                for place, (start, end, _) in enumerate(sentences[k].words):
                    out[k, place] = _instants(standard, start, end).ravel()
        return out


def mouth_shapes(faces: Floats, shapes: Sequence[str] = SHAPES) -> Floats:
    """(T, shapes) of faces (T, 52); of a pair the mean of left and right."""
    columns = []
    for name in shapes:
        names = (name,) if name in INDEX else (f"{name}Left", f"{name}Right")
        columns.append(np.mean([faces[:, INDEX[n]] for n in names], axis=0))
    return np.stack(columns, axis=1).astype(np.float32)


def _instants(values: Floats, start: float, end: float) -> Floats:
    """(INSTANTS, C) of values (T, C), linearly between frames."""
    at = np.clip(np.linspace(start, end, INSTANTS) * FPS - 1, 0, len(values) - 1)
    before = np.minimum(at.astype(int), len(values) - 2)
    share = (at - before)[:, None]
    return np.asarray((1 - share) * values[before] + share * values[before + 1], np.float32)


def _fit(features: Floats, words: Sequence[str]) -> _Discriminant:
    """Equal priors and one covariance for all words, shrunk towards its diagonal."""
    names, which = np.unique(words, return_inverse=True)
    means = np.stack([features[which == k].mean(0) for k in range(len(names))])
    rest = features - means[which]
    covariance = rest.T @ rest / max(1, len(features) - len(names))
    diagonal = np.diag(np.diag(covariance) + 1e-6)
    weights = np.linalg.solve((1 - SHRINKAGE) * covariance + SHRINKAGE * diagonal, means.T)
    return _Discriminant(tuple(map(str, names)), weights, -(means.T * weights).sum(0) / 2)


def with_controls(
    reader: LipReader,
    captured: Sequence[SpokenSentence],
    predicted: Sequence[Floats],
    loudness: Sequence[Floats],
) -> dict[str, dict[str, float]]:
    """Row -> talker -> share of the words read correctly.

    ``predicted`` and ``loudness`` are faces (T, 52) of the same sentences. Beside them are read:
    the captured faces (what can be reached), the predicted ones of another sentence (less than
    guessing gives, because it is chosen for saying other words) and 100 ms late (what timing is
    worth).
    """
    other = [predicted[k] for k in least_alike([s.words for s in captured])]
    late = [np.concatenate([f[:1].repeat(LATE, 0), f[:-LATE]]) for f in predicted]
    rows: Mapping[str, Sequence[Floats]] = {
        "captured": [s.faces for s in captured],
        "predicted": predicted,
        "another sentence": other,
        "loudness": loudness,
        "100 ms late": late,
    }
    return {
        name: reader.by_talker([replace(s, faces=f) for s, f in zip(captured, faces, strict=True)])
        for name, faces in rows.items()
    }


def least_alike(sentences: Sequence[Words]) -> list[int]:
    """For each sentence the one that shares the fewest words with it; the next of several."""
    words = np.array([[word for _, _, word in sentence] for sentence in sentences])
    count, chosen = len(words), []
    for k in range(count):
        order = (k + 1 + np.arange(count - 1)) % count
        chosen.append(int(order[(words[order] == words[k]).sum(1).argmin()]))
    return chosen
