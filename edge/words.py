"""Words that are known before they are heard, as the networks take them: sounds due now and soon.

A kiosk that speaks from text may send its words (``/edge/text``). They are spelled, not looked up:
letters to the mouth shape they most likely stand for, in time with average speech.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge.contract import Floats

VISEMES = (
    "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U",
)  # fmt: skip
"""Meta's 15 (OVRLipSync), in its order."""

NO_VISEME = -1
"""Viseme index of a face that no word is said at."""

VISEME_FEATURES = 2 * len(VISEMES)
"""Of what the networks are told: how much of each viseme is due now, and how much soon."""

REACH = 12
"""Faces (0.2 s) that a sound counts for before and after its own: times are never exact."""
AHEAD = 12
"""Faces from now to soon."""
SPAN = AHEAD + 2 * REACH + 1
"""Faces that are looked at, from ``REACH`` before now to ``REACH`` after soon."""

SOUND = 5
"""Faces a sound lasts (83 ms), as in 150 words a minute."""
LONGEST = 3600
"""Faces (a minute) that one message can tell of."""
PAUSE = 15
"""Faces of a comma or a full stop."""

# English spelling, or any that writes p, b and m as p, b and m; the first that fits is taken.
_SPELLING = {
    "sch": "CH", "tch": "CH", "igh": "aa I", "ch": "CH", "sh": "CH", "th": "TH", "ph": "FF",
    "ck": "kk", "qu": "kk U", "wh": "U", "wr": "RR", "kn": "nn", "oo": "U", "ou": "aa U",
    "ow": "O", "ee": "I", "ea": "I", "ie": "I", "ai": "E", "ay": "E", "ey": "E", "oy": "O I",
    "ew": "U", "ue": "U", "a": "aa", "b": "PP", "c": "kk", "d": "DD", "e": "E", "f": "FF",
    "g": "kk", "h": "kk", "i": "I", "j": "CH", "k": "kk", "l": "nn", "m": "PP", "n": "nn",
    "o": "O", "p": "PP", "q": "kk", "r": "RR", "s": "SS", "t": "DD", "u": "U", "v": "FF",
    "w": "U", "x": "kk SS", "y": "I", "z": "SS",
    "0": "SS I RR O", "1": "U aa nn", "2": "DD U", "3": "TH RR I", "4": "FF O RR",
    "5": "FF aa I FF", "6": "SS I kk SS", "7": "SS E FF E nn", "8": "E I DD", "9": "nn aa I nn",
}  # fmt: skip
_PART = re.compile("|".join(_SPELLING) + r"|[.,;:!?]+(?=\s|$)")
# The "e" of "use", "place" and "horse", not of "she", "coffee" or "café".
_SILENT = re.compile(
    "(?:(?<=[aeiouy]C)|(?<=[aeiouy]CC))e(?![a-z\u0300-\u036f])".replace("C", "[b-df-hj-np-tv-xz]")
)
_UNSPELLED = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d"})


def spell(words: str) -> NDArray[np.int8]:
    """Viseme index of each face (n,) while ``words`` are said; ``NO_VISEME`` in pauses.

    At most ``LONGEST`` faces. Other scripts than Latin are left out: nobody can say from their
    signs how a mouth moves.
    """
    letters = unicodedata.normalize("NFKD", words.casefold()).translate(_UNSPELLED)
    letters = re.sub(r"([a-z])\1(?<![eo])", r"\1", letters)  # "tt" is one sound, "oo" another
    letters = _SILENT.sub("", letters)
    letters = re.sub("['\u2019\u0300-\u036f]", "", letters)  # apostrophes and accents
    letters = re.sub("[^a-z0-9.,;:!?]", " ", letters)
    faces: list[int] = []
    for part in _PART.findall(letters):
        if part in _SPELLING:
            for viseme in _SPELLING[part].split():
                faces += [VISEMES.index(viseme)] * SOUND
        else:
            faces += [NO_VISEME] * PAUSE
    return np.array(faces[:LONGEST], np.int8)


def viseme_features(sounds: NDArray[np.integer]) -> Floats:
    """Viseme indices (..., T + SPAN - 1) to what the networks are told (..., T, LENGTH).

    Row ``t`` looks at faces ``t`` to ``t + SPAN - 1``; its "now" is face ``t + REACH``.
    """
    return _weighed(sliding_window_view(sounds, SPAN, axis=-1))


def _weighed(sounds: NDArray[np.integer]) -> Floats:
    """Viseme indices (..., SPAN) that one face looks at, to what it is told (..., LENGTH)."""
    due: Floats = _KERNELS @ (sounds[..., None] == _EACH).astype(np.float32)
    return due.reshape(*due.shape[:-2], VISEME_FEATURES)


def _kernels() -> Floats:
    """(2, SPAN) how much a face counts for now and for soon: bells, 83 ms wide (deviation).

    The middle of a sound alone counts 1, the range of the features that are told beside it.
    """
    far = np.arange(SPAN)[None] - np.array([[REACH], [REACH + AHEAD]])
    bells = np.exp(-0.5 * (far / 5) ** 2) * (np.abs(far) <= REACH)
    sound = (bells * (np.abs(far) <= SOUND // 2)).sum(1, keepdims=True)
    kernels: Floats = (bells / sound).astype(np.float32)
    return kernels


_KERNELS = _kernels()
_EACH = np.arange(len(VISEMES))
_NOTHING = np.zeros(VISEME_FEATURES, np.float32)


class WordScript:
    """What will be said when, face by face."""

    def __init__(self) -> None:
        self._first = 0
        """Face that ``_sounds`` begin at."""
        self._sounds = np.zeros(0, np.int8)
        self._begins = 0
        """The first of those faces that a word is said at."""

    def say(self, sounds: NDArray[np.int8], now: int, first: int) -> None:
        """What ``spell`` gave begins at face ``first``; what was to come from there is replaced.

        Nobody asks any more about faces before ``now``.
        """
        kept = self._between(min(now, first) - REACH, first)
        self._first, self._sounds = first - len(kept), np.concatenate([kept, sounds])
        viseme_features = np.flatnonzero(self._sounds != NO_VISEME)
        self._begins = self._first + (
            int(viseme_features[0]) if len(viseme_features) else len(self._sounds)
        )

    def due(self, face: int) -> Floats:
        """(LENGTH,) what the networks are told while they make a face; zeros without words."""
        if not self._begins - REACH - AHEAD <= face < self._first + len(self._sounds) + REACH:
            return _NOTHING
        return _weighed(self._between(face - REACH, face - REACH + SPAN))

    def _between(self, first: int, end: int) -> NDArray[np.int8]:
        """Viseme indices of faces ``first`` to ``end`` - 1."""
        out = np.full(end - first, NO_VISEME, np.int8)
        there = self._sounds[max(0, first - self._first) : max(0, end - self._first)]
        begin = max(0, self._first - first)
        out[begin : begin + len(there)] = there
        return out
