"""VRChat avatar parameters: Unified Expressions (``v2/*``) or plain visemes.

OSCQuery discovery is left out: it is multicast, and VRChat's port is fixed by default.
"""

from __future__ import annotations

import difflib
import re
import struct
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol

import numpy as np

from edge.contract import BlendshapeFrame, ConfigError, Floats
from edge.outputs.common import ShapeSelection
from edge.outputs.osc import BUNDLE, LARGEST, message
from edge.outputs.stamp import stamp
from edge.outputs.tables import UNIFIED, VISEMES, extend, inputs_of, matrix
from edge.outputs.udp import UdpTarget

ROOT = "/avatar/parameters/"
EPSILON = 0.002
"""Changes that nobody sees; VRChat sends 8 bits to other players."""
MOST_BITS = 8
"""VRChat synchronises a float as 8 bits, so more would cost more and say nothing."""

Element = bytes | bytearray | memoryview
"""One message with its size before it, as it stands in a bundle."""


class Parameters(Protocol):
    """A group of avatar parameters that remembers what it sent last."""

    def changed(self, frame: BlendshapeFrame, values: Floats, refresh: bool) -> list[Element]:
        """What must be sent for ``values`` (rows of the table,); all of it to refresh."""


class VRChat:
    """Sends what changed, and once a second everything, for whoever joined late."""

    OPTIONS = {"mode": ("unified", "visemes"), "prefix": (), "binary": ()}  # noqa: RUF012

    def __init__(
        self, target: UdpTarget, shapes: ShapeSelection, options: Mapping[str, str]
    ) -> None:
        where = options["where"]
        if shapes.rename:
            raise ConfigError(f"{where}: vrchat sends names that avatars expect; drop rename")
        self._target, self._shapes = target, shapes
        self._every, self._seen = int(options["fps"]), 0
        prefix = _prefix(where, options["prefix"])
        visemes = options["mode"] == "visemes"
        table = VISEMES if visemes else _known_to(shapes)
        self._matrix = matrix(table)
        self._inputs = np.zeros(self._matrix.shape[1], np.float32)
        bits = _bits(where, options["binary"], list(table))
        if visemes:
            if not prefix:
                raise ConfigError(
                    f"{where}: VRChat's own Viseme and Voice cannot be set over OSC; give the "
                    "avatar an int NAME/Viseme and a float NAME/Voice, and add prefix=NAME"
                )
            if bits:
                raise ConfigError(f"{where}: a viseme is one number; drop binary")
            self._groups: list[Parameters] = [VisemeParameters(ROOT + prefix)]
        else:
            floats = [name for name in table if name not in bits]
            groups = (
                FloatParameters(f"{ROOT}{prefix}v2/", floats, list(table)) if floats else None,
                BitParameters(f"{ROOT}{prefix}v2/", bits, list(table)) if bits else None,
                ActiveParameters(shapes),
            )
            self._groups = [group for group in groups if group]

    def send(self, frame: BlendshapeFrame) -> None:
        """As many datagrams as the changes need, often one."""
        refresh = self._seen % self._every == 0
        self._seen += 1
        extend(frame.weights, self._inputs)
        values = self._matrix @ self._inputs
        first, *others = self._groups
        elements = first.changed(frame, values, refresh)
        for group in others:
            if more := group.changed(frame, values, refresh):
                elements = [*elements, *more]
        self._deliver(elements)
        if self._shapes.stamp:
            self._target.send(stamp(frame))

    def _deliver(self, elements: list[Element]) -> None:
        sizes = list(accumulate(map(len, elements), initial=len(BUNDLE)))
        begin = 0
        while begin < len(elements):
            end = bisect_right(sizes, sizes[begin] - len(BUNDLE) + LARGEST) - 1
            self._target.send(b"".join([BUNDLE, *elements[begin:end]]))
            begin = end

    def close(self) -> None:
        """Release the socket."""
        self._target.close()


class ActiveParameters:
    """``EyeTrackingActive`` and its like, where this output moves that part of the face."""

    def __init__(self, shapes: ShapeSelection) -> None:
        active = {
            "EyeTrackingActive": any(name.startswith("eye") for name in shapes.names),
            "LipTrackingActive": "jawOpen" in shapes.names,
            "ExpressionTrackingActive": True,
        }
        # True only: a tracker that owns the other region says so for itself.
        self._all: list[Element] = [
            _element(ROOT + name, True) for name, on in active.items() if on
        ]

    def changed(self, frame: BlendshapeFrame, values: Floats, refresh: bool) -> list[Element]:
        """They never change."""
        return self._all if refresh else []


