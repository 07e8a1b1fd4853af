"""The face: shut without speech, open within two faces, in range."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract import INDEX, Floats
from edge.face import Face
from tests.fakes import JAW


def jaw_of(face: Face, speech: list[bool]) -> Floats:
    raw = np.zeros(52, np.float32)
    raw[JAW] = 0.8
    return np.array([face.shape(raw, said)[0][JAW] for said in speech])


def test_without_speech_the_mouth_is_shut_within_0_3_s() -> None:
    jaw = jaw_of(Face({}, 0, 0), [True] * 60 + [False] * 60)
    assert jaw[59] > 0.7
    assert jaw[60 + 17] < 0.02
    assert (np.diff(jaw[60:]) <= 1e-7).all()


def test_speech_opens_within_two_faces() -> None:
    jaw = jaw_of(Face({}, 0, 0), [False] * 60 + [True] * 30)
    assert jaw[59] == 0
    assert jaw[61] >= 0.75 * 0.8 - 1e-6
    assert jaw[63] > 0.9 * 0.8


def test_the_mouth_opens_half_way_a_face() -> None:
    raw = np.full(52, 0.5, np.float32)
    face = Face({}, 0, 0)
    shown = [face.shape(raw, True)[0][JAW] for _ in range(3)]
    assert shown == pytest.approx([0.25, 0.375, 0.4375])
    rests = [face.rest()[0][JAW] for _ in range(2)]
    assert rests == pytest.approx([0.4375 * 0.8, 0.4375 * 0.64])


@pytest.mark.parametrize("lookahead", [0, 1, 4, 8])
def test_the_verdict_waits_for_the_look_ahead_but_for_one_face(lookahead: int) -> None:
    face = Face({}, lookahead, 0)
    raw = np.full(52, 0.5, np.float32)
    shown = [face.shape(raw, True)[0][JAW] for _ in range(12)]
    assert np.flatnonzero(shown)[0] == max(0, lookahead - 1)


def test_in_silence_the_rest_pose_is_shown() -> None:
    face = Face({"mouthClose": 0.25, "mouthSmileLeft": 0.1}, 2, 0)
    weights, _ = face.shape(np.full(52, 0.9, np.float32), False)
    assert weights[INDEX["mouthClose"]] == pytest.approx(0.25)
    assert weights[INDEX["mouthSmileLeft"]] == pytest.approx(0.1)
    assert weights[JAW] == 0


def test_raw_weights_outside_the_range_are_cut() -> None:
    face = Face({}, 0, 0)
    raw = np.zeros(52, np.float32)
    raw[JAW], raw[INDEX["mouthPucker"]] = 5.0, -5.0
    for _ in range(10):
        weights, _ = face.shape(raw, True)
    assert weights[JAW] == 1
    assert weights[INDEX["mouthPucker"]] == 0


def test_what_the_network_gave_is_not_written_to() -> None:
    raw = np.full(52, 3.0, np.float32)
    Face({}, 0, 0).shape(raw, True)
    assert (raw == 3).all()


def test_after_a_reset_old_verdicts_do_not_open_the_mouth() -> None:
    face = Face({}, 4, 0)
    raw = np.full(52, 0.5, np.float32)
    for _ in range(10):
        face.shape(raw, True)
    before = face.rest()[0][JAW]
    face.reset(4)
    after = [face.shape(raw, False)[0][JAW] for _ in range(10)]
    assert before > after[0] > after[-1] > 0  # it closes from where it is
