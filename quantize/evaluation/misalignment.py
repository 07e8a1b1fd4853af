"""Mean Temporal Misalignment: how far openings and closings of the lips are from the captured ones.

After Chae-Yeon et al., "Perceptually Accurate 3D Talking Head Generation" (CVPR 2025): the gap
between the lips is smoothed, both curves are aligned by dynamic time warping of their slopes, and
extrema that the alignment pairs are compared. It says nothing of movements that are missing: read
``matched`` beside it. Here the warp is bounded and the sign is kept too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from edge.contract import FPS, Floats

SMOOTH = 4.0
"""Frames, standard deviation: the paper's 2 at 30 a second."""
REACH = round(0.3 * FPS)
"""Frames that the warp may shift at most; a mouth opens and closes three to five times a second."""


@dataclass(frozen=True)
class Misalignment:
    """Of one clip."""

    mean_ms: float
    """Mean distance in time of paired extrema, the paper's figure; NaN if none is paired."""
    late_ms: float
    """The same with its sign: positive where predicted lips come later."""
    matched: float
    """Share of the captured extrema that a predicted one is paired with."""


def temporal_misalignment(predicted: Floats, captured: Floats) -> Misalignment:
    """Of the gap between the lips (T,) at 60 frames a second, both in any unit.

    Both are brought to one standard deviation first: a movement that is too small is not late.
    """
    ours, theirs = (_smooth(gap) for gap in (predicted, captured))
    kinds_ours, kinds_theirs = _extrema(ours), _extrema(theirs)
    places = sorted(kinds_theirs)
    lags, paired = [], set()
    for there, here in _warp(np.gradient(theirs), np.gradient(ours)):
        if there not in kinds_theirs or kinds_theirs[there] != kinds_ours.get(here):
            continue
        at = places.index(there)
        before = places[at - 1] if at else 0
        after = places[at + 1] if at + 1 < len(places) else len(theirs) - 1
        if before <= here <= after:
            lags.append(here - there)
            paired.add(there)
    if not lags:
        return Misalignment(np.nan, np.nan, 0.0)
    ms = np.array(lags) * 1000 / FPS
    return Misalignment(float(np.abs(ms).mean()), float(ms.mean()), len(paired) / len(places))


def _smooth(gap: Floats) -> Floats:
    smooth = gaussian_filter1d(gap.astype(np.float64), SMOOTH)
    return np.asarray(smooth / max(float(smooth.std()), 1e-9))


def _extrema(gap: Floats) -> dict[int, int]:
    """Frame -> 1 at a maximum, -1 at a minimum."""
    return {int(k): sign for sign in (1, -1) for k in find_peaks(sign * gap)[0]}


def _warp(a: Floats, b: Floats) -> list[tuple[int, int]]:
    """Pairs of frames of the cheapest monotone alignment of ``a`` (T,) and ``b`` (T,)."""
    count = len(a)
    total = np.full((count + 1, count + 1), np.inf)
    total[0, 0] = 0
    for i in range(count):
        for j in range(max(0, i - REACH), min(count, i + REACH + 1)):
            best = min(total[i, j], total[i, j + 1], total[i + 1, j])
            total[i + 1, j + 1] = abs(a[i] - b[j]) + best
    i, j, pairs = count, count, []
    while i and j:
        pairs.append((i - 1, j - 1))
        steps = ((i - 1, j - 1), (i - 1, j), (i, j - 1))
        i, j = min(steps, key=lambda step: total[step])
    return pairs[::-1]
