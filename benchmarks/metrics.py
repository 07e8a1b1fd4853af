"""How well a face follows the captured one: pure functions of arrays, worked by hand in a test.

Rows are frames, columns are channels. Nothing here searches for the best lag: a face that is late
is wrong.
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
