"""What teachers say of a clip, found again by a student that hears it at another tempo."""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy", reason="the toolchain is not installed")

import yaml
from torch import nn

from benchmarks.teachers.emotion_recognition import StreamingEmotion
from edge.audio.audio_file import read_audio
from edge.bundle_reader import read_bundle
from edge.contract import INDEX, AudioBlock, ConfigError, InputError, MissingError
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from models.codebook import FAST, SLOW, Codebook, CodebookConfig
from models.content import ContentConfig
from models.embedding import Embedding, EmbeddingConfig
from models.generator import Generator
from models.layers import LeakyMean
from models.student import Student
from models.student_sizes import StudentConfig
from models.teacher import Teacher, TeacherConfig
from quantize.cli import main
from quantize.data.corpus import read_corpus
from quantize.data.phones import UNKNOWN
from quantize.data.speech_encoder import teacher_features
from quantize.data.streams import TrainingStream
from quantize.export.to_onnx import export, load_student
from quantize.training.losses import emotion_divergence
from quantize.training.run_settings import plain_settings
from quantize.training.student_config import StudentRun
from quantize.training.student_emotion_head import spans, train_emotion_head
from quantize.training.teacher_targets import TeacherTargets, code_neighbours, with_teacher_faces
from quantize.training.train_student import train_student
from tests.test_student import TINY, NoPhones, config, recordings

__all__ = ["recordings"]
pytestmark = [pytest.mark.toolchain, pytest.mark.filterwarnings("ignore")]
JAW = INDEX["jawOpen"]


def two_clips() -> TeacherTargets:
    """Of 16 and 8 faces; every row says where it is."""
    faces = np.zeros((24, 52), np.float16)
    faces[:, JAW] = np.arange(24) / 100
    return TeacherTargets(
        faces,
        np.zeros((12, 3), np.float16),
        np.arange(3, dtype=np.int16),
        np.arange(12, dtype=np.int16),
        np.zeros((5, 4), np.float16),
        np.array([[0, 0], [16, 3], [24, 5]]),
    )


