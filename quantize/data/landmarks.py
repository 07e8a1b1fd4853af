"""Points on lips and eyes that a tracker saw, and what they tell of the mouth.

A tracker's shapes are estimates of their own: MediaPipe's mouthClose hardly closes for some
talkers. Distances between its points do not depend on that. They are given in units of the
distance between the outer corners of the eyes, which the camera's distance does not change; in
three dimensions, so that a turned head changes them little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from edge.contract import FPS, Floats

# MediaPipe's face mesh. Upper and lower are the middle of the lips, inner their red line.
INNER_UPPER, INNER_LOWER = 13, 14
LEFT_CORNER, RIGHT_CORNER = 61, 291
LEFT_EYE, RIGHT_EYE = 33, 263


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Points and head of a captured clip, frame by frame."""

    ids: tuple[int, ...]
    """Number of each point in MediaPipe's face mesh."""
    points: Floats
    """(frames, points, 3) in pixels, x right, y down, z away from the camera."""
    head: Floats
    """(frames, 4, 4) from the face's own space (cm, y up, z to the camera) to the camera's."""

    def lip_gap(self) -> Floats:
        """(frames,) between the lips, in eye distances: 0 shut, about .2 wide open in speech."""
        return self._distance(INNER_UPPER, INNER_LOWER)

    def lip_width(self) -> Floats:
        """(frames,) between the corners of the mouth, in eye distances: small when rounded."""
        return self._distance(LEFT_CORNER, RIGHT_CORNER)

    def _distance(self, a: int, b: int) -> Floats:
        eyes = self._length(LEFT_EYE, RIGHT_EYE)
        return np.asarray(self._length(a, b) / eyes, np.float32)

    def _length(self, a: int, b: int) -> Floats:
        points = self.points.astype(np.float32)
        between = points[:, self.ids.index(a)] - points[:, self.ids.index(b)]
        return np.asarray(np.linalg.norm(between, axis=1))


def resample(values: Floats, fps: float, frames: int) -> Floats:
    """(frames,) or (frames, C) at ``(i + 1) / 60`` s of captured values at ``k / fps`` s.

    Monotone between captured values and held after the last, as ``targets.to_sixty``.
    """
    captured = np.arange(len(values)) / fps
    wanted = np.clip((np.arange(frames) + 1) / FPS, 0, captured[-1])
    return np.asarray(PchipInterpolator(captured, values, axis=0)(wanted), np.float32)
