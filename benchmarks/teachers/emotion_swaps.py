"""The words of one clip in the mood of another to a teacher's face, and what moved in it.

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
    heard: Floats
    """(T, 40 + S)"""


@dataclass(frozen=True)
class Swap:
    """The words of one clip in the mood of another."""

    said: Clip
    felt: Clip
    faces: Floats
    """(T, 52) in 0..1."""
    change: Floats
    """(52,) mean over the clip, against the same words with a neutral clip felt."""


def fitted(heard: Floats, frames: int) -> Floats:
    """(frames, ...): cut, or from its start again."""
    return heard[np.arange(frames) % len(heard)]


@torch.no_grad()
def shown(net: Teacher, said: Floats, felt: Sequence[Floats], level: float) -> Floats:
    """(K, T, 52) faces in 0..1: the words of one clip (T, 40 + S) in the mood of K others."""
    frames = len(said) + len(said) % 2
    words = np.concatenate([said, said[-1:]])[:frames]
    content, _ = net.content(torch.from_numpy(words)[None])
    moods = np.stack([fitted(f, frames) for f in felt])[..., :N_MELS]
    emotion, _ = net.emotion(torch.from_numpy(moods))
    place = np.full((len(felt), frames), LEVELS.index(level))
    style = torch.zeros(len(felt), frames, net.config.styles)
    content = content.expand(len(felt), -1, -1)
    faces = net.decoder(content, emotion, one_hot(place, len(LEVELS)), style)[:, : len(said)]
    return np.asarray(np.clip(faces.numpy() * arkit_spread(), 0, 1), np.float32)


def swaps(net: Teacher, voices: Sequence[SwapVoice]) -> list[Swap]:
    """Each clip in its own mood, then in those that its speaker gave the same sentence."""
    found = []
    for said in voices:
        mine = [v for v in voices if v.clip.speaker == said.clip.speaker]
        same = [v for v in mine if v.clip.text == said.clip.text]
        others = [v for v in same if v.clip.emotion != said.clip.emotion]
        felt = [said, *others]
        neutral = neutral_of(said, mine)
        faces = shown(net, said.heard, [v.heard for v in (neutral, *felt)], LEVELS[-1])
        found += [
            Swap(said.clip, v.clip, face, (face - faces[0]).mean(0))
            for v, face in zip(felt, faces[1:], strict=True)
        ]
    return found


def neutral_of(said: SwapVoice, mine: Sequence[SwapVoice]) -> SwapVoice:
    """The speaker's neutral clip, of the same sentence where there is one."""
    neutral = [v for v in mine if v.clip.emotion == "neutral"]
    if not neutral:
        raise DataError(f"{said.clip.speaker}: no neutral clip to hold the emotions against")
    return min(neutral, key=lambda v: (v.clip.text != said.clip.text, v.clip.id))


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
            np.stack([s.change for s in found if s.felt.emotion == name and s.felt is not s.said]),
            k,
        )
        for k, name in enumerate(FED)
    }


def leaks(found: Sequence[Swap]) -> dict[str, float]:
    """Emotion of the words -> how strongly its pattern shows though a neutral clip is felt.

    Beside the neutral clip's own words, of the same speaker and sentence; 0 where words carry none.
    """
    rest = {s.said.id: s.faces.mean(0) for s in found if s.felt is s.said}
    neutral = [s for s in found if s.felt.emotion == "neutral" and s.felt is not s.said]
    rows = {}
    for name, pattern in zip(FED, PATTERNS, strict=True):
        changes = [s.faces.mean(0) - rest[s.felt.id] for s in neutral if s.said.emotion == name]
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


def legible(said: Sequence[tuple[Clip, Floats]]) -> dict[str, float]:
    """Areas under the ROC curve of the lips: p, b, m shut, and the mean of all contrasts."""
    by_speaker: dict[str, list[LabelledFaces]] = {}
    for clip, faces in said:
        by_speaker.setdefault(clip.speaker, []).append((faces, clip.phones))
    found = viseme_contrasts(by_speaker)
    return {name: found["auc"][name] for name in ("pbm jaw", "pbm lips")} | {
        "all": found["auc_mean"]
    }


def lips(net: Teacher, voices: Sequence[SwapVoice], found: Sequence[Swap]) -> dict[str, Any]:
    """What becomes of closures when the mood is swapped; "level 0" is the teacher as evaluated."""
    own = {s.said.id: s.faces for s in found if s.felt is s.said}
    other = [s for s in found if s.felt is not s.said]
    still = [(v.clip, shown(net, v.heard, [v.heard], LEVELS[0])[0]) for v in voices]
    return {
        "auc": {
            "level 0": legible(still),
            # A clip as often as it is swapped, so that only the mood differs.
            "own mood": legible([(s.said, own[s.said.id]) for s in other]),
            "another mood": legible([(s.said, s.faces) for s in other]),
        },
        "sounds": closures(
            [(own[s.said.id], s.said.phones) for s in other],
            [(s.faces, s.said.phones) for s in other],
        ),
    }
