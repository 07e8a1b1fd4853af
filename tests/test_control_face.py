"""What control does to a face: emotion, gains, mute, neutral."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edge.contract import ARKIT_52, INDEX, Floats
from edge.emotion import EmotionBlend, emotion_named, load_emotions
from edge.face import Face

REST = {"mouthClose": 0.1}
OPEN_RAW = np.zeros(52, np.float32)
OPEN_RAW[INDEX["jawOpen"]] = 0.8

# What an emotion may move: speech keeps its jaw, lips and tongue.
UPPER = ("eye", "brow", "cheekSquint", "noseSneer")
CORNERS = ("mouthSmile", "mouthFrown", "mouthStretch", "mouthDimple")


def speak(face: Face, faces: int) -> list[tuple[Floats, Floats]]:
    """Speech without a pause."""
    return [face.shape(OPEN_RAW, True) for _ in range(faces)]


def speaking_face(seed: int = 0) -> Face:
    face = Face(REST, 0, seed)
    speak(face, 20)
    return face


def jaw(face: Face, faces: int = 30) -> float:
    return float(speak(face, faces)[-1][0][INDEX["jawOpen"]])


def test_emotions_leave_jaw_and_lips_to_speech() -> None:
    offsets, synonyms = load_emotions()
    assert set(offsets) == {
        "neutral", "anger", "boredom", "disgust", "fear", "happiness", "sadness", "surprise",
    }  # fmt: skip
    assert set(synonyms.values()) <= set(offsets)
    for name, values in offsets.items():
        moved = [shape for shape in ARKIT_52 if values[INDEX[shape]]]
        assert all(shape.startswith(UPPER + CORNERS) for shape in moved), name
        assert not any("Look" in shape for shape in moved)
        assert bool(moved) == (name != "neutral")
        assert values.max() <= 0.6
        assert values.min() >= 0.0


def test_emotions_are_symmetric() -> None:
    for values in load_emotions()[0].values():
        for shape in ARKIT_52:
            if shape.endswith("Left"):
                other = shape.removesuffix("Left") + "Right"
                assert values[INDEX[shape]] == values[INDEX[other]]


def test_synonyms_and_case_are_understood_and_a_slip_is_named() -> None:
    assert [emotion_named(w) for w in ("Happy", "joy", "angry", "sad", "FEAR")] == [
        "happiness", "happiness", "anger", "sadness", "fear",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="unknown emotion 'hapy'; did you mean 'happy'"):
        emotion_named("hapy")


def test_an_emotion_fades_in_within_the_seconds_asked_for() -> None:
    blend = EmotionBlend()
    blend.fade_to("happiness", 0.5, 0.5)
    smile = [float(blend.next()[INDEX["mouthSmileLeft"]]) for _ in range(40)]
    assert smile[14] == pytest.approx(0.1)  # half of 0.4 * 0.5, after half of 30 faces
    assert smile[29] == smile[39] == pytest.approx(0.2)
    assert smile == sorted(smile)
    assert (blend.name, blend.strength) == ("happiness", pytest.approx(0.5))


def test_a_change_of_mind_starts_from_what_is_shown() -> None:
    blend = EmotionBlend()
    blend.fade_to("surprise", 1.0, 0.2)
    path = [blend.next() for _ in range(6)]
    blend.fade_to("sadness", 1.0, 0.5)
    path += [blend.next() for _ in range(12)]
    blend.fade_to("sadness", 0.2, 0.5)
    path += [blend.next() for _ in range(31)]
    assert max(np.abs(b - a).max() for a, b in pairwise(path)) < 0.08
    assert blend.strength == pytest.approx(0.2)


def test_an_emotion_that_ends_fades_out_and_gives_its_name_up() -> None:
    blend = EmotionBlend()
    blend.fade_to("anger", 1.0, 0.1)
    for _ in range(6):
        blend.next()
    blend.fade_to(None, 0.0, 0.1)
    assert [blend.next().max() > 0 for _ in range(6)] == [True] * 5 + [False]
    blend.next()
    assert (blend.name, blend.strength) == (None, 0.0)


def test_an_emotion_is_added_to_speech() -> None:
    plain, happy = speaking_face(), speaking_face()
    happy.emotion_blend.fade_to("happiness", 1.0, 0.0)
    a, b = plain.shape(OPEN_RAW, True)[0], happy.shape(OPEN_RAW, True)[0]
    assert b[INDEX["jawOpen"]] == a[INDEX["jawOpen"]]
    assert b[INDEX["mouthClose"]] == a[INDEX["mouthClose"]]
    assert b[INDEX["mouthSmileLeft"]] == pytest.approx(a[INDEX["mouthSmileLeft"]] + 0.4)


def test_a_gain_multiplies_its_shape_only_and_stays_in_range() -> None:
    plain, gained = speaking_face(), speaking_face()
    gained.set_gains({"jawOpen": 0.5, "mouthClose": 4.0})
    a, b = plain.shape(OPEN_RAW, True)[0], gained.shape(OPEN_RAW, True)[0]
    assert b[INDEX["jawOpen"]] == pytest.approx(a[INDEX["jawOpen"]] * 0.5)
    others = [i for i in range(52) if ARKIT_52[i] not in ("jawOpen", "mouthClose")]
    assert (a[others] == b[others]).all()
    gained.set_gains({"jawOpen": 4.0})
    assert jaw(gained) == 1.0
    gained.set_gains({})
    assert jaw(gained) == pytest.approx(0.8, abs=0.01)


def test_mute_shuts_the_mouth_and_idle_goes_on() -> None:
    face = speaking_face()
    assert jaw(face) > 0.7
    face.muted = True
    assert jaw(face) < 0.01
    moving = speak(face, 600)
    assert np.std([w[INDEX["eyeBlinkLeft"]] for w, _ in moving]) > 0.05
    assert np.std([head for _, head in moving], axis=0).min() > 0.001
    face.muted = False
    assert jaw(face) > 0.7


def test_neutral_is_the_rest_pose_and_nothing_moves_until_released() -> None:
    face = speaking_face()
    face.emotion_blend.fade_to("surprise", 1.0, 0.0)
    face.neutral = True
    speak(face, 90)
    expected = np.zeros(52, np.float32)
    expected[INDEX["mouthClose"]] = 0.1
    for weights, head in speak(face, 600):
        assert np.allclose(weights, expected, atol=1e-4)
        assert np.allclose(head, 0, atol=1e-4)
    face.neutral = False
    assert jaw(face, 60) > 0.7


def test_neutral_comes_and_goes_without_a_jump() -> None:
    face = speaking_face()
    path = [face.shape(OPEN_RAW, True)[0]]
    for on in (True, False):
        face.neutral = on
        path += [weights for weights, _ in speak(face, 60)]
    steps = [abs(float(b[17] - a[17])) for a, b in pairwise(path)]
    assert max(steps) < 0.15
    assert min(float(w[17]) for w in path) < 0.01


def test_the_verdict_on_speech_follows_the_lookahead() -> None:
    def opens_after(face: Face) -> int:
        jaws = [weights[INDEX["jawOpen"]] for weights, _ in speak(face, 20)]
        return int(np.argmax(np.array(jaws) > 0.2))

    shorter, longer = Face(REST, 8, 0), Face(REST, 0, 0)
    shorter.set_lookahead(0)
    longer.set_lookahead(8)
    assert opens_after(shorter) == opens_after(Face(REST, 0, 0))
    assert opens_after(longer) == opens_after(Face(REST, 8, 0)) == opens_after(Face(REST, 0, 0)) + 7
