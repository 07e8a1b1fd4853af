"""What the codebook, the emotion and the scope benchmarks count, worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")

from benchmarks.runtime.scope import bursts, figures
from benchmarks.teachers.codebook_quality import channels, components
from benchmarks.teachers.emotion_recognition import accuracy, listeners
from benchmarks.teachers.prosody import pitch, prosody
from edge.contract import INDEX, SAMPLE_RATE
from quantize.data.clips import EMOTIONS
from quantize.training.motion import Motion
from quantize.training.train_codebook import explained

pytestmark = pytest.mark.toolchain

JAW = INDEX["jawOpen"]


def test_the_pitch_of_a_tone_is_its_frequency_and_noise_has_none() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    hz = pitch((0.3 * np.sin(2 * np.pi * 200 * time)).astype(np.float32))
    assert np.median(hz) == pytest.approx(200, abs=3)
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32)
    assert (pitch(0.3 * noise) > 0).mean() < 0.2
    assert (pitch(np.zeros(SAMPLE_RATE, np.float32)) == 0).all()
    assert np.isfinite(prosody(np.zeros(SAMPLE_RATE, np.float32))).all()


def test_listeners_answers_are_read_as_shares(tmp_path: Path) -> None:
    path = tmp_path / "erkennung.txt"
    path.write_bytes(
        b"Nr.\tSatz\terkannt\tnatuerlich\n1\xa0\xa0\t03a01Ab.wav\t65,00\xa0\t35,00\n"
        b"2\x85\t03a01Nc.wav\t100,00\x85\t95,00\n"
    )
    assert listeners(path) == {"03a01Ab": 0.65, "03a01Nc": 1.0}


def test_accuracy_over_clips_and_over_emotions_by_hand() -> None:
    anger, sadness = EMOTIONS.index("anger"), EMOTIONS.index("sadness")
    found = accuracy([anger, anger, anger, sadness], [anger, anger, sadness, anger])
    assert found["right"] == 0.5
    assert found["mean_recall"] == pytest.approx((2 / 3 + 0) / 2)
    assert list(found["confusions"]) == ["anger", "sadness"]
    assert found["confusions"]["anger"][sadness] == 1


def talking(count: int) -> Motion:
    faces = np.zeros((count, 52), np.float32)
    faces[:, JAW] = 1 + np.sin(np.arange(count) / 40)
    live = np.zeros((count, 52), bool)
    live[:, JAW] = True
    return Motion(faces, live, np.zeros(count, np.int64))


def test_principal_components_keep_motion_of_one_dimension_and_worse_codes_keep_less() -> None:
    held = talking(800)
    best = components(talking(1600), held, 300.0)
    assert best["explained"] > 0.99
    assert components(talking(1600), held, 8.0)["explained"] < best["explained"]
    assert explained(held.faces, held) == 1.0
    assert explained(np.zeros_like(held.faces), held) == 0.0
    assert channels(held.faces, held) == {"jawOpen": {"rmse": 0.0, "r": pytest.approx(1.0)}}


def test_the_scope_tells_declared_delay_added_delay_and_the_answer_apart() -> None:
    packets = []
    for i in range(240):
        captured = i / 60
        loud = (i % 60) in range(10, 20)
        opened = (i % 60) in range(16, 30)
        packets.append(
            {
                "arrived": captured + 0.008,
                "captured_at": captured,
                "level_db": -20.0 if loud else -90.0,
                "delay": 5 / 60,
                "weights": {"jawOpen": 0.4 if opened else 0.0},
            }
        )
    found = figures(packets)
    assert found["declared_ms"] == pytest.approx(83.333, abs=0.01)
    assert found["added_ms"]["p99"] == pytest.approx(8.0)
    assert found["bursts"] == 4
    assert found["sound_to_open_jaw_ms"]["p50"] == pytest.approx(108.0, abs=0.5)


def test_a_burst_sounds_for_a_fifth_of_each_second() -> None:
    sound = np.abs(bursts(2)[: 2 * SAMPLE_RATE]).reshape(2, 5, -1).max(axis=2)
    assert (sound[:, 0] > 0.05).all()
    assert (sound[:, 1:] == 0).all()
