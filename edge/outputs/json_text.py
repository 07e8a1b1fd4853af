"""One JSON object a datagram, for scripts and browsers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from edge.contract import BlendshapeFrame, ConfigError
from edge.outputs.common import ShapeSelection
from edge.outputs.frame_number import FrameNumber
from edge.outputs.osc import LARGEST
from edge.outputs.udp import UdpTarget

THOUSANDTHS = [f"{i / 1000:g}".encode() for i in range(1001)]
"""Formatting 52 floats takes longer than everything else; three decimals are enough to see."""
BEGINNING = 320
"""Bytes that are kept free for what comes before the weights."""


class JsonOutput:
    """``frame``, time stamps, emotion, ``head`` (radians) and ``weights`` by name.

    52 names do not fit a datagram, so a face is two objects with the same ``frame``, each with some
    of the weights and a ``part`` such as ``[1, 2]``. ``form=array`` is one object, its weights
    without names in ``ARKIT_52`` order, 0 outside the region.
    """

    OPTIONS = {"form": ("named", "array")}  # noqa: RUF012

    def __init__(
        self, target: UdpTarget, shapes: ShapeSelection, options: Mapping[str, str]
    ) -> None:
        array = options["form"] == "array"
        if array and shapes.rename:
            raise ConfigError(f"{options['where']}: an array has no names; drop rename")
        self._target, self._shapes, self._at = target, shapes, shapes.at
        self._number = FrameNumber(int(options["fps"]))
        self._array = array
        keys = [f"{json.dumps(shapes.called(name, name))}:" for name in shapes.names]
        groups = [[""] * 52] if array else _groups(keys)
        self._parts: list[tuple[slice, list[bytes]]] = []
        """Of the weights, and the pieces of a datagram: a beginning, then key, weight, key ..."""
        first = 0
        for i, group in enumerate(groups):
            part = f'"part":[{i + 1},{len(groups)}],' if len(groups) > 1 else ""
            pieces = [b""] * (2 * len(group) + 2)
            pieces[1:-1:2] = [f",{key}".encode() for key in group]
            before, after = (b"[", b"]}") if array else (b"{", b"}}")
            pieces[1] = f'{part}"weights":'.encode() + before + pieces[1][1:]
            pieces[-1] = after
            self._parts.append((slice(first, first + len(group)), pieces))
            first += len(group)

    def send(self, frame: BlendshapeFrame) -> None:
        """One or two datagrams; ``captured_at`` is the sender's monotonic clock.

        ``delay`` is declared; with ``stamp=1`` an ``age`` says how many seconds ago that was.
        """
        weights = self._shapes.masked(frame.weights) if self._array else frame.weights[self._at]
        values = [THOUSANDTHS[i] for i in (weights * 1000 + 0.5).astype(int).tolist()]
        pitch, yaw, roll = frame.head.tolist()
        turn = f'"head":[{pitch:.4f},{yaw:.4f},{roll:.4f}],' if self._shapes.head else ""
        age = f'"age":{time.monotonic() - frame.captured_at:.6f},' if self._shapes.stamp else ""
        beginning = (
            f'{{"frame":{self._number.of(frame)},"captured_at":{frame.captured_at:.6f},'
            f'"delay":{frame.delay:.6f},"level_db":{frame.level_db:.1f},'
            f'"emotion":{json.dumps(frame.emotion) if frame.emotion else "null"},'
            f'"emotion_strength":{frame.emotion_strength:.3f},{age}{turn}'
        ).encode()
        for some, pieces in self._parts:
            pieces[0] = beginning
            pieces[2:-1:2] = values[some]
            self._target.send(b"".join(pieces))

    def close(self) -> None:
        """Release the socket."""
        self._target.close()


def _groups(keys: list[str]) -> list[list[str]]:
    """As few groups as fit; ``ValueError`` if a key alone does not."""
    groups: list[list[str]] = [[]]
    size = BEGINNING
    for key in keys:
        longest = len(f",{key}0.123")
        if BEGINNING + longest > LARGEST:
            raise ValueError(f"a name of {len(key)} letters; shorten it")
        if size + longest > LARGEST:
            groups.append([])
            size = BEGINNING
        groups[-1].append(key)
        size += longest
    return groups
