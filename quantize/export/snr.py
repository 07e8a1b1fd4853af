"""How close one precision stays to fp32: pure functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def snr_db(reference: Array, other: Array) -> float:
    """Power of how ``reference`` moves around its mean, over the power of the error, in dB.

    Arrays are (T, C). The mean is taken off each channel because a pose that never changes is no
    signal; the error keeps its mean, because a constant offset is an error. ``inf`` where equal.
    """
    noise = float(((other.astype(np.float64) - reference) ** 2).sum())
    signal = float(((reference - reference.astype(np.float64).mean(0)) ** 2).sum())
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")


def snr_by_channel(reference: Array, other: Array) -> list[float]:
    """``snr_db`` of each column."""
    columns = range(reference.shape[1])
    return [snr_db(reference[:, [c]], other[:, [c]]) for c in columns]
