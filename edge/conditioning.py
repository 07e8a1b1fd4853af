"""The generator's conditioning: look-ahead, styles, and the visemes of words known beforehand.

It is one row of C numbers a face. Training, export and the runtime all take its layout from here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge.contract import FPS, Floats, UsageError
from edge.words import NO_VISEME, VISEME_FRAMES, VISEMES

INPUT = "control"
"""Name of the generator's input."""

VISEME_FEATURES = 2 * len(VISEMES)
"""How much of each viseme is due now, and how much soon."""

REACH = 12
"""Faces (0.2 s) that a viseme counts for before and after its own: times are never exact."""
AHEAD = 12
"""Faces from now to soon."""
SPAN = AHEAD + 2 * REACH + 1
"""Faces that one row looks at, from ``REACH`` before now to ``REACH`` after soon."""

STYLE_FADE = 12
"""Faces (0.2 s) from no style to all of it."""


@dataclass(frozen=True, slots=True)
class ConditioningLayout:
    """Which of the C numbers means what: look-ahead one-hot, styles, viseme features."""

    lookaheads: tuple[int, ...]
    """Faces of delay that the networks can run at."""
    styles: tuple[str, ...]
    """Names of the captured talkers whose habits a face can take on."""

    @property
    def size(self) -> int:
        """C."""
        return len(self.lookaheads) + len(self.styles) + VISEME_FEATURES

    @property
    def lookahead(self) -> slice:
        """One-hot over ``lookaheads``."""
        return slice(0, len(self.lookaheads))

    @property
    def style(self) -> slice:
        """How much of each style, 0..1."""
        return slice(len(self.lookaheads), self.size - VISEME_FEATURES)

    @property
    def visemes(self) -> slice:
        """``VISEME_FEATURES`` numbers, 0 to about 1."""
        return slice(self.size - VISEME_FEATURES, self.size)

    @property
    def optional(self) -> slice:
        """Styles and visemes, all zero unless somebody sets them."""
        return slice(len(self.lookaheads), self.size)

    def at(self, lookahead: int) -> Floats:
        """(1, C) at a look-ahead (faces), no style, no words; ``UsageError`` as ``check``."""
        row = np.zeros((1, self.size), np.float32)
        row[0, self.lookahead] = self.one_hot(self.check(lookahead))
        return row

    def all_lookaheads(self) -> Floats:
        """(K, C) a row for each of ``lookaheads``, no style, no words."""
        return np.concatenate([self.at(lookahead) for lookahead in self.lookaheads])

    def one_hot(self, lookahead: int | NDArray[np.integer]) -> Floats:
        """Look-aheads (...) in faces to the look-ahead's part (..., K)."""
        chosen: Floats = (np.asarray(lookahead)[..., None] == self.lookaheads).astype(np.float32)
        return chosen

    def check(self, lookahead: int) -> int:
        """The same look-ahead (faces); ``UsageError`` if it is not one of ``lookaheads``."""
        if lookahead not in self.lookaheads:
            raise self._refusal(round(lookahead * 1000 / FPS))
        return lookahead

    @property
    def lookaheads_ms(self) -> tuple[int, ...]:
        """Look-aheads as a person names them, in whole ms."""
        return tuple(round(n * 1000 / FPS) for n in self.lookaheads)

    def lookahead_of(self, ms: int) -> int:
        """Look-ahead in faces from whole ms; ``UsageError`` if it is not one of ``lookaheads``."""
        if ms not in self.lookaheads_ms:
            raise self._refusal(ms)
        return self.lookaheads[self.lookaheads_ms.index(ms)]

    def _refusal(self, ms: int) -> UsageError:
        choice = ", ".join(map(str, self.lookaheads_ms))
        return UsageError(f"look-ahead {ms} ms: this bundle offers {choice} ms")


