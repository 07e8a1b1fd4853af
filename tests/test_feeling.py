"""What a voice feels like, read from planted embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from edge.emotion import load_emotions, load_valence
from edge.voice_emotion import HOLD, MOST, VoiceEmotion

NAMES = ("neutral", "anger", "happiness")
STRONG = 20 * np.eye(3, dtype=np.float32)


def heard(name: str, log_variance: float = -4.0) -> np.ndarray:
    """An embedding that points at an emotion; its length must not matter."""
    mean = 3.0 * np.eye(3, dtype=np.float32)[NAMES.index(name)]
    return np.concatenate([mean, np.full(3, log_variance, np.float32)])[None, None]


def test_it_names_what_it_hears_with_valence_and_uncertainty() -> None:
    feeling = VoiceEmotion(NAMES, STRONG, np.zeros(3, np.float32))
    assert feeling.describe()["chance"] == pytest.approx(1 / 3, abs=1e-3)  # nothing heard yet
    for _ in range(200):
        feeling.take(heard("anger"))
    found = feeling.describe()
    assert (found["name"], found["chance"]) == ("anger", pytest.approx(1.0, abs=0.01))
    assert found["valence"] == pytest.approx(load_valence()["anger"], abs=0.01)
    assert found["uncertainty"] == pytest.approx(np.exp(-2), abs=1e-3)
    for _ in range(200):
        feeling.take(heard("anger", log_variance=-2.0))
    assert feeling.describe()["uncertainty"] == pytest.approx(np.exp(-1), abs=1e-3)


def test_a_face_follows_once_after_the_emotion_has_led_for_a_second() -> None:
    feeling = VoiceEmotion(NAMES, STRONG, np.zeros(3, np.float32))
    for _ in range(HOLD - 1):
        feeling.take(heard("happiness"))
        assert feeling.follow() is None
    feeling.take(heard("happiness"))
    name, intensity = feeling.follow() or ("", 0.0)
    assert name == "happiness"
    assert 0 < intensity < MOST  # it was heard for a second only
    assert feeling.follow() is None  # the face is there already
    feeling.forget()
    assert feeling.follow() is not None


def test_a_warm_face_follows_an_emotion_drawn_from_what_was_heard() -> None:
    def followed(temperature: float, seed: int, log_variance: float) -> tuple[str, float]:
        feeling = VoiceEmotion(NAMES, STRONG, np.zeros(3, np.float32), temperature, seed)
        for _ in range(5 * HOLD):
            feeling.take(heard("anger", log_variance))
        assert feeling.describe()["name"] == "anger"  # reported is the likeliest
        return feeling.follow() or ("", 0.0)

    assert {followed(0.0, seed, 1.0)[0] for seed in range(20)} == {"anger"}
    assert {followed(1.0, seed, 1.0)[0] for seed in range(20)} == set(NAMES)
    assert {followed(1.0, seed, -9.0)[0] for seed in range(20)} == {"anger"}  # no doubt heard
    assert followed(1.0, 3, 1.0) == followed(1.0, 3, 1.0)


def test_every_emotion_has_a_valence() -> None:
    assert load_valence().keys() == load_emotions()[0].keys()
    assert all(-1 <= v <= 1 for v in load_valence().values())
