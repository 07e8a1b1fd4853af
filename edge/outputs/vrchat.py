"""VRChat avatar parameters: Unified Expressions (``v2/*``) or plain visemes.

OSCQuery discovery is left out: it is multicast, and VRChat's port is fixed by default.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge.contract import BlendshapeFrame, Floats
from edge.outputs.common import ShapeSelection
from edge.outputs.osc import LARGEST, Datagram, message
from edge.outputs.stamp import stamp
from edge.outputs.tables import UNIFIED, VISEMES, extend, inputs_of, matrix
from edge.outputs.udp import UdpTarget

ROOT = "/avatar/parameters/"
EPSILON = 0.002
"""Changes that nobody sees; VRChat sends 8 bits to other players."""
HEADER = bytes(Datagram([], []).data)


class VRChat:
    """Sends what changed, and once a second everything, for whoever joined late."""

    OPTIONS = {"mode": ("unified", "visemes"), "prefix": ()}  # noqa: RUF012

    def __init__(
        self, target: UdpTarget, shapes: ShapeSelection, options: Mapping[str, str]
    ) -> None:
        self._target, self._shapes = target, shapes
        self._every, self._seen = int(options["fps"]), 0
        self._visemes = options["mode"] == "visemes"
        prefix = options["prefix"].strip("/")
        root = ROOT + (f"{prefix}/" if prefix else "") + "v2/"
        ours = set(shapes.names)
        rows = {k: v for k, v in UNIFIED.items() if inputs_of(v) <= ours}
        active = {
            "EyeTrackingActive": any(name.startswith("eye") for name in ours),
            "LipTrackingActive": "jawOpen" in ours,
            "ExpressionTrackingActive": True,
        }
        # True only: a tracker that owns the other region says so for itself.
        self._fixed = [] if self._visemes else [
            _element(message(ROOT + name, True)) for name, on in active.items() if on
        ]  # fmt: skip
        table = VISEMES if self._visemes else rows
        self._matrix = matrix(table)
        self._inputs = np.zeros(self._matrix.shape[1], np.float32)
        self._template, self._elements = _elements([message(root + k, 0.0) for k in rows])
        self._last: Floats = np.full(len(rows), np.inf, np.float32)
        self._numbers = [_element(message(ROOT + "Viseme", i)) for i in range(len(VISEMES))]
        self._viseme = -1

    def send(self, frame: BlendshapeFrame) -> None:
        """As many datagrams as the changes need, often one."""
        refresh = self._seen % self._every == 0
        self._seen += 1
        extend(frame.weights, self._inputs)
        found = self._matrix @ self._inputs
        parts = (
            self._plain(frame, found, refresh) if self._visemes else self._unified(found, refresh)
        )
        self._deliver(parts)
        if self._shapes.stamp:
            self._target.send(stamp(frame))

    def _plain(
        self, frame: BlendshapeFrame, found: Floats, refresh: bool
    ) -> list[bytes | memoryview]:
        # -60 dBFS is silence, -12 a loud voice.
        voice = min(max((frame.level_db + 60) / 48, 0.0), 1.0)
        parts: list[bytes | memoryview] = [_element(message(ROOT + "Voice", voice))]
        number = int(found.argmax())
        if refresh or number != self._viseme:
            parts.append(self._numbers[number])
        self._viseme = number
        return parts

    def _unified(self, found: Floats, refresh: bool) -> list[bytes | memoryview]:
        values = np.minimum(np.maximum(found, -1), 1)
        self._template.fill(values)
        if refresh:
            self._last[:] = values
            return [*self._fixed, *self._elements]
        changed = (np.abs(values - self._last) > EPSILON).nonzero()[0]
        self._last[changed] = values[changed]
        return [self._elements[i] for i in changed.tolist()]

    def _deliver(self, parts: list[bytes | memoryview]) -> None:
        if sum(map(len, parts)) + len(HEADER) <= LARGEST:
            if parts:
                self._target.send(b"".join([HEADER, *parts]))
            return
        group, size = [HEADER], len(HEADER)
        for part in parts:
            if size + len(part) > LARGEST:
                self._target.send(b"".join(group))
                group, size = [HEADER], len(HEADER)
            group.append(part)  # type: ignore[arg-type]
            size += len(part)
        self._target.send(b"".join(group))

    def close(self) -> None:
        """Release the socket."""
        self._target.close()


def _element(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _elements(messages: list[bytes]) -> tuple[Datagram, list[memoryview]]:
    """A template of every parameter and a view on each one's bytes in it."""
    whole = Datagram(messages, range(len(messages)))
    view, at, views = memoryview(whole.data), len(HEADER), []
    for content in messages:
        views.append(view[at : at + 4 + len(content)])
        at += 4 + len(content)
    return whole, views
