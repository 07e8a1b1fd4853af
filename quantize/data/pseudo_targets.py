"""Likely faces for voices that were recorded without one, from their phones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from edge.contract import ARKIT_52, Floats
from edge.words import VISEMES
from quantize.data.phones import UNKNOWN
from quantize.data.streams import TrainingStream

PHONE_TRUST = 0.4
"""Weight of a face that only the phone suggests. Decoded phones are right two times in three."""


def viseme_poses(stream: TrainingStream) -> tuple[Floats, NDArray[np.bool_]]:
    """Mean captured face of each viseme (15, 52), and the channels (52,) that any capture has."""
    poses = np.zeros((len(VISEMES), len(ARKIT_52)), np.float32)
    for k in range(len(VISEMES)):
        seen = stream.live & (stream.visemes == k)[:, None]
        poses[k] = (stream.targets * seen).sum(0) / np.maximum(1, seen.sum(0))
    return poses, np.asarray(stream.live.any(axis=0))


def with_phone_faces(
    stream: TrainingStream, poses: Floats, known: NDArray[np.bool_], spread: float = 2.5
) -> TrainingStream:
    """The same stream with likely faces where a voice was recorded without one.

    The mean face of the viseme spoken, blurred over time (``spread`` faces, coarticulation). It
    teaches 270 more voices that "oo" is round and "m" shut, which two filmed talkers do not.
    """
    unfilmed = ~stream.live.any(1) & (stream.visemes != UNKNOWN)
    likely = np.where(unfilmed[:, None], poses[stream.visemes], 0).astype(np.float32)
    blurred = gaussian_filter1d(likely, spread, axis=0)
    # Near faces that stay unknown, the blur took in zeros; divide them out.
    share = gaussian_filter1d(unfilmed.astype(np.float32), spread)[:, None]
    targets = np.where(unfilmed[:, None], blurred / np.maximum(share, 0.1), stream.targets)
    return replace(
        stream,
        targets=targets.astype(np.float32),
        live=stream.live | (unfilmed[:, None] & known),
        trust=np.where(unfilmed, np.float32(PHONE_TRUST), stream.trust),
    )
