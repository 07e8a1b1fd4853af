"""Raw network weights to the face that is sent: closed in silence, within [0, 1], alive."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from edge.contract import INDEX, Floats
from edge.emotion import EmotionBlend
from edge.idle_motion import IdleMotion

OPEN, CLOSE = 1 / 2, 1 / 5
"""Share of the way a face: free within 2 faces, closed to 5 % in 0.23 s."""
ZERO, ONE = np.float32(0), np.float32(1)
SETTLE = 1 / 6
"""Share of the way a face into and out of the neutral pose; 95 % in 0.28 s."""


class Face:
    """Shapes one face after another: shut without speech, rest pose, idle motion, range."""

    def __init__(self, rest: Mapping[str, float], lookahead: int, seed: int) -> None:
        self._rest = np.zeros(52, np.float32)
        for name, weight in rest.items():
            self._rest[INDEX[name]] = weight
        self._idle = IdleMotion(seed)
        self._free = 0.0
        self._raw = self._rest
        self.emotion_blend = EmotionBlend()
        self.muted = False
        """Audio does not move the face; idle motion and the emotion go on."""
        self.neutral = False
        """The rest pose, and nothing moves."""
        self._still = 0.0
        self._gains: Floats | None = None
        self.reset(lookahead)

    def reset(self, lookahead: int) -> None:
        """Begin to listen anew; the mouth goes on from where it is."""
        # The network's face is ``lookahead`` faces old, and so is the verdict on it, but for one
        # face: lips part before the sound, unless it swells too slowly to be told from noise.
        self._verdicts = deque([0.0] * lookahead, maxlen=max(1, lookahead))

    def set_lookahead(self, lookahead: int) -> None:
        """Go on at another look-ahead; the verdicts on speech so far are kept."""
        kept = list(self._verdicts) or [0.0]  # none yet, at look-ahead 0
        depth = max(1, lookahead)
        self._verdicts = deque([kept[0]] * (depth - len(kept)) + kept, maxlen=depth)

    @property
    def speaks(self) -> bool:
        """Is there speech now, so that the mouth is free to move?"""
        return self._free > 0.5

    def set_gains(self, gains: Mapping[str, float]) -> None:
        """Multiply shapes by these from now on; absent ones by 1."""
        factors = np.ones(52, np.float32)
        for name, gain in gains.items():
            factors[INDEX[name]] = gain
        self._gains = factors if gains else None

    def shape(self, raw: Floats, speech: float) -> tuple[Floats, Floats]:
        """Next face from the network: raw (52,), how surely the newest audio is speech."""
        self._verdicts.append(speech)
        self._raw = raw.copy()
        return self._show(self._raw, self._verdicts[0])

    def rest(self) -> tuple[Floats, Floats]:
        """Next face without audio: the last one falls shut."""
        return self._show(self._raw, 0.0)

    def _show(self, raw: Floats, free: float) -> tuple[Floats, Floats]:
        away = (0.0 if self.muted else free) - self._free
        self._free += away * (OPEN if away > 0 else CLOSE)
        idle, head = self._idle.next()
        weights = raw - self._rest
        weights *= self._free
        weights += self._rest
        weights += idle
        if self.emotion_blend.name is not None:
            weights += self.emotion_blend.next()
        if self.neutral or self._still:
            head = self._settle(weights, head)
        if self._gains is not None:
            weights *= self._gains
        np.maximum(weights, ZERO, out=weights)  # np.clip takes twice as long
        return np.minimum(weights, ONE, out=weights), head

    def _settle(self, weights: Floats, head: Floats) -> Floats:
        """Draw ``weights`` in place, and the head that is returned, towards the neutral pose."""
        self._still += (self.neutral - self._still) * SETTLE
        if not self.neutral and self._still < 1e-3:
            self._still = 0.0
        weights += (self._rest - weights) * np.float32(self._still)
        return head * np.float32(1.0 - self._still)
