"""Text to the visemes of each face, for words that are known before they are spoken.

A kiosk that speaks from text may send its words (``/edge/text``). They are spelled, not looked up:
letters to the mouth shape they most likely stand for, in time with average speech.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

VISEMES = (
    "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U",
)  # fmt: skip
"""Meta's 15 (OVRLipSync), in its order."""

NO_VISEME = -1
"""Viseme index of a face without a word."""

VISEME_FRAMES = 5
"""Faces that a viseme lasts (83 ms), as in 150 words a minute."""
LONGEST = 3600
"""Faces (a minute) that one message can fill."""
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
    """Viseme index of each face (n,) while ``words`` are spoken; ``NO_VISEME`` in pauses.

    At most ``LONGEST`` faces. Scripts other than Latin are left out: their signs do not
    tell how a mouth moves.
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
                faces += [VISEMES.index(viseme)] * VISEME_FRAMES
        else:
            faces += [NO_VISEME] * PAUSE
    return np.array(faces[:LONGEST], np.int8)
