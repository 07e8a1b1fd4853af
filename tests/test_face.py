"""The face: shut in silence, deaf to fans and hum, open within two faces, in range."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract import INDEX, Floats
from edge.face import HOLD, SMOOTH, Face, Gate
from edge.features import Features
from tests.fakes import JAW, noise, silence, tone


def levels(samples: Floats) -> list[float]:
    return [level for _, _, level in Features().push(samples)]


def verdicts(samples: Floats) -> np.ndarray:
    gate = Gate()
    return np.array([gate.speaks(level) for level in levels(samples)])


def jaw_of(face: Face, samples: Floats) -> Floats:
    raw = np.zeros(52, np.float32)
    raw[JAW] = 0.8
    return np.array([face.shape(raw, level)[0][JAW] for level in levels(samples)])


def test_silence_shuts_the_mouth_0_3_s_after_the_gate() -> None:
    face = Face({}, 0, 0)
    jaw = jaw_of(face, np.concatenate([noise(1, -20), silence(1)]))
    assert jaw[59] > 0.7
    gate = 60 + SMOOTH - 1 + HOLD
    assert jaw[gate + 18] < 0.02
    quiet = jaw[gate + 2 :]
    assert (np.diff(quiet) <= 1e-7).all()


def test_a_stop_in_a_word_does_not_shut_the_mouth() -> None:
    face = Face({}, 0, 0)
    jaw = jaw_of(face, np.concatenate([noise(1, -20), silence(0.1), noise(0.5, -20)]))
    assert jaw[30:].min() > 0.75


def test_speech_opens_within_two_faces() -> None:
    face = Face({}, 0, 0)
    jaw = jaw_of(face, np.concatenate([silence(1), noise(0.5, -25)]))
    assert jaw[59] == 0
    assert jaw[61] >= 0.75 * 0.8 - 1e-6
    assert jaw[63] > 0.9 * 0.8


def test_the_mouth_opens_half_way_a_face() -> None:
    raw = np.full(52, 0.5, np.float32)
    face = Face({}, 0, 0)
    shown = [face.shape(raw, -20.0)[0][JAW] for _ in range(3)]
    assert shown == pytest.approx([0.25, 0.375, 0.4375])
    rests = [face.rest()[0][JAW] for _ in range(2)]
    assert rests == pytest.approx([0.4375 * 0.8, 0.4375 * 0.64])


@pytest.mark.parametrize("db", [-60.0, -50.0, -40.0])
def test_steady_fan_noise_is_silence_once_the_floor_has_risen(db: float) -> None:
    heard = verdicts(noise(20, db))
    assert not heard[-300:].any()


def test_mains_hum_is_silence_once_the_floor_has_risen() -> None:
    hum = tone(50, 20, amplitude=0.02) + tone(150, 20, amplitude=0.01)
    assert not verdicts(hum)[-300:].any()


def test_speech_is_heard_over_a_fan() -> None:
    fan = noise(12, -50)
    fan[16_000 * 11 :] += noise(1, -30, seed=1)
    heard = verdicts(fan)
    assert not heard[60 * 10 : 60 * 11].any()
    assert heard[60 * 11 + 2 :].all()


def test_speech_goes_on_being_speech(demo: Floats) -> None:
    loud = np.array(levels(demo)) > -30
    heard = verdicts(demo)
    assert heard[loud].mean() > 0.99


def test_digital_silence_does_not_make_whispers_of_a_room_speech() -> None:
    gate = Gate()
    for _ in range(600):
        assert not gate.speaks(-120.0)
    assert not any(gate.speaks(-70.0) for _ in range(10))  # a quiet room after a mute button
    assert not any(gate.speaks(-62.5) for _ in range(10))
    assert gate.speaks(-55.0)


def test_the_gate_holds_for_200_ms_after_the_last_loud_face() -> None:
    gate = Gate()
    assert gate.speaks(-20.0)
    held = [gate.speaks(-90.0) for _ in range(20)]
    assert held == [True] * 11 + [False] * 9
    assert SMOOTH - 1 + HOLD - 1 == 11  # the face itself is the twelfth


@pytest.mark.parametrize("seed", range(4))
def test_the_rumble_of_a_fan_is_no_speech_though_its_loudness_jumps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Random levels as of a fan's lowest bands, 16 ms at a time: 10 dB from trough to crest.
    jumps = -45 + rng.normal(0, 3, 1200)
    gate = Gate()
    heard = np.array([gate.speaks(float(level)) for level in jumps])
    assert heard[600:].mean() < 0.2
    assert gate.speaks(-20.0)


@pytest.mark.parametrize("lookahead", [0, 1, 4, 8])
def test_the_verdict_waits_for_the_look_ahead_but_for_one_face(lookahead: int) -> None:
    face = Face({}, lookahead, 0)
    raw = np.full(52, 0.5, np.float32)
    shown = [face.shape(raw, -20.0)[0][JAW] for _ in range(12)]
    assert np.flatnonzero(shown)[0] == max(0, lookahead - 1)


def test_in_silence_the_rest_pose_is_shown() -> None:
    face = Face({"mouthClose": 0.25, "mouthSmileLeft": 0.1}, 2, 0)
    weights, _ = face.shape(np.full(52, 0.9, np.float32), -120.0)
    assert weights[INDEX["mouthClose"]] == pytest.approx(0.25)
    assert weights[INDEX["mouthSmileLeft"]] == pytest.approx(0.1)
    assert weights[JAW] == 0


def test_raw_weights_outside_the_range_are_cut() -> None:
    face = Face({}, 0, 0)
    raw = np.zeros(52, np.float32)
    raw[JAW], raw[INDEX["mouthPucker"]] = 5.0, -5.0
    for _ in range(10):
        weights, _ = face.shape(raw, -20.0)
    assert weights[JAW] == 1
    assert weights[INDEX["mouthPucker"]] == 0


def test_what_the_network_gave_is_not_written_to() -> None:
    raw = np.full(52, 3.0, np.float32)
    Face({}, 0, 0).shape(raw, -20.0)
    assert (raw == 3).all()


def test_after_a_reset_old_verdicts_do_not_open_the_mouth() -> None:
    face = Face({}, 4, 0)
    raw = np.full(52, 0.5, np.float32)
    for _ in range(10):
        face.shape(raw, -20.0)
    before = face.rest()[0][JAW]
    face.reset(4)
    after = [face.shape(raw, -120.0)[0][JAW] for _ in range(10)]
    assert before > after[0] > after[-1] > 0  # it closes from where it is
