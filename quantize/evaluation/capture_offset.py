"""How late a capture system's faces come after the sound, beside a model that hears all of them.

A camera, its encoder and a face solver each delay the face. The offset is found for a system as a
whole, never for a clip: searching each clip's best lag would hide that a model is late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.contract import FPS, Floats
from quantize.evaluation.metrics import pearson

REACH = round(0.15 * FPS)
"""Frames that are looked at to each side."""


@dataclass(frozen=True)
class CaptureOffset:
    """Of one capture system."""

    late_ms: float
    """Captured after predicted faces; NaN where the best lag lies at the end of what is looked
    at."""
    r: float
    """Mean correlation over clips as the faces were captured."""
    r_at_offset: float
    """The same with captured faces moved by the offset, to whole frames."""


def capture_offset(
    predicted: Sequence[Floats], captured: Sequence[Floats], reach: int = REACH
) -> CaptureOffset:
    """Of clips (T,) of one value, such as the jaw or the gap between the lips, at 60 a second.

    Only frames that every lag has are compared, so that lags differ by time alone; the parabola
    through the best lag and its neighbours gives fractions of a frame.
    """
    lags = np.arange(-reach, reach + 1)
    r = np.array([_correlations(p, c, reach) for p, c in zip(predicted, captured, strict=True)])
    mean = r.mean(0)
    best = int(mean.argmax())
    late = np.nan
    if 0 < best < len(lags) - 1:
        before, top, after = mean[best - 1 : best + 2]
        late = (lags[best] + (before - after) / 2 / (before - 2 * top + after)) * 1000 / FPS
    return CaptureOffset(float(late), float(mean[reach]), float(mean[best]))


def _correlations(predicted: Floats, captured: Floats, reach: int) -> Floats:
    """(lags,) with the captured clip read later and later."""
    inner = predicted[reach : len(predicted) - reach, None]
    moved = [
        captured[reach + lag : len(captured) - reach + lag] for lag in range(-reach, reach + 1)
    ]
    return np.array([pearson(inner, m[:, None])[0] for m in moved])
