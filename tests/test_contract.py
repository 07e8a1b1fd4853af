"""Faces are placed by integers, and names are the only way to an index."""

from __future__ import annotations

import numpy as np

from edge.contract import ARKIT_52, INDEX, AudioBlock, face_end, faces_within


def test_three_faces_are_800_samples() -> None:
    assert [face_end(i) for i in range(4)] == [266, 533, 800, 1066]
    assert face_end(60 * 3600 - 1) == 16_000 * 3600


def test_a_face_is_complete_with_its_last_sample_and_not_before() -> None:
    assert [faces_within(n) for n in (0, 265, 266, 532, 533, 799, 800)] == [0, 0, 1, 1, 2, 2, 3]


def test_the_names_are_apples_52_in_live_link_order() -> None:
    assert len(set(ARKIT_52)) == len(ARKIT_52) == 52
    assert ARKIT_52[0] == "eyeBlinkLeft"
    assert ARKIT_52[17] == "jawOpen"
    assert ARKIT_52[51] == "tongueOut"
    assert INDEX["jawLeft"] == 15
    assert INDEX["jawRight"] == 16


def test_a_block_ends_one_past_its_last_sample() -> None:
    assert AudioBlock(np.zeros(160, np.float32), 320, 0.0).end == 480