def test_a_time_in_a_clip_is_found_at_every_level() -> None:
    known = two_clips()
    clip = np.array([0, 0, 0, 1, 1], np.int32)
    time = np.array([1 / 60, 10 / 60, 99.0, 1 / 60, 5 / 60], np.float32)
    face = known.face_rows(clip, time)
    assert face.tolist() == [0, 9, 15, 16, 20]  # past the end: the last
    assert known.fast[face // FAST].tolist() == [0, 4, 7, 8, 10]
    assert known.slow[face // SLOW].tolist() == [0, 1, 1, 2, 2]
    # The window of 1.5 s that ends there; the first where none has ended yet.
    ends = known.emotion_rows(np.array([0, 0, 0, 1], np.int32), np.array([0.1, 1.75, 9, 1.6]))
    assert ends.tolist() == [0, 1, 2, 3]


def test_unpaired_voices_show_the_teachers_face_mixed_with_the_viseme_s() -> None:
    known, faces = two_clips(), 24
    live = np.zeros((faces, 52), bool)
    live[:16, JAW] = True
    targets = np.zeros((faces, 52), np.float32)
    targets[:16, JAW] = 0.5
    stream = TrainingStream(
        np.zeros((faces, 40), np.float32),
        targets,
        live,
        np.full(faces, 3),
        np.ones(faces, np.float32),
        np.repeat([0, 1], [16, 8]).astype(np.int32),
        np.concatenate([np.arange(1, 17), np.arange(1, 9)]).astype(np.float32) / 60,
        np.zeros((faces, 0), np.float16),
    )
    made = with_teacher_faces(stream, known, 0.25, 0.7)
    assert np.array_equal(made.targets[:16], stream.targets[:16])  # captured: as it was
    teachers = known.faces[16:, JAW].astype(np.float32)
    np.testing.assert_allclose(made.targets[16:, JAW], 0.75 * 0.5 + 0.25 * teachers, atol=0.01)
    assert made.live[16:, JAW].all()
    assert not made.live[:, INDEX["cheekPuff"]].any()  # nobody captured it
    assert made.trust.tolist() == pytest.approx([1.0] * 16 + [0.7] * 8)
    alone = with_teacher_faces(stream, known, 1.0, 0.7)
    np.testing.assert_allclose(alone.targets[16:, JAW], teachers, atol=1e-3)
    # Where a face was captured, the teacher's may be part of it; what was not captured stays so.
    both = with_teacher_faces(stream, known, 0.25, 0.7, captured=0.5)
    half = (stream.targets[:16, JAW] + known.faces[:16, JAW]) / 2
    np.testing.assert_allclose(both.targets[:16, JAW], half, atol=1e-3)
    assert np.array_equal(both.targets[:16, JAW + 1 :], stream.targets[:16, JAW + 1 :])
    assert np.array_equal(both.targets[16:], made.targets[16:])
    assert np.array_equal(both.trust, made.trust)
    # A sound that nobody named is not learned from.
    unknown = with_teacher_faces(replace(stream, visemes=np.full(faces, UNKNOWN)), known, 1.0, 0.7)
    assert not unknown.live[16:].any()


def test_a_code_is_softened_towards_codes_that_look_alike() -> None:
    near = code_neighbours(torch.tensor([[0.0], [1.0], [10.0]]))
    # Squared distances to the nearest: 1, 1, 81; the temperature is half their mean.
    assert near[0, 1] / near[0, 0] == pytest.approx(math.exp(-2 * 1 / (83 / 3)))
    assert near[0, 2] < near[0, 1]
    assert torch.allclose(near.sum(1), torch.ones(3))


def test_the_divergence_of_two_emotions_by_hand() -> None:
    same = torch.tensor([[[0.5, 0.0]]])
    assert emotion_divergence(same, same).item() == pytest.approx(0.0)
    # Means 1 apart, both of variance 1: a half. Twice the variance predicted: (ln 2 + 1/2 - 1) / 2.
    assert emotion_divergence(torch.tensor([[[1.5, 0.0]]]), same).item() == pytest.approx(0.5)
    wide = torch.tensor([[[0.5, math.log(2)]]])
    assert emotion_divergence(wide, same).item() == pytest.approx(0.5 * (math.log(2) - 0.5))


def test_the_emotion_mean_decays_with_its_time_constant_however_it_is_fed() -> None:
    layer, x = LeakyMean(2, 90), torch.randn(1, 200, 2, generator=torch.manual_seed(0))
    whole, last = layer(x, layer.initial_state(1))
    half, past = layer(x[:, :70], layer.initial_state(1))
    rest, past = layer(x[:, 70:], past)
    assert torch.allclose(torch.cat([half, rest], dim=1), whole, atol=1e-6)
    past, single = layer.initial_state(1), []
    for frame in x.unbind(1):
        mean, past = layer(frame, past)
        single.append(mean)
    assert torch.allclose(torch.stack(single, dim=1), whole, atol=1e-6)
    assert torch.allclose(past, last, atol=1e-6)
    steady, _ = layer(torch.ones(1, 90, 2), layer.initial_state(1))
    assert steady[0, -1, 0].item() == pytest.approx(1 - math.exp(-1), abs=0.01)


def test_the_emotion_does_not_move_what_the_lips_are_read_from() -> None:
    torch.manual_seed(0)
    student = Student(replace(TINY, mood=8)).train()
    _, aux, _ = student(torch.randn(2, 50, 40), TINY.at(0).expand(2, -1), student.initial_state(2))
    aux.generator.emotion.square().sum().backward()
    generator = student.generator
    assert generator.near.linear.weight.grad is None
    assert generator.shared.weight.grad is not None
    assert not generator.shared.weight.grad[:-8].any()
    assert generator.shared.weight.grad[-8:].any()


def test_drawn_codes_are_held_over_their_span_and_are_real_codes() -> None:
    torch.manual_seed(0)
    generator = Generator(StudentConfig(codes=8, slow=3, fast=2))
    drawn = generator.sample_codes(torch.zeros(1, 16, 16))
    for part, span, vectors in (
        (drawn[0, :, :3], SLOW, generator.slow_vectors),
        (drawn[0, :, 3:], FAST, generator.fast_vectors),
    ):
        assert torch.allclose(part, part[torch.arange(16) // span * span])
        assert torch.cdist(part, vectors.weight.T).amin(1).max() < 1e-4
    assert len(torch.unique(drawn[0, ::FAST, 3:], dim=0)) > 1


SMALL = CodebookConfig(codes=16, slow=4, fast=4, width=8)


@pytest.fixture
def teachers(tmp_path: Path) -> dict[str, str]:
    """Untrained ones, as runs on disk."""
    torch.manual_seed(0)
    hears = ContentConfig(width=8, blocks=1, hidden=4)
    nets: dict[str, tuple[nn.Module, object]] = {}
    sizes = TeacherConfig(content=hears, width=8)
    nets["teacher"] = Teacher(sizes), sizes
    nets["codebook"] = Codebook(SMALL), SMALL
    nets["emotion"] = Embedding(EmbeddingConfig(width=8, blocks=1)), EmbeddingConfig(8 * 4, 8, 1)
    torch.nn.init.normal_(nets["codebook"][0].slow.vectors)  # type: ignore[union-attr]
    torch.nn.init.normal_(nets["codebook"][0].fast.vectors)  # type: ignore[union-attr]
    paths = {}
    for kind, (net, config_) in nets.items():
        folder = tmp_path / kind
        folder.mkdir()
        torch.save({"average": net.state_dict()}, folder / "checkpoint.pt")
        settings = {"train": kind, "model": plain_settings(config_)}
        (folder / "run.yaml").write_text(yaml.safe_dump(settings))
        paths[kind] = str(folder / "checkpoint.pt")
    return paths


def angrily(*args: Any, **kwargs: Any) -> Any:
    """The corpus, one of its clips spoken in anger."""
    corpus = read_corpus(*args, **kwargs)
    first, *others = corpus.clips
    angry = replace(first, clip=replace(first.clip, emotion="anger"))
    return replace(corpus, clips=[angry, *others])


def test_distilling_learns_from_teachers_and_goes_on_where_it_stopped(
    recordings: Path, teachers: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.data.streams.Aligner", NoPhones)
    monkeypatch.setattr("quantize.training.train_student.read_corpus", angrily)
    (recordings / "t2.csv").unlink()  # one voice without a face
    plain = config(recordings, 2)
    settings: StudentRun = replace(
        plain,
        teacher=(teachers["teacher"],) * 2,
        codebook=teachers["codebook"],
        embedding=teachers["emotion"],
        emotion_steps=40,
    )
    out = tmp_path / "run"
    train_student(settings, out)
    header, *rows = (out / "log.csv").read_text().splitlines()
    columns = {
        name: [float(r.split(",")[i]) for r in rows] for i, name in enumerate(header.split(","))
    }
    for name in ("codes", "emotion", "content"):
        assert columns[name][0] > columns[name][-1] > 0, name
    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    assert saved["finished"]
    # The names moved what the emotion is read from, and nothing else.
    train_student(replace(settings, emotion_steps=0), tmp_path / "nameless")
    plain = torch.load(tmp_path / "nameless" / "checkpoint.pt", weights_only=True)["average"]
    moved = {k: v for k, v in saved["average"].items() if not torch.equal(v, plain[k])}
    read = {"generator.shared.weight", "generator.shared.bias"}
    assert moved.keys() == read | {"generator.emotion.weight", "generator.emotion.bias"}
    lips = slice(None, -settings.model.mood)
    assert all(torch.equal(moved[k][lips], plain[k][lips]) for k in read)
    known = TeacherTargets.load(out / "teacher_targets.npz")
    assert len(known.faces) == 2 * len(known.fast) == 8 * len(known.slow)
    vectors = torch.load(teachers["codebook"], weights_only=True)["average"]["slow.vectors"]
    assert torch.equal(saved["net"]["generator.slow_vectors.weight"], vectors.T)  # not learned
    before = (out / "teacher_targets.npz").stat().st_mtime_ns
    asked = [
        word
        for flag, path in (
            ("teacher", teachers["teacher"]),
            ("teacher", teachers["teacher"]),
            ("codebook", teachers["codebook"]),
            ("embedding", teachers["emotion"]),
            ("config", str(out / "run.yaml")),
            ("out", str(out)),
        )
        for word in (f"--{flag}", path)
    ]
    assert (
        main(["distill", *asked]) == 0
    )  # nothing left to do, and the teachers are not asked again
    assert (out / "teacher_targets.npz").stat().st_mtime_ns == before

    bundle = export(out / "checkpoint.pt", tmp_path / "bundle", "tiny", lookahead=2)
    assert read_bundle(tmp_path / "bundle") == bundle
    sound = AudioBlock(read_audio(recordings / "t0.wav"), 0, 0.0)

    def raw(temperature: float, seed: int) -> np.ndarray:
        pipeline = Pipeline(bundle, open_engines(bundle), seed=seed, temperature=temperature)
        frames = []
        shape = pipeline.face.shape
        pipeline.face.shape = lambda r, speech: frames.append(r.copy()) or shape(r, speech)  # type: ignore[method-assign,func-returns-value]
        pipeline.push(sound)
        assert pipeline.voice_emotion
        assert set(pipeline.voice_emotion.describe()) == {
            "name",
            "chance",
            "valence",
            "uncertainty",
        }
        assert pipeline.voice_emotion.uncertainty > 0  # it listened
        return np.stack(frames)

    assert np.array_equal(raw(0.0, 1), raw(0.0, 2))  # the likeliest face knows no seed
    assert np.array_equal(raw(1.0, 1), raw(1.0, 1))
    assert not np.array_equal(raw(1.0, 1), raw(1.0, 2))

    features = teacher_features(sound.samples, 0)
    streamed = StreamingEmotion(bundle).logits(features)
    student = load_student(out / "checkpoint.pt")
    with torch.no_grad():
        choice = student.config.at(2)
        _, aux, _ = student(torch.from_numpy(features)[None], choice, student.initial_state())
    mean = torch.nn.functional.normalize(aux.generator.emotion[0].chunk(2, dim=1)[0], dim=1)
    torch.testing.assert_close(streamed, student.reading(mean).detach()[30:], atol=1e-4, rtol=1e-4)

    tables = bytearray((tmp_path / "bundle" / "codes.npz").read_bytes())
    tables[len(tables) // 2] ^= 1
    (tmp_path / "bundle" / "codes.npz").write_bytes(tables)
    with pytest.raises(MissingError, match=r"codes\.npz: damaged"):
        read_bundle(tmp_path / "bundle")


QUIET = """
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])
from quantize.data import streams
from quantize.training import train_student as student
from quantize.training.student_config import StudentRun
from quantize.training.run_settings import read_settings
from tests.test_distill import angrily
from tests.test_student import NoPhones

streams.Aligner, student.read_corpus = NoPhones, angrily
run = read_settings(StudentRun, Path(sys.argv[2]))
student.train_student(run, Path(sys.argv[3]))
"""


@pytest.mark.integration  # torchrun
def test_two_processes_distil_as_one(
    recordings: Path, teachers: dict[str, str], tmp_path: Path
) -> None:
    (recordings / "t2.csv").unlink()
    settings = replace(
        config(recordings, 2),
        noise_level=0.0,  # each process draws its own noise, and what it masks and drops
        masked_bands=0,
        emotion_steps=20,
        teacher=(teachers["teacher"],),
        codebook=teachers["codebook"],
        embedding=teachers["emotion"],
    )
    settings = replace(settings, model=replace(settings.model, dropout=0.0, sampled=0.0))
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(plain_settings(settings)))
    script = tmp_path / "quiet.py"
    script.write_text(QUIET)
    two = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    losses = []
    for name, launch in (("one", []), ("two", [*two, "--master-port", "29518"])):
        command = [sys.executable, *launch, str(script), str(Path.cwd())]
        command += [str(tmp_path / "run.yaml"), str(tmp_path / name)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        assert done.returncode == 0, done.stderr[-2000:]
        rows = list(csv.DictReader((tmp_path / name / "log.csv").open()))
        losses.append([float(row["loss"]) for row in rows])
        saved = torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        assert (saved["step"], saved["finished"]) == (int(rows[-1]["step"]), True)
    assert len(losses[0]) == 2
    assert losses[0][0] > losses[0][1]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


def test_a_name_is_learned_from_clips_that_sound_of_it() -> None:
    torch.manual_seed(0)
    student = Student(replace(TINY, mood=8, emotion=4, emotions=3)).eval()
    student.reading.weight.data, student.reading.bias.data = 5 * torch.eye(3, 4), torch.zeros(3)
    labels, faces = np.array([0, 2, UNKNOWN]), 120
    clip = np.repeat([0, -1, 1, 2], [faces, 10, faces, faces]).astype(np.int32)
    sound = np.repeat([1.0, -2.5, -1.0, 0.0], [faces, 10, faces, faces]).astype(np.float32)
    length = len(clip)
    stream = TrainingStream(
        np.repeat(sound[:, None], 40, axis=1),
        np.zeros((length, 52), np.float32),
        np.zeros((length, 52), bool),
        np.zeros(length, np.int64),
        np.ones(length, np.float32),
        clip,
        np.concatenate([np.arange(n) for n in (faces, 10, faces, faces)]).astype(np.float32) / 60,
        np.zeros((length, 0), np.float16),
    )
    assert [(k, at.start) for k, at in spans(stream)] == [(0, 0), (1, 130), (2, 250)]
    targets = replace(
        two_clips(),
        emotion=np.zeros((6, 8), np.float16),
        starts=np.array([[0, 0], [16, 3], [24, 5], [24, 6]]),
    )
    train_emotion_head(student, [stream], labels, targets, 700)
    for number, part in ((0, slice(0, faces)), (2, slice(130, 130 + faces))):
        mels = torch.from_numpy(stream.mels[part])[None]
        _, aux, _ = student(mels, student.config.at(0), student.initial_state())
        mean = torch.nn.functional.normalize(aux.generator.emotion[0, -1, :4], dim=0)
        assert int(student.reading(mean).argmax()) == number
    # Nobody acted: nothing is changed.
    before = {k: v.clone() for k, v in student.state_dict().items()}
    train_emotion_head(student, [stream], np.full(3, UNKNOWN), targets, 700)
    assert all(torch.equal(v, before[k]) for k, v in student.state_dict().items())


def test_a_run_that_is_no_teacher_is_refused_by_name(
    recordings: Path, teachers: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.data.streams.Aligner", NoPhones)
    settings = replace(
        config(recordings, 2),
        teacher=(teachers["codebook"],),
        codebook=teachers["codebook"],
        embedding=teachers["emotion"],
    )
    with pytest.raises(InputError, match="a run of 'train codebook', not of 'train teacher'"):
        train_student(settings, tmp_path / "run")


def test_a_student_without_the_verb_distill_takes_no_teacher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["train", "student", "--teacher", "x", "--data", "d", "--out", str(tmp_path / "o")]
    assert main(asked) == ConfigError.status
    assert "edge-quantize distill" in capsys.readouterr().err


def test_a_checkpoint_without_its_settings_is_one_sentence(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match=r"run\.yaml that was beside it is missing"):
        load_student(tmp_path / "checkpoint.pt")


def test_a_teacher_alone_is_refused(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'codebook' and 'embedding'"):
        train_student(replace(config(recordings, 1), teacher=("x",)), tmp_path / "run")
