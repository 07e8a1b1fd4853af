"""The words of one clip in the emotion of another to a teacher's face, and what moved in it.

Do the shapes rise that ``edge/emotion.yaml`` expects of the emotion, and do the lips still close?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from edge.contract import ARKIT_52, INDEX, Floats
from edge.emotion import load_emotions
from edge.features import N_MELS
from models.teacher import LEVELS, Teacher
from quantize.data.clips import EMOTIONS, Clip, DataError
from quantize.data.targets import arkit_spread
from quantize.evaluation.viseme_contrasts import (
    LabelledFaces,
    lip_gap,
    viseme_contrasts,
    viseme_faces,
)
from quantize.training.labels import one_hot

RISE = 0.02
"""Mean change of a weight that counts as moved."""
FED = EMOTIONS[1:7]
"""Emotions with a pattern that EMO-DB holds."""
PATTERNS = np.stack([load_emotions()[0][name] for name in FED])
UNITS = np.flatnonzero(PATTERNS.any(0))
"""Shapes that some emotion moves: brows, lids, cheeks, nose, mouth corners."""


@dataclass(frozen=True)
class SwapVoice:
    """A clip as the teacher hears it."""

    clip: Clip
    features: Floats
    """(T, 40 + S)"""


@dataclass(frozen=True)
class Swap:
    """The words of one clip in the emotion of another."""

    words: Clip
    voice: Clip
    faces: Floats
    """(T, 52) in 0..1."""
    change: Floats
    """(52,) mean over the clip, against the same words in the emotion of a neutral clip."""


def fitted(features: Floats, frames: int) -> Floats:
    """(frames, ...): cut, or from its start again."""
    return features[np.arange(frames) % len(features)]


@torch.no_grad()
def swapped_faces(net: Teacher, features: Floats, voices: Sequence[Floats], level: float) -> Floats:
    """(K, T, 52) faces in 0..1: the words of one clip (T, 40 + S) in the emotion of K others."""
    frames = len(features) + len(features) % 2
    words = np.concatenate([features, features[-1:]])[:frames]
    content, _ = net.content(torch.from_numpy(words)[None])
    mels = np.stack([fitted(f, frames) for f in voices])[..., :N_MELS]
    emotion, _ = net.emotion(torch.from_numpy(mels))
    levels = np.full((len(voices), frames), LEVELS.index(level))
    style = torch.zeros(len(voices), frames, net.config.styles)
    content = content.expand(len(voices), -1, -1)
    faces = net.decoder(content, emotion, one_hot(levels, len(LEVELS)), style)[:, : len(features)]
    return np.asarray(np.clip(faces.numpy() * arkit_spread(), 0, 1), np.float32)


def swaps(net: Teacher, voices: Sequence[SwapVoice]) -> list[Swap]:
    """Each clip in its own emotion, then in those that its speaker gave the same sentence."""
    found = []
    for voice in voices:
        mine = [v for v in voices if v.clip.speaker == voice.clip.speaker]
        same = [v for v in mine if v.clip.text == voice.clip.text]
        others = [v for v in same if v.clip.emotion != voice.clip.emotion]
        sources = [voice, *others]
        neutral = neutral_of(voice, mine)
        faces = swapped_faces(
            net, voice.features, [v.features for v in (neutral, *sources)], LEVELS[-1]
        )
        found += [
            Swap(voice.clip, v.clip, face, (face - faces[0]).mean(0))
            for v, face in zip(sources, faces[1:], strict=True)
        ]
    return found


def neutral_of(voice: SwapVoice, mine: Sequence[SwapVoice]) -> SwapVoice:
    """The speaker's neutral clip, of the same sentence where there is one."""
    neutral = [v for v in mine if v.clip.emotion == "neutral"]
    if not neutral:
        raise DataError(f"{voice.clip.speaker}: no neutral clip to hold the emotions against")
    return min(neutral, key=lambda v: (v.clip.text != voice.clip.text, v.clip.id))


def cosines(changes: Floats, patterns: Floats) -> Floats:
    """(n, E) cosine of the angle between changes (n, 52) and patterns (E, 52), over ``UNITS``."""
    a, b = changes[:, UNITS], patterns[:, UNITS]
    size = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    return np.asarray((a @ b.T) / np.maximum(size, 1e-9), np.float32)


