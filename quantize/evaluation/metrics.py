"""How well a face follows the captured one: pure functions of arrays, worked by hand in a test.

Rows are frames, columns are channels. Nothing here searches for the best lag: a face that is late
is wrong. Arrays named offsets are (T, V, D): T frames of V points that moved D numbers from rest;
in ARKit space a point is a channel and D is 1, on a mesh it is a vertex and D is 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def pearson(predicted: Array, captured: Array) -> Array:
    """Pearson's r of each column; NaN where the captured channel does not move at all.

    A prediction that does not move scores 0: it says nothing.
    """
    p = predicted - predicted.mean(0)
    c = captured - captured.mean(0)
    norm = np.sqrt((p**2).sum(0) * (c**2).sum(0))
    r = np.divide((p * c).sum(0), norm, out=np.zeros(p.shape[1]), where=norm > 1e-12)
    still = (c**2).sum(0) <= 1e-12
    return np.where(still, np.nan, r)


def rmse(predicted: Array, captured: Array) -> Array:
    """Root of the mean squared error of each column."""
    return np.sqrt(np.mean((predicted - captured) ** 2, axis=0))


def spread_ratio(predicted: Array, captured: Array) -> Array:
    """Standard deviation of each predicted column over that of the captured one."""
    captured_std = captured.std(0)
    return np.divide(
        predicted.std(0),
        captured_std,
        out=np.full(predicted.shape[1], np.nan),
        where=captured_std > 1e-9,
    )


def jitter(values: Array) -> Array:
    """Mean absolute second difference of each column: what the eye sees as trembling."""
    return np.abs(np.diff(values, n=2, axis=0)).mean(0)


def silent(level_db: Array, quiet_faces: int = 18) -> NDArray[np.bool_]:
    """Faces (n,) amid at least ``quiet_faces`` faces all 30 dB below the clip's loud parts.

    The first and last 9 faces of a pause are left out: mouths prepare and finish words there.
    """
    quiet = level_db < np.percentile(level_db, 95) - 30
    out = np.zeros(len(quiet), bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(int), [0]])))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start >= quiet_faces:
            out[start + 9 : end - 9] = True
    return out


def worst_point(predicted: Array, captured: Array) -> float:
    """Mean over frames of the largest L2 error of a point; offsets (T, V, D).

    Over lips this is LVE, over eyes and forehead EVE, as EmoTalk and EmoFace define them.
    """
    return float(np.linalg.norm(predicted - captured, axis=2).max(1).mean())


def worst_point_squared(predicted: Array, captured: Array) -> float:
    """The same with L2 squared: LVE as CodeTalker's ``cal_metric.py`` computes it."""
    return float(((predicted - captured) ** 2).sum(2).max(1).mean())


def dynamics_deviation(predicted: Array, captured: Array) -> Array:
    """How much less each point moves than the captured one (V,); offsets (T, V, D).

    Standard deviation over time of the squared offset, captured minus predicted. Its mean over the
    upper face, and over clips, is CodeTalker's FDD. It ignores timing.
    """

    def spread(offsets: Array) -> Array:
        return np.asarray((offsets**2).sum(2).std(0))

    return spread(captured) - spread(predicted)


def auc(inside: Array, outside: Array) -> float:
    """Chance that a value of ``inside`` is above one of ``outside``; a tie is half a win.

    The area under the ROC curve: 0.5 says nothing, 1 separates without a mistake.
    """
    order = np.sort(outside)
    below = np.searchsorted(order, inside, "left") + np.searchsorted(order, inside, "right")
    return float(below.mean() / 2 / len(outside))


def around(values: Array, at: int, reach: int = 1) -> Array:
    """Mean of the rows ``at - reach`` to ``at + reach`` that exist."""
    return values[max(0, at - reach) : at + reach + 1].mean(0)


def lag_of_minimum(values: Array, at: int, reach: int) -> float | None:
    """Rows from ``at`` to the lowest of (n,) ``values`` within ``reach``; late is positive.

    The middle of the lowest stretch where it is flat, and ``None`` where the lowest lies at an end
    of what is looked at: then there is no minimum there.
    """
    first, last = at - reach, at + reach
    if first < 0 or last >= len(values):
        return None
    seen = values[first : last + 1]
    lowest = np.flatnonzero(seen <= seen.min() + 1e-6)
    if lowest[0] == 0 or lowest[-1] == len(seen) - 1:
        return None
    return float((lowest[0] + lowest[-1]) / 2 - reach)
