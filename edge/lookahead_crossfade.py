"""Raw faces to raw faces without a jump where the look-ahead changes.

A longer look-ahead hears the same moments again: the last face is held until new ones come. A
shorter one skips moments: the difference is faded out (as animators join clips, "inertialization",
Bollo 2018).
"""

from __future__ import annotations

import numpy as np

from edge.contract import Floats

FADE = 12
"""Faces (0.2 s) until nothing of the difference is left."""
SHARES = [1.0 - x * x * (3.0 - 2.0 * x) for x in (i / FADE for i in range(1, FADE))]


class LookaheadCrossfade:
    """Sees every raw face and the index of the moment it shows."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next face may be any."""
        self._last: Floats | None = None
        self._shown = -(10**12)
        self._gap: Floats | None = None
        self._step = FADE - 1

    def begin(self) -> None:
        """The next face comes from another look-ahead."""
        if self._last is not None:
            # A copy, because the engine reuses its arrays.
            self._last, self._gap, self._step = self._last.copy(), None, 0

    def pass_on(self, raw: Floats, shown: int) -> tuple[Floats, int]:
        """The face to show and its moment, which never goes back."""
        if self._step < FADE - 1 and self._last is not None:
            if shown <= self._shown:
                return self._last, self._shown
            if self._gap is None:
                self._gap = self._last - raw
            raw = raw + self._gap * np.float32(SHARES[self._step])
            self._step += 1
        self._last, self._shown = raw, shown
        return raw, shown
