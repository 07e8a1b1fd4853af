"""Face Cap's OSC: ``/W index value``, head and eyes in one bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping

from edge.contract import BlendshapeFrame
from edge.outputs.common import ShapeSelection
from edge.outputs.osc import Bundles, message
from edge.outputs.stamp import stamp
from edge.outputs.turn import eyes, head
from edge.outputs.udp import UdpTarget

DEGREES = 180 / math.pi


def _both(*names: str) -> tuple[str, ...]:
    return tuple(name + side for name in names for side in ("Left", "Right"))


ORDER = (
    "browInnerUp", *_both("browDown", "browOuterUp"),
    *_both("eyeLookUp", "eyeLookDown", "eyeLookIn", "eyeLookOut"),
    *_both("eyeBlink", "eyeSquint", "eyeWide"), "cheekPuff", *_both("cheekSquint", "noseSneer"),
    "jawOpen", "jawForward", "jawLeft", "jawRight", "mouthFunnel", "mouthPucker",
    "mouthLeft", "mouthRight", "mouthRollUpper", "mouthRollLower", "mouthShrugUpper",
    "mouthShrugLower", "mouthClose",
    *_both("mouthSmile", "mouthFrown", "mouthDimple", "mouthUpperUp", "mouthLowerDown"),
    *_both("mouthPress", "mouthStretch"), "tongueOut",
)  # fmt: skip
"""Face Cap's own order of the 52: the index that ``/W`` carries."""


class FaceCap:
    """``/HT``, ``/HR``, ``/ELR`` and ``/ERR`` (degrees), then ``/W`` for each shape."""

    def __init__(
        self, target: UdpTarget, shapes: ShapeSelection, _options: Mapping[str, str]
    ) -> None:
        self._target, self._shapes, self._at = target, shapes, shapes.at
        turns: list[tuple[bytes, int]] = []
        if shapes.head:
            turns += [(message("/HT", 0.0, 0.0, 0.0), 0), (message("/HR", 0.0, 0.0, 0.0), 3)]
        if shapes.gaze:
            turns += [(message("/ELR", 0.0, 0.0), 2), (message("/ERR", 0.0, 0.0), 2)]
        places = [(message("/W", ORDER.index(name), 0.0), 1) for name in shapes.names]
        self._bundles = Bundles([*turns, *places])

    def send(self, frame: BlendshapeFrame) -> None:
        """One datagram."""
        values, at = self._bundles.values, 0
        if self._shapes.head:
            values[:3] = [angle * DEGREES for angle in head(frame)]
            at = 3
        if self._shapes.gaze:
            values[at : at + 4] = [angle * DEGREES for angle in eyes(frame.weights)]
            at += 4
        values[at:] = frame.weights[self._at]
        for datagram in self._bundles.filled():
            self._target.send(datagram)
        if self._shapes.stamp:
            self._target.send(stamp(frame))

    def close(self) -> None:
        """Release the socket."""
        self._target.close()
