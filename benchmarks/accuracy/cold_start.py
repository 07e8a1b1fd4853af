"""Does a face depend on when the microphone was opened? The same words, less of what was before.

A microphone is switched on in the middle of a word. What is cut from a clip's start must not matter
for long: half a second after the cut the face should be the one of the whole clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge.contract import FPS, SAMPLE_RATE, Floats
from quantize.evaluation.scoring import JAW, LOWER, Faces
from quantize.evaluation.test_clips import MADE_SILENCE, TestClip

CUTS = (0.1, 0.5, 1.0, 2.0)
"""Seconds cut from the start."""
SETTLED = 0.5
"""Seconds after the cut from which on faces are compared."""
LEAST = 1.0
"""Seconds that have to be left to compare."""


def cold_start(
    predict: Callable[[Floats], Floats], whole: Faces, clips: Sequence[TestClip]
) -> dict[str, dict[str, Any]]:
    """Cut -> how far the lower face is from the whole clip's, over all clips long enough.

    ``predict`` makes the faces (n, 52) of samples from a fresh start, as it did those in ``whole``.
    In ARKit weights: median and 99th percentile over faces of the largest difference of any shape,
    and the correlation of the jaw.
    """
    voiced = [t for t in clips if t.set != MADE_SILENCE]
    found = {}
    for cut in CUTS:
        faces, settled = round(cut * FPS), round(SETTLED * FPS)
        long = [t for t in voiced if t.faces - faces - settled >= LEAST * FPS]
        if not long:
            continue
        later = [predict(t.samples[faces * SAMPLE_RATE // FPS :]) for t in long]
        pairs = [
            (whole[t.id][faces + settled :], late[settled : t.faces - faces])
            for t, late in zip(long, later, strict=True)
        ]
        both = [np.concatenate(side) for side in zip(*pairs, strict=True)]
        apart = np.abs(both[0] - both[1])[:, LOWER].max(1)
        found[f"{cut:g} s"] = {
            "clips": len(long),
            "apart_p50": float(np.median(apart)),
            "apart_p99": float(np.percentile(apart, 99)),
            "r_jaw": float(np.corrcoef(both[0][:, JAW], both[1][:, JAW])[0, 1]),
        }
    return found