class FloatParameters:
    """A float each, in -1..1."""

    def __init__(self, root: str, names: Sequence[str], rows: Sequence[str]) -> None:
        """``names`` are sent under ``root``; ``rows`` are those of the table."""
        elements = [_element(root + name, 0.0) for name in names]
        data = bytearray(b"".join(elements))
        ends = np.cumsum([len(element) for element in elements])
        view = memoryview(data)
        self._elements: list[Element] = [
            view[end - len(element) : end] for element, end in zip(elements, ends, strict=True)
        ]
        # Everything in OSC is padded to four bytes, so each float has an index of its own.
        self._floats = np.frombuffer(data, ">f4")
        self._at = ends // 4 - 1
        self._rows = np.array([rows.index(name) for name in names], np.intp)
        self._whole = len(names) == len(rows)
        self._last: Floats = np.full(len(names), np.inf, np.float32)

    def changed(self, frame: BlendshapeFrame, values: Floats, refresh: bool) -> list[Element]:
        """Those that differ by more than ``EPSILON`` from what was sent."""
        values = np.minimum(np.maximum(values if self._whole else values[self._rows], -1), 1)
        self._floats[self._at] = values
        if refresh:
            self._last[:] = values
            return self._elements
        at = (np.abs(values - self._last) > EPSILON).nonzero()[0]
        self._last[at] = values[at]
        return [self._elements[i] for i in at.tolist()]


class BitParameters:
    """``NAME1``, ``NAME2``, ``NAME4`` ... are the bits of a value, ``NAMENegative`` its sign.

    As VRCFaceTracking counts them: 0..1 is cut into 2^bits steps, and 1 is in the last.
    """

    def __init__(self, root: str, bits: Mapping[str, int], rows: Sequence[str]) -> None:
        names = [(name, count, k) for name, count in bits.items() for k in range(count)]
        self._rows = np.array([rows.index(name) for name, _, _ in names], np.intp)
        self._steps = np.array([1 << count for _, count, _ in names], np.int32)
        self._bit = np.array([1 << k for _, _, k in names], np.int32)
        self._signs = np.array([rows.index(name) for name in bits], np.intp)
        called = [*(f"{name}{1 << k}" for name, _, k in names), *(f"{n}Negative" for n in bits)]
        self._off = [_element(root + name, False) for name in called]
        self._on = [_element(root + name, True) for name in called]
        self._last = np.zeros(len(called), bool)

    def changed(self, frame: BlendshapeFrame, values: Floats, refresh: bool) -> list[Element]:
        """The bits that flipped."""
        steps = (np.abs(values[self._rows]) * self._steps).astype(np.int32)
        on = (np.minimum(steps, self._steps - 1) & self._bit) != 0
        now = np.concatenate([on, values[self._signs] < 0])
        send = np.ones_like(now) if refresh else now != self._last
        self._last = now
        return [
            *[self._on[i] for i in (send & now).nonzero()[0].tolist()],
            *[self._off[i] for i in (send & ~now).nonzero()[0].tolist()],
        ]


class VisemeParameters:
    """``Viseme`` (int, 0 to 14 in VRChat's order) and ``Voice`` (float, 0 to 1) of the avatar."""

    def __init__(self, root: str) -> None:
        """``root`` ends in a prefix of the user's: VRChat's own two cannot be set."""
        self._voice = bytearray(_element(root + "Voice", 0.0))
        self._numbers = [_element(root + "Viseme", i) for i in range(len(VISEMES))]
        self._last = -1

    def changed(self, frame: BlendshapeFrame, values: Floats, refresh: bool) -> list[Element]:
        """The loudness, and the viseme if it is another one."""
        # -60 dBFS is silence, -12 a loud voice.
        voice = min(max((frame.level_db + 60) / 48, 0.0), 1.0)
        struct.pack_into(">f", self._voice, len(self._voice) - 4, voice)
        elements: list[Element] = [self._voice]
        number = int(values.argmax())
        if refresh or number != self._last:
            elements.append(self._numbers[number])
        self._last = number
        return elements


def _element(address: str, value: float | bool) -> bytes:
    content = message(address, value)
    return len(content).to_bytes(4, "big") + content


def _known_to(shapes: ShapeSelection) -> dict[str, tuple[str, ...]]:
    ours = set(shapes.names)
    return {name: terms for name, terms in UNIFIED.items() if inputs_of(terms) <= ours}


def _prefix(where: str, text: str) -> str:
    """``FT`` or ``/FT/`` as ``FT/``; nothing stays nothing."""
    prefix = text.strip("/")
    if not re.fullmatch(r"[^\s#*,?\[\]{}]{0,100}", prefix) or "//" in prefix:
        raise ConfigError(
            f"{where}: prefix={text}; write a name of at most 100 letters, without spaces or "
            "any of #*,?[]{}"
        )
    return f"{prefix}/" if prefix else ""


def _bits(where: str, text: str, names: Sequence[str]) -> dict[str, int]:
    """``4`` (of all names) or ``JawOpen:4,MouthX:3`` (of these) to bits by name."""
    pairs = [pair.partition(":")[::2] for pair in text.split(",") if pair]
    if len(pairs) == 1 and not pairs[0][1]:
        pairs = [(name, text) for name in names]
    for name, bits in pairs:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"{where}: binary: no parameter '{name}' is sent{hint}")
        if not (bits.isdecimal() and 1 <= int(bits) <= MOST_BITS):
            raise ConfigError(f"{where}: binary={text}; write 1 to {MOST_BITS} bits, or NAME:BITS")
    return {name: int(bits) for name, bits in pairs}
