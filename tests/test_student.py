"""From three made-up recordings to a bundle that runs; losses worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")

import soundfile

from edge.audio.audio_file import read_audio
from edge.bundle_reader import read_bundle
from edge.contract import ARKIT_52, INDEX, SAMPLE_RATE, AudioBlock, ConfigError
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from edge.words import VISEMES
from models.student import Student
from models.student_sizes import StudentConfig
from quantize.data.clips import DataError
from quantize.data.phones import UNKNOWN, Phone
from quantize.data.pseudo_targets import viseme_poses, with_phone_faces
from quantize.data.streams import TrainingStream
from quantize.export.to_onnx import export, load_student
from quantize.training.losses import (
    CLOSE,
    JAW,
    PP,
    class_loss,
    closure_loss,
    correlation,
    shape_loss,
    velocity_loss,
)
from quantize.training.run_settings import read_settings
from quantize.training.student_config import StudentRun
from quantize.training.student_losses import reset_state
from quantize.training.student_windows import window_at
from quantize.training.train_student import train_student

pytestmark = [
    pytest.mark.toolchain,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def faces(*values: float) -> torch.Tensor:
    """(1, T, 1)"""
    return torch.tensor(values)[None, :, None]


ONE = torch.ones(1)


def test_the_shape_loss_is_in_deviations_and_linear_far_out() -> None:
    spread = torch.tensor([0.5])
    zero, weights = faces(0.0, 0.0), faces(1.0, 1.0)
    # Errors of 1 and 0 deviations: the mean square is 0.5.
    assert shape_loss(faces(0.5, 0.0), zero, weights, spread) == pytest.approx(0.5)
    # 10 deviations: 2 * (2 * 10 - 2^2 / 2) = 36, not 100.
    assert shape_loss(faces(5.0), faces(0.0), faces(1.0), spread) == pytest.approx(36.0)
    # A face without a target does not count.
    assert shape_loss(faces(0.5, 9.0), zero, faces(1.0, 0.0), spread) == pytest.approx(1.0)
    assert shape_loss(faces(9.0), faces(0.0), faces(0.0), spread) == 0.0


def test_the_velocity_loss_sees_change_alone() -> None:
    weights = faces(1.0, 1.0, 1.0)
    target = faces(0.0, 1.0, 2.0)
    assert velocity_loss(target + 7, target, weights, ONE) == 0.0
    # Changes of 1 and 1 against 0 and 2: errors 1 and -1.
    assert velocity_loss(faces(0.0, 0.0, 2.0), target, weights, ONE) == pytest.approx(1.0)


def test_the_closure_loss_asks_for_shut_lips_in_the_middle_of_p_b_and_m() -> None:
    predicted = torch.zeros(1, 5, 52)
    predicted[..., JAW] = 0.3
    spread = torch.ones(52)
    visemes = torch.tensor([[0, PP, PP, PP, 0]])
    assert closure_loss(predicted, visemes, spread) == pytest.approx(0.09)
    predicted[0, 2, CLOSE] = 0.3  # only the middle one counts, and its lips touch now
    assert closure_loss(predicted, visemes, spread) == 0.0
    predicted[0, 2, CLOSE] = 0.9  # pressed harder than shut costs nothing
    assert closure_loss(predicted, visemes, spread) == 0.0
    assert closure_loss(predicted * 0 + 1, torch.zeros(1, 5, dtype=torch.long), spread) == 0.0


def test_the_class_loss_ignores_faces_without_a_label() -> None:
    logits = torch.zeros(1, 2, 4)
    assert class_loss(logits, torch.tensor([[1, UNKNOWN]])) == pytest.approx(math.log(4))
    assert class_loss(logits, torch.tensor([[UNKNOWN, UNKNOWN]])) == 0.0


def test_correlation_by_hand() -> None:
    a = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    b = torch.tensor([[0.0, 0.0], [2.0, 1.0], [1.0, 2.0]])
    assert correlation(a, b).tolist() == pytest.approx([0.5, 0.0])


def stream(length: int) -> TrainingStream:
    count = np.arange(length, dtype=np.float32)
    return TrainingStream(
        np.repeat(count[:, None], 40, axis=1),
        np.repeat(count[:, None], 52, axis=1),
        np.ones((length, 52), bool),
        count.astype(np.int64),
        np.ones(length, np.float32),
        np.zeros(length, np.int32),
        count / 60,
        np.zeros((length, 0), np.float16),
    )


def test_targets_lie_the_look_ahead_behind_the_features() -> None:
    cold = np.array([True, False])
    window = window_at(stream(100), np.array([8, 60]), np.array([0, 8]), 10, cold)
    mels, targets = window.mels[..., 0], window.targets[..., 0]
    assert mels[:, 0].tolist() == [8, 60]
    assert torch.equal(mels[0], targets[0])
    assert torch.equal(mels[1] - 8, targets[1])
    assert torch.equal(window.visemes.float(), targets)
    assert np.array_equal(window.time, targets / 60)
    assert window.trust.min() == 1


def test_faces_whose_sound_a_cold_stream_has_not_had_are_no_targets() -> None:
    cold = np.array([True, False])
    window = window_at(stream(100), np.array([60, 60]), np.array([2, 2]), 4, cold)
    assert window.trust[:, :, 0].tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]
    assert window.visemes.tolist() == [[UNKNOWN, UNKNOWN, 60, 61], [58, 59, 60, 61]]
    assert window.clip.tolist() == [[-1, -1, 0, 0], [0, 0, 0, 0]]
    state = reset_state(((torch.ones(2, 3, 4), torch.ones(2, 5)), (torch.ones(2, 1),)), cold)
    for part in (part for network in state for part in network):
        assert not part[0].any()
        assert part[1].all()


def test_voices_without_a_face_get_the_mean_face_of_what_they_say() -> None:
    made = stream(40)
    live = made.live.copy()
    live[20:] = False
    visemes = np.where(np.arange(40) % 20 < 10, 1, 2)
    visemes[39] = UNKNOWN
    made = replace(made, live=live, visemes=visemes)
    poses, known = viseme_poses(made)
    assert poses[1, 0] == pytest.approx(4.5)  # mean of 0..9
    assert poses[2, 0] == pytest.approx(14.5)
    assert known.all()
    filled = with_phone_faces(made, poses, known)
    np.testing.assert_array_equal(filled.targets[:20], made.targets[:20])
    assert filled.trust[:20].min() == 1
    assert 0 < filled.trust[25] < 1
    assert filled.targets[21, 0] == pytest.approx(4.5, abs=0.2)
    assert filled.targets[36, 0] == pytest.approx(14.5, abs=0.2)
    assert 4.5 < filled.targets[30, 0] < 14.5  # one glides into the other
    assert not filled.live[39].any()


class NoPhones:
    """Finding phones needs pocketsphinx, and tones have none."""

    def find(self, samples: object, text: object) -> tuple[()]:
        return ()


class Phones:
    """Hears "aa" where the tone is loud and "p" where it is not."""

    def find(self, samples: np.ndarray, text: object) -> tuple[Phone, ...]:
        step = SAMPLE_RATE // 50
        loud = [np.abs(part).max() > 0.15 for part in np.split(samples, len(samples) // step)]
        return tuple(
            Phone(k / 50, (k + 1) / 50, "aa" if here else "PP") for k, here in enumerate(loud)
        )


TINY = StudentConfig(
    lookaheads=(0, 2), width=12, hidden=16, shared=8, codes=16, slow=4, fast=4, detail=4, decoder=8
)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Three clips whose jaw is the loudness of a tone."""
    folder = tmp_path / "tones"
    folder.mkdir()
    for k in range(3):
        time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
        open_ = 0.5 - 0.5 * np.cos(2 * np.pi * (1 + k) * time)
        soundfile.write(
            folder / f"t{k}.wav", 0.3 * open_ * np.sin(1500 * time), SAMPLE_RATE, "PCM_16"
        )
        jaw = open_[:: SAMPLE_RATE // 50]
        rows = [f"{i / 50},{v:.4f}" for i, v in enumerate(jaw)]
        (folder / f"t{k}.csv").write_text("\n".join(["time_s,jawOpen", *rows]) + "\n")
    return folder


def config(folder: Path, epochs: int) -> StudentRun:
    return StudentRun(
        data=(str(folder),),
        epochs=epochs,
        renditions=1,
        repeat={"tones": 8},
        batch=4,
        window=40,
        rate=2e-2,
        conditioning_epochs=1,
        model=TINY,
    )


def test_words_are_learned_last_and_without_them_nothing_changes(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.data.streams.Aligner", Phones)
    run = replace(
        config(recordings, 2), model=replace(TINY, styles=("tones",)), conditioning_epochs=6
    )
    conditioned = train_student(run, tmp_path / "conditioned")
    plain = train_student(replace(run, conditioning_epochs=0), tmp_path / "plain")
    assert isinstance(conditioned, Student)
    before = plain.state_dict()
    moved = {k: v for k, v in conditioned.state_dict().items() if not torch.equal(v, before[k])}
    names = {"generator.wide.linear.weight", "generator.shared.weight"}
    assert moved.keys() == names
    layout = run.model.layout
    for name in names:
        (sound, new), (sound_before, old) = (
            state[name].tensor_split([-layout.size], dim=1) for state in (moved, before)
        )
        assert torch.equal(sound, sound_before)
        assert torch.equal(new[:, layout.lookahead], old[:, layout.lookahead])
        assert not old[:, layout.visemes].any()  # words began at zero
        assert new[:, layout.visemes].any()
        assert not torch.equal(new[:, layout.style], old[:, layout.style])

    def jaw(due: str | None) -> float:
        control = run.model.at(2)
        if due:
            control[0, layout.visemes][VISEMES.index(due)] = 1
        faces, _, _ = conditioned(torch.zeros(1, 60, 40), control, conditioned.initial_state())
        return float(faces[0, 30:, INDEX["jawOpen"]].mean())

    with torch.no_grad():
        assert jaw("PP") < jaw(None) < jaw("aa")

    with pytest.raises(ConfigError, match=r"style 'elsewhere' is no source .*tones"):
        train_student(replace(run, model=replace(TINY, styles=("elsewhere",))), tmp_path / "no")


def test_a_run_ends_in_a_bundle_that_runs_and_resuming_changes_nothing(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.data.streams.Aligner", NoPhones)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run = config(recordings, 2)
    train_student(run, whole)

    with monkeypatch.context() as patch:
        patch.setattr("quantize.training.loop._Run.save", stop_after(1))
        with pytest.raises(KeyboardInterrupt):
            train_student(run, cut)
    first = torch.load(cut / "checkpoint.pt", weights_only=True)["net"]
    train_student(run, cut)
    resumed = load_student(cut / "checkpoint.pt").state_dict()
    for name, a in load_student(whole / "checkpoint.pt").state_dict().items():
        assert torch.equal(a, resumed[name]), name
    learned = "generator.near.linear.weight"
    assert not torch.equal(first[learned], resumed[learned])

    log = (tmp_path / "whole" / "log.csv").read_text().splitlines()
    assert len(log) == 3
    assert (tmp_path / "whole" / "curves.png").stat().st_size > 1000

    bundle = export(whole / "checkpoint.pt", tmp_path / "bundle", "tiny", lookahead=2)
    again = read_bundle(tmp_path / "bundle")
    assert again.hash == bundle.hash
    assert again.data == ("tones",)
    pipeline = Pipeline(again, open_engines(again))
    sound = read_audio(recordings / "t0.wav")
    frames = pipeline.push(AudioBlock(sound, 0, 0.0)) + pipeline.flush(0.0)
    assert len(frames) == 120
    weights = np.stack([f.weights for f in frames])
    assert weights[:, INDEX["jawOpen"]].std() > 0
    assert not weights[:, ARKIT_52.index("tongueOut")].any()


def stop_after(times: int):
    from quantize.training.loop import _Run

    save, saved = _Run.save, []

    def stopping(run: _Run) -> None:
        save(run)
        saved.append(run.step)
        if len(saved) >= times:
            raise KeyboardInterrupt

    return stopping


def test_other_settings_in_a_used_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("epochs: 3\n")
    with pytest.raises(ConfigError, match="other settings"):
        train_student(config(tmp_path, 2), tmp_path)


def test_too_little_audio_for_a_batch_is_one_sentence(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.data.streams.Aligner", NoPhones)
    with pytest.raises(DataError, match="do not fill one batch of 99 streams"):
        train_student(replace(config(recordings, 1), batch=99), tmp_path / "run")


def test_a_run_file_is_read_back_and_flags_win(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("data: [a, b]\nepochs: 3\nmodel: {width: 8, lookaheads: [0, 4]}\n")
    read = read_settings(StudentRun, path, epochs=7, seed=None)
    assert (read.data, read.epochs, read.seed) == (("a", "b"), 7, 0)
    assert read.model == StudentConfig(width=8, lookaheads=(0, 4))
    path.write_text("epoks: 3\ndata: [a]\n")
    with pytest.raises(ConfigError, match="epoks"):
        read_settings(StudentRun, path)
    with pytest.raises(ConfigError, match="give --data"):
        read_settings(StudentRun, None)


def test_every_viseme_has_a_name_of_its_own() -> None:
    assert len(set(VISEMES)) == 15
