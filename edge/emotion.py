"""An emotion by name to offsets on the 52 shapes, faded in and out face by face."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from edge.contract import FPS, INDEX, Floats, quoted

TABLE = Path(__file__).with_name("emotion.yaml")
STILL = np.zeros(52, np.float32)


@cache
def load_emotions() -> tuple[dict[str, Floats], dict[str, str]]:
    """Name to (52,) offsets at full intensity, and synonym to name."""
    raw = yaml.safe_load(TABLE.read_text("utf-8"))
    offsets = {}
    for name, units in raw["emotions"].items():
        offsets[name] = np.zeros(52, np.float32)
        for unit, strength in units.items():
            offsets[name][[INDEX[shape] for shape in raw["units"][unit]]] = strength
    return offsets, raw["synonyms"]


@cache
def load_valence() -> dict[str, float]:
    """Name to how pleasant it is, -1 to 1."""
    table: dict[str, float] = yaml.safe_load(TABLE.read_text("utf-8"))["valence"]
    return table


def emotion_named(word: str) -> str:
    """The emotion that a name or a synonym means; ``ValueError`` names the nearest right one."""
    offsets, synonyms = load_emotions()
    low = word.lower()[:80]
    name = synonyms.get(low, low)
    if name not in offsets:
        near = difflib.get_close_matches(low, [*offsets, *synonyms], 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(offsets)}"
        raise ValueError(f"unknown emotion {quoted(word)}; {hint}")
    return name


class EmotionBlend:
    """The emotion of the face now. Moves only when ``next`` is called, once a face."""

    def __init__(self) -> None:
        self.name: str | None = None
        """Set or fading out; ``None`` where the face has no emotion of its own."""
        self.strength = 0.0
        """0..1, as faded in by now."""
        self._now = self._from = self._to = STILL
        self._ends = (0.0, 0.0)
        self._done = self._faces = 0
        self._leaving = False

    def fade_to(self, word: str | None, intensity: float, seconds: float) -> None:
        """Fade to an emotion or synonym at ``intensity`` 0..1; ``None`` fades out.

        ``ValueError`` as ``emotion_named``.
        """
        name = None if word is None else emotion_named(word)
        self._leaving = name is None
        target = 0.0 if name is None else intensity
        self._ends = (self.strength if self._leaving or name == self.name else 0.0, target)
        self.name = self.name if name is None else name
        self._from = self._now
        self._to = STILL if name is None else load_emotions()[0][name] * np.float32(intensity)
        self._done, self._faces = 0, max(1, round(seconds * FPS))

    def next(self) -> Floats:
        """(52,) offsets of one face later."""
        if self._done < self._faces:
            self._done += 1
            share = self._done / self._faces
            ease = share * share * (3.0 - 2.0 * share)
            self._now = self._from + (self._to - self._from) * np.float32(ease)
            self.strength = self._ends[0] + (self._ends[1] - self._ends[0]) * ease
        elif self._leaving:
            self.name = None
        return self._now
