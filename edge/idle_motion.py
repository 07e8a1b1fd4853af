"""What a face does without words: blinks, glances, brows, a head that is never quite still.

Rates from people filmed while talking (iPhone takes, 349 s): 22 blinks a minute, closed for about
100 ms, head standard deviation 0.024, 0.021 and 0.015 rad (pitch, yaw, roll).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge.contract import FPS, INDEX, Floats

BLINKS_A_MINUTE = 20
CHUNK = 10 * FPS
"""Faces drawn at once; doing it face by face would cost more than the networks."""

# Lids shut in 67 ms, stay shut 100 ms, open in 150 ms.
BLINK = np.concatenate(
    [
        0.5 - 0.5 * np.cos(np.pi * np.arange(1, 4) / 4),
        np.ones(6),
        0.5 + 0.5 * np.cos(np.pi * np.arange(1, 9) / 9),
    ]
).astype(np.float32)

HEAD_STD = np.array([0.024, 0.021, 0.015], np.float32)

LIDS = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
BROWS = [INDEX["browInnerUp"], INDEX["browOuterUpLeft"], INDEX["browOuterUpRight"]]
# Both eyes turn together: to the character's left means out for the left eye, in for the right.
LOOK_LEFT = [INDEX["eyeLookOutLeft"], INDEX["eyeLookInRight"]]
LOOK_RIGHT = [INDEX["eyeLookInLeft"], INDEX["eyeLookOutRight"]]
LOOK_UP = [INDEX["eyeLookUpLeft"], INDEX["eyeLookUpRight"]]
LOOK_DOWN = [INDEX["eyeLookDownLeft"], INDEX["eyeLookDownRight"]]


class IdleMotion:
    """An endless stream of (52,) weights to add and (3,) head turns in radians, set by a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._faces = self._draw()

    def next(self) -> tuple[Floats, Floats]:
        """One face later."""
        return next(self._faces)

    def _draw(self) -> Iterator[tuple[Floats, Floats]]:
        left = np.zeros(len(BLINK), np.float32)  # what of a blink reaches into the next chunk
        gaze, slow = np.zeros(2, np.float32), np.zeros(4, np.float32)
        while True:
            weights = np.zeros((CHUNK, 52), np.float32)
            lids, left = self._blink(left)
            path, gaze = self._glance(gaze)
            drift, slow = self._drift(slow)
            weights[:, LOOK_LEFT] = np.maximum(path[:, :1], 0)
            weights[:, LOOK_RIGHT] = np.maximum(-path[:, :1], 0)
            weights[:, LOOK_UP] = np.maximum(path[:, 1:], 0)
            weights[:, LOOK_DOWN] = np.maximum(-path[:, 1:], 0)
            # The upper lid follows a lowered gaze.
            lowered = np.maximum(-path[:, 1], 0) * 0.4
            weights[:, LIDS] = np.maximum(lids, lowered)[:, None]
            weights[:, BROWS] = np.maximum(drift[:, 3:], 0) * np.float32(0.05)
            yield from zip(weights, drift[:, :3] * HEAD_STD, strict=True)

    def _blink(self, left: Floats) -> tuple[Floats, Floats]:
        lids = np.zeros(CHUNK + len(BLINK), np.float32)
        lids[: len(left)] = left
        # Never two within 0.8 s; beyond that, by chance.
        at = 0.0
        while (
            at := at + 0.8 * FPS + self._rng.exponential((60 / BLINKS_A_MINUTE - 0.8) * FPS)
        ) < CHUNK:
            here = slice(int(at), int(at) + len(BLINK))
            lids[here] = np.maximum(lids[here], BLINK)
        return lids[:CHUNK], lids[CHUNK:]

    def _glance(self, gaze: Floats) -> tuple[Floats, Floats]:
        """Fixations of about 1.5 s near the middle, saccades of 50 ms between them."""
        path = np.zeros((CHUNK, 2), np.float32)
        at = 0
        while at < CHUNK:
            path[at:] = gaze
            at += int(self._rng.gamma(3.0, 0.5) * FPS) + 12
            spread = (0.10, 0.06) if self._rng.random() < 0.8 else (0.25, 0.12)
            target = np.clip(self._rng.normal(0, spread), -0.5, 0.5).astype(np.float32)
            ramp = path[at : at + 3]
            ramp[:] = gaze + (target - gaze) * (np.arange(1, 4)[:, None] / 3)[: len(ramp)]
            if at < CHUNK:
                gaze = target
                at += 3
        return path, gaze

    def _drift(self, slow: Floats) -> tuple[Floats, Floats]:
        """Four slow random walks of unit spread (head pitch, yaw, roll; brows)."""
        knots = np.arange(0, CHUNK + 1, 75)
        values = self._rng.standard_normal((len(knots), 4)).astype(np.float32)
        values[0] = slow
        place = np.arange(CHUNK) / 75
        low = place.astype(int)
        ease = (0.5 - 0.5 * np.cos(np.pi * (place - low)))[:, None]
        path = values[low] + (values[low + 1] - values[low]) * ease
        return path.astype(np.float32), values[-1]
