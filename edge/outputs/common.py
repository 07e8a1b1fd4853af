"""What every scheme shares: which shapes go out, under which name, how large and how often."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.contract import (
    ARKIT_52,
    FPS,
    INDEX,
    BlendshapeFrame,
    ConfigError,
    Floats,
    MissingError,
    Sink,
)
from edge.outputs.tables import opposite
from edge.outputs.udp import UdpTarget

COMMON = {
    "fps": (),
    "region": ("all", "face", "lower", "mouth", "no-gaze"),
    "gain": (),
    "offset": (),
    "rename": (),
    "mirror": ("0", "1"),
    "stamp": ("0", "1"),
}
"""Option -> its allowed values, the default first; nothing listed is free text."""


@dataclass(frozen=True, slots=True)
class ShapeSelection:
    """What the templates are built from; nothing here is looked at again while faces flow."""

    names: tuple[str, ...] = ARKIT_52
    """The shapes that are sent, in ``ARKIT_52`` order."""
    rename: Mapping[str, str] | None = None
    """ARKit name -> the user's name, which no scheme changes further."""
    head: bool = True
    """The region includes the head's turn."""
    gaze: bool = True
    """The region includes where the eyes look, and then the head's turn, too."""
    stamp: bool = False
    """Send ``/edge/time`` with each face."""

    @property
    def at(self) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """Where ``names`` lie among the 52."""
        return np.array([INDEX[name] for name in self.names], np.intp)

    def called(self, name: str, otherwise: str) -> str:
        """The user's name for a shape, or the scheme's."""
        return (self.rename or {}).get(name, otherwise)

    def masked(self, weights: Floats) -> Floats:
        """(52,) for the schemes whose places are fixed: outside the region they say 0."""
        if len(self.names) == len(ARKIT_52):
            return weights
        out = np.zeros_like(weights)
        out[self.at] = weights[self.at]
        return out


def region(name: str) -> tuple[str, ...]:
    """The shapes of a region. Another tracker may own the rest, so those are not sent at all."""
    lower = ("jaw", "mouth", "tongue", "cheekPuff", "noseSneer")
    starts = {"lower": lower, "mouth": lower[:3]}.get(name, ("",))
    without = "eyeLook" if name == "no-gaze" else " "
    return tuple(n for n in ARKIT_52 if n.startswith(starts) and not n.startswith(without))


class PacedSink:
    """Changes the values, thins the faces and hands them to a scheme."""

    def __init__(
        self,
        sink: Sink,
        fps: int,
        gain: Floats,
        offset: Floats,
        mirror: bool,
        target: UdpTarget,
    ) -> None:
        self.target = target
        """Where ``sink`` sends, and what became of it."""
        self._sink, self._fps, self._mirror = sink, fps, mirror
        self._gain, self._offset = gain, offset
        self._take = np.array([INDEX[opposite(n) if mirror else n] for n in ARKIT_52], np.intp)
        self._scaled = bool((gain != 1).any() or offset.any())
        self._seen = 0
        self._held: BlendshapeFrame | None = None

    def send(self, frame: BlendshapeFrame) -> None:
        """Pass on the faces of an integer grid, each at once: thinning adds no delay."""
        on_grid = self._seen * self._fps % FPS < self._fps
        self._seen += 1
        self._held = None if on_grid else frame
        if on_grid:
            self._pass(frame)

    def _pass(self, frame: BlendshapeFrame) -> None:
        if not (self._mirror or self._scaled):
            self._sink.send(frame)
            return
        weights, head = frame.weights, frame.head
        if self._mirror:
            weights, head = weights[self._take], head * (1, -1, -1)
        if self._scaled:
            weights = np.clip(weights * self._gain + self._offset, 0, 1)
        self._sink.send(replace(frame, weights=weights, head=head))

    @property
    def failed(self) -> int:
        """Datagrams that the system refused to send."""
        return self.target.failed

    def close(self) -> None:
        """Pass on a last face off the grid first: it is the neutral one, and it shuts the mouth."""
        if self._held is not None:
            self._pass(self._held)
            self._held = None
        self._sink.close()


def check_delivery(sinks: Iterable[Sink]) -> None:
    """``MissingError`` for an output that was sent faces of which not one datagram left."""
    for sink in sinks:
        target = getattr(sink, "target", None)
        if target and target.failed and not target.sent:
            raise MissingError(
                f"nothing was sent to {target.name}, {target.failed} datagrams were refused "
                f"({target.refusal}); check the address and the network"
            )


def read_options(
    where: str, given: Sequence[tuple[str, str]], known: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    """Options by name, defaults filled in; ``ConfigError`` names the nearest right one."""
    found = {key: allowed[0] if allowed else "" for key, allowed in known.items()}
    chosen: set[str] = set()
    for key, value in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"{where}: unknown option '{key}'; {hint}")
        if known[key] and value not in known[key]:
            choice = "|".join(filter(None, known[key]))
            raise ConfigError(f"{where}: {key}={value}; write {key}={choice}")
        if key in chosen:
            raise ConfigError(f"{where}: {key} is there twice; write it once")
        chosen.add(key)
        found[key] = value
    return found


def pairs(where: str, key: str, text: str) -> dict[str, str]:
    """``jawOpen:1.3,mouthPucker:0.8`` by ARKit name."""
    found = {}
    for item in filter(None, text.split(",")):
        name, colon, value = item.partition(":")
        if name not in INDEX:
            near = difflib.get_close_matches(name, ARKIT_52, 1)
            hint = f"did you mean '{near[0]}'?" if near else "see edge-run --list-shapes"
            raise ConfigError(f"{where}: {key}: unknown shape '{name}'; {hint}")
        if not colon or not value:
            raise ConfigError(f"{where}: {key}: write {key}={name}:VALUE")
        found[name] = value
    return found


def names(where: str, text: str) -> dict[str, str]:
    """``jawOpen:Jaw,mouthClose:Shut``: the user's names by ARKit name, no two the same."""
    found = pairs(where, "rename", text)
    every = Counter(found.get(name, name) for name in ARKIT_52)
    if twice := [name for name, count in every.items() if count > 1]:
        raise ConfigError(f"{where}: rename: two shapes would be called '{twice[0]}'")
    return found


def numbers(where: str, key: str, text: str, default: float) -> Floats:
    """(52,) of ``pairs``, ``default`` where none is given."""
    out = np.full(len(ARKIT_52), default, np.float32)
    for name, value in pairs(where, key, text).items():
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not np.isfinite(number):
            raise ConfigError(f"{where}: {key}: '{value}' of {name} is not a number")
        out[INDEX[name]] = number
    return out


def read_fps(where: str, text: str) -> int:
    """A whole number of faces a second."""
    if not text:
        return FPS
    if not text.isdecimal() or not 1 <= int(text) <= FPS:
        raise ConfigError(f"{where}: fps={text}; write a whole number from 1 to {FPS}")
    return int(text)
