"""Raw faces to raw faces without a jump where the look-ahead changes.

With a longer look-ahead the networks make some faces a second time: the last face is held until new
ones come. With a shorter one they skip some: the difference is faded out (as animators join clips,
"inertialization", Bollo 2018).
"""

from __future__ import annotations

import numpy as np

from edge.contract import Floats

FADE = 12
"""Faces (0.2 s) until nothing of the difference is left."""
SHARES = [1.0 - x * x * (3.0 - 2.0 * x) for x in (i / FADE for i in range(1, FADE))]


class LookaheadCrossfade:
    """Takes every raw face and its index in the stream."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next face may be any."""
        self._last: Floats | None = None
        self._index = -(10**12)
        self._difference: Floats | None = None
        self._step = FADE - 1

    def begin(self) -> None:
        """The next face comes from another look-ahead."""
        if self._last is not None:
            # A copy, because the engine reuses its arrays.
            self._last, self._difference, self._step = self._last.copy(), None, 0

    def blend(self, raw: Floats, index: int) -> tuple[Floats, int]:
        """The face to send, raw (52,), and its index, which never goes back."""
        if self._step < FADE - 1 and self._last is not None:
            if index <= self._index:
                return self._last, self._index
            if self._difference is None:
                self._difference = self._last - raw
            raw = raw + self._difference * np.float32(SHARES[self._step])
            self._step += 1
        self._last, self._index = raw, index
        return raw, index