class Conditioning:
    """The row of one running face: look-ahead chosen, style faded in, words in time."""

    def __init__(self, layout: ConditioningLayout, lookahead: int) -> None:
        """``lookahead`` is in faces; ``UsageError`` as ``ConditioningLayout.check``."""
        self.layout = layout
        self.lookahead = layout.check(lookahead)
        self.style: tuple[str, float] | None = None
        """Name and amount of the style last set."""
        self._row = layout.at(lookahead)
        self._inputs = {INPUT: self._row}
        self._target: Floats | None = None
        self._script = WordScript()

    def reset(self) -> None:
        """Forget the words; look-ahead and style stay."""
        self._script = WordScript()

    def set_lookahead(self, lookahead: int) -> None:
        """Another look-ahead (faces); ``UsageError`` as ``ConditioningLayout.check``."""
        self.lookahead = self.layout.check(lookahead)
        self._row[0, self.layout.lookahead] = self.layout.one_hot(lookahead)

    def set_style(self, name: str, amount: float) -> None:
        """So much (0..1) of one of the layout's ``styles`` and no other, faded in."""
        self.style = name, amount
        self._target = np.array([amount * (n == name) for n in self.layout.styles], np.float32)

    def expect(self, visemes: NDArray[np.int8], now: int, first: int) -> None:
        """Visemes (n,) of the faces from ``first`` on, as ``edge.words.spell`` gives them."""
        self._script.replace(visemes, now - self.lookahead, first)

    def inputs(self, face: int) -> dict[str, Floats]:
        """The generator's input, by name, when the audio has come to ``face``: one call a face."""
        if self._target is not None:
            self._fade(self._target)
        self._row[0, self.layout.visemes] = self._script.due(face - self.lookahead)
        return self._inputs

    def _fade(self, target: Floats) -> None:
        now = self._row[0, self.layout.style]
        now += np.clip(target - now, -1 / STYLE_FADE, 1 / STYLE_FADE)
        if np.array_equal(now, target):
            self._target = None


def viseme_features(visemes: NDArray[np.integer]) -> Floats:
    """Viseme indices (..., T + SPAN - 1) to viseme features (..., T, VISEME_FEATURES).

    Row ``t`` looks at faces ``t`` to ``t + SPAN - 1``; its "now" is face ``t + REACH``.
    """
    return _weighted(sliding_window_view(visemes, SPAN, axis=-1))


def _weighted(visemes: NDArray[np.integer]) -> Floats:
    """Viseme indices (..., SPAN) around one face to its features (..., VISEME_FEATURES)."""
    due: Floats = _KERNELS @ (visemes[..., None] == _EACH).astype(np.float32)
    return due.reshape(*due.shape[:-2], VISEME_FEATURES)


def _kernels() -> Floats:
    """(2, SPAN) how much a face counts for now and for soon: bells, 83 ms wide (deviation).

    The middle of a viseme alone counts 1, the range of the features beside it.
    """
    far = np.arange(SPAN)[None] - np.array([[REACH], [REACH + AHEAD]])
    bells = np.exp(-0.5 * (far / 5) ** 2) * (np.abs(far) <= REACH)
    whole = (bells * (np.abs(far) <= VISEME_FRAMES // 2)).sum(1, keepdims=True)
    kernels: Floats = (bells / whole).astype(np.float32)
    return kernels


_KERNELS = _kernels()
_EACH = np.arange(len(VISEMES))
_NOTHING = np.zeros(VISEME_FEATURES, np.float32)


class WordScript:
    """The visemes of words that will be spoken, face by face."""

    def __init__(self) -> None:
        self._first = 0
        """Face that ``_visemes`` begin at."""
        self._visemes = np.zeros(0, np.int8)
        self._begins = 0
        """The first of those faces that has a viseme."""

    def replace(self, visemes: NDArray[np.int8], now: int, first: int) -> None:
        """Put ``visemes`` in the place of all there is from face ``first`` on.

        Faces before ``now`` are past and may be dropped.
        """
        kept = self._between(min(now, first) - REACH, first)
        self._first, self._visemes = first - len(kept), np.concatenate([kept, visemes])
        there = np.flatnonzero(self._visemes != NO_VISEME)
        self._begins = self._first + (int(there[0]) if len(there) else len(self._visemes))

    def due(self, face: int) -> Floats:
        """Viseme features (VISEME_FEATURES,) of a face; zeros where there are no words."""
        if not self._begins - REACH - AHEAD <= face < self._first + len(self._visemes) + REACH:
            return _NOTHING
        return _weighted(self._between(face - REACH, face - REACH + SPAN))

    def _between(self, first: int, end: int) -> NDArray[np.int8]:
        """Viseme indices of faces ``first`` to ``end`` - 1."""
        out = np.full(end - first, NO_VISEME, np.int8)
        there = self._visemes[max(0, first - self._first) : max(0, end - self._first)]
        begin = max(0, self._first - first)
        out[begin : begin + len(there)] = there
        return out
