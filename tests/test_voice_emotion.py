"""The emotion in a voice, read from made-up embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from edge.emotion import load_emotions, load_valence
from edge.voice_emotion import LEAD_UPDATES, MAX_INTENSITY, VoiceEmotion

NAMES = ("neutral", "anger", "happiness")
STRONG = 20 * np.eye(3, dtype=np.float32)


def embedding(name: str, log_variance: float = -4.0) -> np.ndarray:
    """An embedding that points at an emotion; its length must not matter."""
    mean = 3.0 * np.eye(3, dtype=np.float32)[NAMES.index(name)]
    return np.concatenate([mean, np.full(3, log_variance, np.float32)])[None, None]


def test_it_names_what_it_hears_with_valence_and_uncertainty() -> None:
    voice_emotion = VoiceEmotion(NAMES, STRONG, np.zeros(3, np.float32))
    assert voice_emotion.describe()["chance"] == pytest.approx(1 / 3, abs=1e-3)  # no speech yet
    for _ in range(200):
        voice_emotion.update(embedding("anger"))
    found = voice_emotion.describe()
    assert (found["name"], found["chance"]) == ("anger", pytest.approx(1.0, abs=0.01))
    assert found["valence"] == pytest.approx(load_valence()["anger"], abs=0.01)
    assert found["uncertainty"] == pytest.approx(np.exp(-2), abs=1e-3)
    for _ in range(200):
        voice_emotion.update(embedding("anger", log_variance=-2.0))
    assert voice_emotion.describe()["uncertainty"] == pytest.approx(np.exp(-1), abs=1e-3)


def test_a_face_follows_once_after_the_emotion_has_led_for_a_second() -> None:
    voice_emotion = VoiceEmotion(NAMES, STRONG, np.zeros(3, np.float32))
    for _ in range(LEAD_UPDATES - 1):
        voice_emotion.update(embedding("happiness"))
        assert voice_emotion.follow() is None
    voice_emotion.update(embedding("happiness"))
    name, intensity = voice_emotion.follow() or ("", 0.0)
    assert name == "happiness"
    assert 0 < intensity < MAX_INTENSITY  # after one second only
    assert voice_emotion.follow() is None  # the face is there already
    voice_emotion.restart()
    assert voice_emotion.follow() is not None


def test_above_temperature_0_the_emotion_is_drawn_from_the_distribution() -> None:
    def followed(temperature: float, seed: int, log_variance: float) -> tuple[str, float]:
        voice_emotion = VoiceEmotion(NAMES, STRONG, np.zeros(3, np.float32), temperature, seed)
        for _ in range(5 * LEAD_UPDATES):
            voice_emotion.update(embedding("anger", log_variance))
        assert voice_emotion.describe()["name"] == "anger"  # reported is the likeliest
        return voice_emotion.follow() or ("", 0.0)

    assert {followed(0.0, seed, 1.0)[0] for seed in range(20)} == {"anger"}
    assert {followed(1.0, seed, 1.0)[0] for seed in range(20)} == set(NAMES)
    assert {followed(1.0, seed, -9.0)[0] for seed in range(20)} == {"anger"}  # hardly any variance
    assert followed(1.0, 3, 1.0) == followed(1.0, 3, 1.0)


def test_every_emotion_has_a_valence() -> None:
    assert load_valence().keys() == load_emotions()[0].keys()
    assert all(-1 <= v <= 1 for v in load_valence().values())
