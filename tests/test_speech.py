"""The teachers' ready-made ear: on time, whole, and asked for only where it is wanted."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")

import soundfile
import torch

from edge.contract import SAMPLE_RATE, Floats, MissingError, faces_within
from edge.features import N_MELS
from models.content import ContentConfig, ContentEncoder, alone
from models.teacher import Teacher, TeacherConfig
from quantize.data import speech_encoder as speech
from quantize.data.clips import DataError
from quantize.data.speech_encoder import INSTALL, PACKAGE, SIZE, STEP, features, teacher_features
from quantize.training.inference import faces_of
from quantize.training.teacher_batches import mask_spans
from quantize.training.teacher_config import TeacherRun
from quantize.training.train_teacher import train_teacher
from tests.fakes import DEMO

pytestmark = pytest.mark.toolchain


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An ear that hears the mean of each stretch it is given; how long each part was."""
    asked: list[int] = []

    def encode(samples: Floats) -> Floats:
        asked.append(len(samples))
        count = (len(samples) - 2 * speech.FIRST) // STEP + 1
        middles = speech.FIRST + STEP * np.arange(count)
        means = np.stack([samples[m - STEP // 2 : m + STEP // 2].mean() for m in middles])
        return np.repeat(means[:, None], SIZE, axis=1).astype(np.float32)

    monkeypatch.setattr(speech, "_encode", encode)
    return asked


def rising(seconds: float) -> Floats:
    """A "sound" that tells the time: 1 after each hundred seconds."""
    return (np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE / 100).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 19.9, 20.1, 27.9, 28.1, 63.0])
def test_a_feature_is_of_the_time_of_its_face(counted: list[int], seconds: float) -> None:
    sound = rising(seconds)
    faces = faces_within(len(sound))
    found = features(sound, faces)
    assert found.shape == (faces, SIZE)
    times = (np.arange(faces) + 1) / 60
    decoded = found[:, 0] * 100
    inner = (times > 0.03) & (times < seconds - 0.06)  # held at the ends
    np.testing.assert_allclose(decoded[inner], times[inner], atol=0.002)
    assert max(counted) <= speech.WHOLE
    assert (len(counted) == 1) == (seconds < 20)


def test_a_part_s_cut_ends_are_context_and_nothing_else(counted: list[int]) -> None:
    found = features(rising(40.0), 2400)[:, 0]
    assert counted == [speech.PART] * 3  # 0 to 16, 12 to 28, 24 to 40 s
    assert np.diff(found).min() >= 0  # no moment twice, none left out


def test_mels_come_first_and_alone_where_no_speech_is_asked_for(counted: list[int]) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
    both, mels = teacher_features(sound, SIZE), teacher_features(sound, 0)
    assert (both.shape, mels.shape) == ((60, N_MELS + SIZE), (60, N_MELS))
    np.testing.assert_array_equal(both[:, :N_MELS], mels)
    assert len(counted) == 1


def test_a_missing_encoder_is_named_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    speech._session.cache_clear()
    monkeypatch.setattr(speech, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=re.escape(INSTALL)):
        features(rising(1.0), 60)


def test_content_hears_the_mels_and_the_speech() -> None:
    torch.manual_seed(0)
    net = ContentEncoder(ContentConfig(width=16, blocks=1, hidden=8, content=8, speech=4)).eval()
    features = torch.randn(1, 20, N_MELS + 4)
    for part in (slice(0, N_MELS), slice(N_MELS, None)):
        other = features.clone()
        other[..., part] = torch.randn_like(other[..., part])
        assert not torch.allclose(net(features)[0], net(other)[0])


def test_mels_stay_out_of_a_third_of_the_windows_in_training_only() -> None:
    torch.manual_seed(0)
    x = torch.ones(3000, 2, 3)
    assert torch.equal(alone(x, False), x)
    kept = alone(x, True)
    assert torch.equal(kept.amin((1, 2)), kept.amax((1, 2)))  # a window as a whole
    assert kept.mean().item() == pytest.approx(2 / 3, abs=0.03)


def test_a_hidden_frame_is_hidden_in_mels_and_speech_features() -> None:
    torch.manual_seed(0)
    features = torch.full((4, 400, N_MELS + 5), 9.0)
    left = mask_spans(features)
    gone = (left[..., N_MELS:] == 0).all(2)
    assert 0.02 < gone.float().mean() < 0.3
    assert (left[..., :N_MELS][gone] == -1.5).all()
    assert (left[..., N_MELS:][~gone] == 9).all()


def test_the_emotion_comes_from_the_mels_alone() -> None:
    torch.manual_seed(0)
    config = TeacherConfig(content=ContentConfig(width=16, blocks=1, hidden=8, speech=4))
    net = Teacher(config).eval()
    features = torch.randn(2, 40, N_MELS + 4)
    level, style = torch.zeros(2, 40, 3), torch.zeros(2, 40, 3)
    other = torch.cat([features[..., :N_MELS], torch.randn(2, 40, 4)], dim=2)
    assert torch.equal(
        net(features, features, level, style).faces, net(features, other, level, style).faces
    )


def talkers(folder: Path) -> str:
    """Tones whose loudness opens the jaw."""
    folder.mkdir()
    time = np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE
    for k in range(2):
        open_ = 0.5 - 0.5 * np.cos(2 * np.pi * (1 + k) * time)
        soundfile.write(folder / f"t{k}.wav", 0.3 * open_ * np.sin(1500 * time), SAMPLE_RATE)
        rows = [f"{i / 50},{v:.4f}" for i, v in enumerate(open_[:: SAMPLE_RATE // 50])]
        (folder / f"t{k}.csv").write_text("\n".join(["time_s,jawOpen", *rows]) + "\n")
    return str(folder)


def test_a_teacher_learns_with_it_and_refuses_renditions_without(
    counted: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoPhones:
        def find(self, samples: object, text: object) -> tuple[()]:
            return ()

    monkeypatch.setattr("quantize.data.streams.Aligner", NoPhones)
    data = (talkers(tmp_path / "tones"),)

    def run(size: int) -> TeacherRun:
        content = ContentConfig(width=16, blocks=1, hidden=8, content=8, speech=size)
        model = TeacherConfig(width=16, content=content)
        return TeacherRun(data, epochs=1, batch=1, renditions=1, model=model)

    net = train_teacher(run(SIZE), tmp_path / "run")
    assert isinstance(net, Teacher)
    sound = soundfile.read(tmp_path / "tones" / "t0.wav", dtype="float32")[0]
    assert faces_of(net, teacher_features(sound, net.speech)).shape == (300, 52)

    (tmp_path / "run" / "run.yaml").unlink()
    with pytest.raises(DataError, match="hold speech features of 288 values, this run asks for 0"):
        train_teacher(run(0), tmp_path / "run")


@pytest.fixture(scope="module")
def demo() -> Floats:
    if find_spec(PACKAGE) is None:
        pytest.skip(f"THE SPEECH ENCODER WAS NOT TRIED: {INSTALL}")
    speech._session.cache_clear()
    return np.asarray(soundfile.read(DEMO, dtype="float32")[0][: 8 * SAMPLE_RATE])


def likeness(a: Floats, b: Floats) -> float:
    """Mean cosine of the angle between rows, the mean of all rows taken off."""
    a, b = a - a.mean(0), b - a.mean(0)
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / size).mean())


def test_the_real_encoder_hears_a_sound_when_it_is_made(demo: Floats) -> None:
    """0.6 s is 36 faces and 25 features, so a later voice has the same features later."""
    faces = faces_within(len(demo))
    now = features(demo, faces)
    late = features(np.concatenate([np.zeros(9600, np.float32), demo]), faces + 36)
    lags = {lag: likeness(now[60:400], late[60 + lag : 400 + lag]) for lag in range(24, 49, 2)}
    assert max(lags, key=lambda lag: lags[lag]) == 36
    assert lags[36] > 0.8


def test_the_real_encoder_hears_the_same_in_parts_as_whole(
    demo: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = faces_within(len(demo))
    whole = features(demo, faces)
    for name, seconds in (("WHOLE", 5), ("PART", 5), ("EDGE", 1)):
        monkeypatch.setattr(speech, name, seconds * SAMPLE_RATE)
    assert likeness(whole, features(demo, faces)) > 0.8