def direction(changes: Floats, fed: int) -> dict[str, Any]:
    """How changes (n, 52) of faces fed with one emotion lie to the pattern expected of it."""
    pattern, cosine = PATTERNS[fed], cosines(changes, PATTERNS)
    expected = pattern > 0
    others = np.setdiff1d(UNITS, np.flatnonzero(expected))
    matched = np.bincount(cosine.argmax(1), minlength=len(FED))
    return {
        "faces": len(changes),
        "expected_rise": float(np.mean(changes[:, expected] > RISE)),
        "others_rise": float(np.mean(changes[:, others] > RISE)),
        # 1 is the strength of edge/emotion.yaml.
        "strength": float(np.mean(changes @ pattern) / (pattern @ pattern)),
        "cosine": dict(zip(FED, cosine.mean(0).tolist(), strict=True)),
        "matched": dict(zip(FED, matched.tolist(), strict=True)),
        "change": {ARKIT_52[i]: float(changes[:, i].mean()) for i in UNITS},
    }


def directions(found: Sequence[Swap]) -> dict[str, Any]:
    """Emotion fed -> what rose."""
    return {
        name: direction(
            np.stack(
                [s.change for s in found if s.voice.emotion == name and s.voice is not s.words]
            ),
            k,
        )
        for k, name in enumerate(FED)
    }


def leaks(found: Sequence[Swap]) -> dict[str, float]:
    """Emotion of the words -> how strongly its pattern shows in the emotion of a neutral clip.

    Beside the neutral clip's own words, of the same speaker and sentence; 0 where words carry none.
    """
    rest = {s.words.id: s.faces.mean(0) for s in found if s.voice is s.words}
    neutral = [s for s in found if s.voice.emotion == "neutral" and s.voice is not s.words]
    rows = {}
    for name, pattern in zip(FED, PATTERNS, strict=True):
        changes = [s.faces.mean(0) - rest[s.voice.id] for s in neutral if s.words.emotion == name]
        if changes:
            rows[name] = float(np.mean(np.stack(changes) @ pattern) / (pattern @ pattern))
    return rows


def closures(
    own: Sequence[LabelledFaces], other: Sequence[LabelledFaces]
) -> dict[str, dict[str, float]]:
    """The same sounds before and after: p, b, m beside all others.

    Mean weights and lip gap of both, and the mean size of the gap's change, sound by sound.
    """
    visemes, before = viseme_faces(own)
    _, after = viseme_faces(other)
    rows = {}
    for name, inside in (("pbm", visemes == "PP"), ("others", visemes != "PP")):
        a, b = before[inside], after[inside]
        rows[name] = {
            "sounds": int(inside.sum()),
            **{
                f"{shape}_{when}": float(faces[:, INDEX[shape]].mean())
                for shape in ("jawOpen", "mouthClose")
                for when, faces in (("before", a), ("after", b))
            },
            "gap_mm_before": float(lip_gap(a).mean()),
            "gap_mm_after": float(lip_gap(b).mean()),
            "gap_mm_moved": float(np.abs(lip_gap(b) - lip_gap(a)).mean()),
        }
    return rows


def legible(clips: Sequence[tuple[Clip, Floats]]) -> dict[str, float]:
    """Areas under the ROC curve of the lips: p, b, m shut, and the mean of all contrasts."""
    by_speaker: dict[str, list[LabelledFaces]] = {}
    for clip, faces in clips:
        by_speaker.setdefault(clip.speaker, []).append((faces, clip.phones))
    found = viseme_contrasts(by_speaker)
    return {name: found["auc"][name] for name in ("pbm jaw", "pbm lips")} | {
        "all": found["auc_mean"]
    }


def lips(net: Teacher, voices: Sequence[SwapVoice], found: Sequence[Swap]) -> dict[str, Any]:
    """Closures when the emotion is swapped; "level 0" is the teacher as evaluated."""
    own = {s.words.id: s.faces for s in found if s.voice is s.words}
    other = [s for s in found if s.voice is not s.words]
    still = [(v.clip, swapped_faces(net, v.features, [v.features], LEVELS[0])[0]) for v in voices]
    return {
        "auc": {
            "level 0": legible(still),
            # A clip as often as it is swapped, so that only the emotion differs.
            "own mood": legible([(s.words, own[s.words.id]) for s in other]),
            "another mood": legible([(s.words, s.faces) for s in other]),
        },
        "sounds": closures(
            [(own[s.words.id], s.words.phones) for s in other],
            [(s.faces, s.words.phones) for s in other],
        ),
    }
