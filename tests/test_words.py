"""Text to the visemes of each face."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.words import LONGEST, NO_VISEME, PAUSE, VISEME_FRAMES, VISEMES, spell

GAP = PAUSE // VISEME_FRAMES


def named(visemes: NDArray[np.int8]) -> str:
    return " ".join("_" if v == NO_VISEME else VISEMES[v] for v in visemes[::VISEME_FRAMES])


@pytest.mark.parametrize(
    ("words", "visemes"),
    [
        ("moon", "PP U nn"),
        ("Bob, Pam", f"PP O PP {'_ ' * GAP}PP aa PP"),
        ("the ship", "TH E CH I PP"),
        ("letter", "nn E DD E RR"),
        ("place", "PP nn aa kk"),
        ("see", "SS I"),
        ("phone", "FF O nn"),
        ("5", "FF aa I FF"),
        ("schön", "CH O nn"),
        ("don't", "DD O nn DD"),
        ("wait—stop\nnow", "U E DD SS DD O PP nn O"),
        ("use the café", "U SS TH E kk aa FF E"),
        (
            "3.5, e.g.",
            f"TH RR I FF aa I FF {'_ ' * GAP}E kk{' _' * GAP}",
        ),
        ("Straße", "SS DD RR aa SS"),
        ("你好", ""),
        ("", ""),
    ],
)
def test_letters_are_the_mouth_shapes_they_mostly_stand_for(words: str, visemes: str) -> None:
    assert named(spell(words)) == visemes


def test_every_sound_is_one_of_the_visemes_and_lasts_its_time() -> None:
    assert len(spell("hello " * 1000)) == LONGEST
    visemes = spell(
        "The quick brown fox jumps over the lazy dog 0 1 2 3 4 6 7 8 9; why, xylophone?"
    )
    assert visemes.dtype == np.int8
    assert visemes.max() < len(VISEMES)
    assert set(visemes[visemes != NO_VISEME].tolist()) == set(range(1, len(VISEMES)))
    assert len(visemes) % VISEME_FRAMES == 0
