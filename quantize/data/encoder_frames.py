"""Sound encoders on the frame grid: windows of long sound, and their outputs as 60 frames a second.

Encoders look at some seconds of sound at once and give vectors at a rate of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.contract import Floats, face_end


@dataclass(frozen=True)
class EncoderGrid:
    """Where in the sound an encoder's outputs lie, and how much sound it takes at once."""

    first: int
    """Sample at the middle of the first output of a window."""
    step: int
    """Samples from one output to the next."""
    longest: int
    """Samples that a window holds at most."""
    context: int
    """Samples at each cut end of a window whose outputs are dropped: they lack a neighbour."""

    def windows(self, count: int) -> list[tuple[int, int]]:
        """First sample of each window over ``count`` samples, and one past its last."""
        if count <= self.longest:
            return [(0, count)]
        stride = self.longest - 2 * self.context
        starts = range(0, count - 2 * self.context, stride)
        return [(start, min(start + self.longest, count)) for start in starts]


def encode_frames(
    samples: Floats, frames: int, grid: EncoderGrid, encode: Callable[[Floats], Floats]
) -> Floats:
    """(frames, C) outputs of ``encode``, each at the time that its frame ends.

    ``encode`` turns a window (n,) into (outputs, C). Between outputs the values are linear, before
    the first and after the last they are held.
    """
    outputs, middles = [], []
    for start, end in grid.windows(len(samples)):
        output = encode(samples[start:end])
        middle = start + grid.first + grid.step * np.arange(len(output))
        kept = np.ones(len(output), bool)
        if start:
            kept &= middle >= start + grid.context
        if end < len(samples):
            kept &= middle < end - grid.context
        outputs.append(output[kept])
        middles.append(middle[kept])
    return interpolate_frames(np.concatenate(outputs), np.concatenate(middles), frames)


def interpolate_frames(outputs: Floats, middles: NDArray[np.int64], frames: int) -> Floats:
    """(frames, C) from (outputs, C) at the samples ``middles``, linearly; held at the ends."""
    if len(outputs) == 1:
        return np.repeat(outputs, frames, axis=0)
    wanted = np.array([face_end(i) for i in range(frames)])
    right = np.clip(np.searchsorted(middles, wanted), 1, len(middles) - 1)
    left = right - 1
    share = np.clip((wanted - middles[left]) / (middles[right] - middles[left]), 0, 1)
    share = share[:, None].astype(np.float32)
    return np.asarray((1 - share) * outputs[left] + share * outputs[right], np.float32)
