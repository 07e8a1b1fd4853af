"""What a voice feels like, read from planted embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from edge.emotion import load_emotions, load_valence
from edge.feeling import HOLD, MOST, Feeling

NAMES = ("neutral", "anger", "happiness")
STRONG = 20 * np.eye(3, dtype=np.float32)


def heard(name: str, log_variance: float = -4.0) -> np.ndarray:
    """An embedding that points at an emotion; its length must not matter."""
    mean = 3.0 * np.eye(3, dtype=np.float32)[NAMES.index(name)]
    return np.concatenate([mean, np.full(3, log_variance, np.float32)])[None, None]


def test_it_names_what_it_hears_with_valence_and_uncertainty() -> None:
    feeling = Feeling(NAMES, STRONG, np.zeros(3, np.float32))
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
    feeling = Feeling(NAMES, STRONG, np.zeros(3, np.float32))
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


def test_every_emotion_has_a_valence() -> None:
    assert load_valence().keys() == load_emotions()[0].keys()
    assert all(-1 <= v <= 1 for v in load_valence().values())
