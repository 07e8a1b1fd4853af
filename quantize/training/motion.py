"""Captured faces to motion in standard deviations of speech, one capture after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.contract import ARKIT_52, FPS, Floats
from quantize.data.clips import Clip, DataError
from quantize.data.targets import Scale, arkit_spread, fit_scales, targets

RANGE = (-4.0, 8.0)
"""Standard deviations of speech a face is held to; range-of-motion takes go beyond."""


@dataclass(frozen=True)
class Motion:
    """Captures in a row."""

    faces: Floats
    """(T, 52) in standard deviations of speech."""
    live: NDArray[np.bool_]
    """(T, 52) where ``faces`` was captured."""
    source: NDArray[np.int64]
    """(T,) index of the capture system."""


def motion(clips: Sequence[Clip], scaled_by: Sequence[Clip]) -> Motion:
    """The captures of ``clips``, each on the scale that ``scaled_by`` gives its source.

    Raises ``DataError`` where none of them has a captured face.
    """
    scales = fit_scales(scaled_by, ARKIT_52)
    faces, live, source = [], [], []
    names = sorted(scales)
    for clip in clips:
        if clip.capture is None or clip.source not in scales:
            continue
        scale = scales[clip.source]
        faces.append(face_of(clip, scale))
        live.append(np.broadcast_to(scale.live, faces[-1].shape))
        source.append(np.full(len(faces[-1]), names.index(clip.source)))
    if not faces:
        raise DataError("no captured face in the data; give folders that hold some")
    return Motion(np.concatenate(faces), np.concatenate(live), np.concatenate(source))


def face_of(clip: Clip, scale: Scale) -> Floats:
    """(T, 52) the capture of a clip in standard deviations of speech."""
    assert clip.capture is not None
    count = int(len(clip.capture.values) / clip.capture.fps * FPS)
    return np.clip(targets(clip, scale, count) / arkit_spread(), *RANGE).astype(np.float32)
