"""Whatever makes faces of a voice, asked for those of the test clips."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")

from benchmarks.accuracy.__main__ import print_table
from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.contract import INDEX, ConfigError, InputError
from models.student import Student
from models.student_sizes import StudentConfig
from quantize.cli import main
from quantize.evaluation import evaluate
from quantize.evaluation.evaluate import faces_of
from quantize.evaluation.head_mesh import read_head
from quantize.evaluation.test_clips import MADE_SILENCE, TestClip, made_silence
from quantize.training.checkpoint import averaged
from quantize.training.run_settings import plain_settings, read_settings
from quantize.training.student_config import StudentRun
from tests.fakes import DEMO

pytestmark = pytest.mark.toolchain
JAW = INDEX["jawOpen"]
DEMO = DEMO


def voiced(seconds: float = 3.0) -> TestClip:
    return TestClip("set/demo", "set", "x", read_audio(DEMO)[: int(seconds * 16_000)])


def checkpoint(folder: Path, lookaheads: tuple[int, ...] = (0, 4)) -> Path:
    torch.manual_seed(0)
    config = StudentConfig(lookaheads=lookaheads)
    student = Student(config)
    student.decoder.spread.fill_(0.1)
    settings = {"train": "student", "model": plain_settings(config)}
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    path = folder / "checkpoint.pt"
    torch.save({"average": student.state_dict()}, path)
    return path


def test_a_bundle_runs_as_it_ships() -> None:
    clip = voiced()
    faces = faces_of(DEFAULT, [clip])
    assert faces[clip.id].shape == (clip.faces, 52)
    assert faces[clip.id][:, JAW].std() > 0.02
    assert 0 <= faces[clip.id].min() <= faces[clip.id].max() <= 1


def test_a_checkpoint_gives_a_face_for_each_frame_of_features(tmp_path: Path) -> None:
    for seconds, lookaheads in ((1.0, (0, 4)), (1.013, (0, 4)), (1.013, (0,))):
        clip = voiced(seconds)
        faces = faces_of(checkpoint(tmp_path, lookaheads), [clip])
        assert faces[clip.id].shape == (clip.faces, 52)
        assert faces[clip.id].std() > 0


def test_the_students_delay_is_taken_off(tmp_path: Path) -> None:
    # The student is causal: what it shows at look-ahead n hears n faces more, and no more.
    clip, cut = voiced(2.0), voiced(2.0)
    cut.samples[16_000:] = 0  # the face at 1 s is face 59
    path = checkpoint(tmp_path)
    whole, half = faces_of(path, [clip])[clip.id], faces_of(path, [cut])[cut.id]
    changed = np.flatnonzero(np.abs(whole - half).max(1) > 1e-6)
    assert changed[0] == 60 - 4


def test_a_teacher_is_built_as_its_run_says_and_takes_the_whole_clip(tmp_path: Path) -> None:
    from models.content import ContentConfig
    from models.teacher import Teacher, TeacherConfig

    torch.manual_seed(0)
    config = TeacherConfig(content=ContentConfig(width=32, hidden=16, content=16), width=16)
    torch.save({"average": Teacher(config).state_dict()}, tmp_path / "checkpoint.pt")
    settings = {"train": "teacher", "model": asdict(config)}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    clip = voiced(1.013)
    faces = faces_of(tmp_path, [clip])[clip.id]
    assert faces.shape == (clip.faces, 52)
    assert faces.std() > 0


def test_a_run_is_known_by_its_folder_and_by_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = voiced(1.0)
    path = checkpoint(tmp_path)
    np.testing.assert_array_equal(
        faces_of(tmp_path, [clip])[clip.id], faces_of(path, [clip])[clip.id]
    )
    (tmp_path / "run.yaml").write_text("train: oracle\n")
    with pytest.raises(InputError, match="a run of 'oracle' makes no faces of a voice"):
        faces_of(path, [clip])
    monkeypatch.setitem(evaluate.NETWORKS, "oracle", lambda path, clips: {"asked": path})
    assert faces_of(tmp_path, [clip]) == {"asked": path}


def test_what_is_no_network_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither a bundle \(bundle.yaml\) nor a run"):
        faces_of(tmp_path, [])
    (tmp_path / "run.yaml").write_text("train: student\n")
    for content in (b"", b"hello"):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(InputError, match=r"not a checkpoint that fits its run \(\w"):
            faces_of(tmp_path, [])


def test_what_would_not_end_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    os.mkfifo(tmp_path / "run.yaml")
    with pytest.raises(InputError, match=r"run\.yaml: not the settings of a run \(is no regular"):
        faces_of(tmp_path, [])
    with pytest.raises(ConfigError, match="is no regular file"):
        read_settings(StudentRun, tmp_path / "run.yaml")
    os.mkfifo(pipe := tmp_path / "head.glb")
    with pytest.raises(InputError, match=r"head\.glb: is no regular file"):
        read_head(pipe)
    with pytest.raises(InputError, match=r"head\.glb: is no regular file; give a checkpoint"):
        averaged(pipe, Student)
    with pytest.raises(InputError, match="neither a bundle"):
        faces_of(tmp_path / ("x" * 300), [])


def test_the_table_has_a_row_for_each_system_and_the_baselines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clips = [voiced(), *made_silence()]
    table = evaluate.evaluate(DEFAULT, clips, None)
    assert list(table) == ["default", "loudness", "captured"]
    assert set(table["default"]) == {"set", MADE_SILENCE}
    assert table["captured"] == {}  # nobody captured these
    assert table["default"][MADE_SILENCE]["digital silence"] < 0.001
    print_table(table)
    assert "made silence, default: digital silence 0.0000" in capsys.readouterr().out


def test_the_verb_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(DEFAULT), "--data", str(tmp_path)]) == 66
    assert "grid_s1_video_blendshapes: no such folder" in capsys.readouterr().err
