"""One JSON object a datagram, for scripts and browsers."""

from __future__ import annotations

import json
from collections.abc import Mapping

from edge.contract import BlendshapeFrame
from edge.outputs.common import ShapeSelection
from edge.outputs.udp import UdpTarget

THOUSANDTHS = [f"{i / 1000:g}" for i in range(1001)]
"""Formatting 52 floats takes longer than everything else; three decimals are enough to see."""


class JsonOutput:
    """``frame``, time stamps, emotion, ``head`` (radians) and ``weights`` by name."""

    def __init__(
        self, target: UdpTarget, shapes: ShapeSelection, _options: Mapping[str, str]
    ) -> None:
        self._target, self._shapes, self._at = target, shapes, shapes.at
        self._parts = [""] * (2 * len(shapes.names))
        keys = [json.dumps(shapes.called(name, name)) for name in shapes.names]
        self._parts[::2] = [f",{key}:" for key in keys]
        self._parts[0] = self._parts[0][1:]
        self._frame = 0

    def send(self, frame: BlendshapeFrame) -> None:
        """One datagram; ``captured_at`` is the sender's monotonic clock, ``delay`` is declared."""
        whole = (frame.weights[self._at] * 1000 + 0.5).astype(int).tolist()
        self._parts[1::2] = [THOUSANDTHS[i] for i in whole]
        pitch, yaw, roll = frame.head.tolist()
        turn = f'"head":[{pitch:.4f},{yaw:.4f},{roll:.4f}],' if self._shapes.head else ""
        text = (
            f'{{"frame":{self._frame},"captured_at":{frame.captured_at:.6f},'
            f'"delay":{frame.delay:.6f},"level_db":{frame.level_db:.1f},'
            f'"emotion":{json.dumps(frame.emotion)},'
            f'"emotion_strength":{frame.emotion_strength:.3f},{turn}'
            f'"weights":{{{"".join(self._parts)}}}}}'
        )
        self._frame += 1
        self._target.send(text.encode())

    def close(self) -> None:
        """Release the socket."""
        self._target.close()
