"""Figures over talkers: a talker is the unit, because clips of one talker fail together.

Faces are (T, 52) at 60 a second in ``ARKIT_52`` order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.contract import ARKIT_52, INDEX, Floats
from quantize.data.clips import Clip
from quantize.data.targets import LEARNED, LIVE_STD
from quantize.evaluation.metrics import pearson
from quantize.evaluation.viseme_contrasts import lip_gap

LIPS = tuple(INDEX[n] for n in LEARNED if n.startswith("mouth"))


def leave_one_talker_out(clips: Sequence[Clip]) -> Iterator[tuple[str, list[Clip], list[Clip]]]:
    """Each training talker with a captured face: his name, the clips without him, his own.

    Test talkers are in none of the lists, so that the mean over talkers may choose a recipe.
    Clips without a face stay in the training part, but for those of the talker left out.
    """
    known = [c for c in clips if c.split == "train"]
    for talker in dict.fromkeys(c.speaker for c in known if c.capture and c.audio):
        rest = [c for c in known if c.speaker != talker]
        yield talker, rest, [c for c in known if c.speaker == talker and c.capture and c.audio]


@dataclass(frozen=True)
class Interval:
    """A mean over talkers and how far it may be off."""

    mean: float
    low: float
    high: float
    talkers: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f}, {self.talkers} talkers)"


def over_talkers(
    values: Mapping[str, float], level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Interval:
    """Mean over talkers with its bootstrap interval (percentiles over talkers drawn anew).

    It says how another draw of talkers would have come out; with fewer than about ten it is too
    narrow. NaN values are left out.
    """
    found = np.array([v for v in values.values() if np.isfinite(v)])
    if not len(found):
        return Interval(np.nan, np.nan, np.nan, 0)
    drawn = np.random.default_rng(seed).integers(0, len(found), (draws, len(found)))
    tail = (1 - level) / 2 * 100
    low, high = np.percentile(found[drawn].mean(1), [tail, 100 - tail])
    return Interval(float(found.mean()), float(low), float(high), len(found))


@dataclass(frozen=True)
class TalkerClip:
    """One clip of a talker, predicted and captured."""

    predicted: Floats
    """(T, 52)"""
    captured: Floats
    """(T, 52) in the same scale."""
    lip_gap: Floats | None = None
    """(T,) from lip points, in any unit, where the capture has some."""


def score_talker(clips: Sequence[TalkerClip], live: NDArray[np.bool_]) -> dict[str, float]:
    """Means over clips of one talker, and the spread over all of them.

    ``r_jaw``, ``r_lips`` (mean over the mouth's shapes that are ``live`` (52,) and move in the
    clip), ``r_gap`` (of the lip points where there are some, else of the captured shapes),
    ``spread_jaw`` and ``spread_lips`` (median over shapes). The gap between captured shapes follows
    the one between GRID's lip points with r .90 to .99, talker by talker; jawOpen alone with .5 to
    .97.
    """
    rows = []
    for clip in clips:
        r = pearson(clip.predicted, clip.captured)
        moving = [c for c in LIPS if live[c] and clip.captured[:, c].std() >= LIVE_STD]
        truth = lip_gap(clip.captured) if clip.lip_gap is None else clip.lip_gap
        gap = pearson(lip_gap(clip.predicted)[:, None], truth[:, None])[0]
        rows.append((r[INDEX["jawOpen"]], np.mean(r[moving]) if moving else np.nan, gap))
    ratios = spread([c.predicted for c in clips], [c.captured for c in clips])
    lips = [ratios[ARKIT_52[c]] for c in LIPS if live[c] and ARKIT_52[c] in ratios]
    means = [
        float(np.mean(known)) if (known := [v for v in column if np.isfinite(v)]) else np.nan
        for column in zip(*rows, strict=True)
    ]
    return {
        **dict(zip(("r_jaw", "r_lips", "r_gap"), means, strict=True)),
        "spread_jaw": ratios.get("jawOpen", np.nan),
        "spread_lips": float(np.median(lips)) if lips else np.nan,
    }


def spread(predicted: Sequence[Floats], captured: Sequence[Floats]) -> dict[str, float]:
    """Shape -> how much it moves over how much it should, for shapes that were seen to move.

    Standard deviations within clips, pooled: a face that rests elsewhere in each clip does not
    count as moving.
    """
    ours, theirs = _within(predicted), _within(captured)
    moved = np.flatnonzero(theirs >= LIVE_STD)
    return {ARKIT_52[c]: float(ours[c] / theirs[c]) for c in moved}


def _within(clips: Sequence[Floats]) -> Floats:
    """(52,) standard deviation around each clip's own mean."""
    squares = sum(((c - c.mean(0)) ** 2).sum(0) for c in clips)
    return np.asarray(np.sqrt(squares / sum(map(len, clips))))
