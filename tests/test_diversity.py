"""How different the faces of one voice are, worked by hand; when they are all the same."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")

import yaml

from benchmarks.teachers import diversity
from benchmarks.teachers.diversity import (
    REGIONS,
    TEMPERATURES,
    WAYS,
    curve,
    distance,
    figures,
    verdict,
)
from edge.contract import INDEX, InputError, face_end
from models.code_generator import CodeGenerator, GeneratorConfig, draw, generate
from models.codebook import Codebook, CodebookConfig
from models.embedding import Embedding, EmbeddingConfig
from models.teacher import ContentConfig, Teacher, TeacherConfig
from quantize.data.targets import Scale, arkit_spread
from quantize.evaluation.test_clips import TestClip
from quantize.training.train_code_generator import (
    FrozenNetworks,
    TeacherFeatures,
    open_generator,
    teacher_features_of,
)

pytestmark = pytest.mark.toolchain
JAW, FUNNEL, BROW = (INDEX[name] for name in ("jawOpen", "mouthFunnel", "browInnerUp"))
NAMES = ("teacher", "embedding", "codebook", "generator")


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """Four small untrained networks as runs would leave them, every one in sizes of its own."""
    torch.manual_seed(0)
    sizes = {
        "teacher": TeacherConfig(ContentConfig(width=24, blocks=1, hidden=8, content=12), width=16),
        "embedding": EmbeddingConfig(size=6, width=8, blocks=1),
        "codebook": CodebookConfig(codes=16, slow=8, fast=8, width=16),
        "generator": GeneratorConfig(content=12, emotion=6, width=16, blocks=1),
    }
    book = Codebook(sizes["codebook"])
    for level in (book.slow, book.fast):
        level.vectors.normal_()
    nets = {
        "teacher": Teacher(sizes["teacher"]),
        "embedding": Embedding(sizes["embedding"]),
        "codebook": book,
        "generator": CodeGenerator(sizes["generator"], book),
    }
    kinds = dict(zip(NAMES, ("teacher", "emotion", "codebook", "generator"), strict=True))
    paths = {name: tmp_path / name / "checkpoint.pt" for name in NAMES}
    for name, path in paths.items():
        path.parent.mkdir()
        torch.save({"average": nets[name].state_dict()}, path)
        stands_on = {n: str(paths[n]) for n in NAMES[:3]} if name == "generator" else {}
        settings = {"train": kinds[name], **stands_on, "model": asdict(sizes[name])}
        path.with_name("run.yaml").write_text(yaml.safe_dump(settings))
    return paths


@pytest.fixture
def opened(runs: dict[str, Path]) -> tuple[CodeGenerator, FrozenNetworks]:
    return open_generator(runs["generator"])


def voice(parts: FrozenNetworks, faces: int = 61) -> TeacherFeatures:
    return teacher_features_of(
        parts, np.random.default_rng(1).standard_normal((faces, 40), np.float32)
    )


def clip(faces: int = 61) -> TestClip:
    """A voice whose jaw and funnel were captured, nothing else."""
    samples = np.zeros(face_end(faces - 1), np.float32)
    captured = np.zeros((faces, 52), np.float32)
    captured[:, [JAW, FUNNEL]] = 0.2 + 0.2 * np.sin(np.arange(faces) / 5)[:, None]
    alive = np.zeros(52, np.float32)
    alive[[JAW, FUNNEL]] = 1
    made = TestClip(
        "x/1", "x", "x", samples, captured, 60.0, Scale(np.zeros(52, np.float32), alive)
    )
    assert made.faces == faces
    return made


def test_the_distance_of_planted_samples_by_hand() -> None:
    samples = np.zeros((3, 2, 2), np.float32)
    samples[1] = 2.0  # 2 from the first everywhere
    samples[2, 0, 0] = 4.0  # one of four values: sqrt(16 / 4) = 2 from the first
    # From the second: sqrt((2² + 2² + 2² + 2²) / 4) = 2. The mean of 2, 2 and 2.
    assert distance(samples) == pytest.approx(2.0)
    samples[2] = 0.0  # 2, 0 and 2
    assert distance(samples) == pytest.approx(4 / 3)


def test_the_distance_of_normal_samples_is_root_two_of_their_deviation() -> None:
    drawn = np.random.default_rng(0).normal(0, 0.3, (8, 400, 5)).astype(np.float32)
    assert distance(drawn) == pytest.approx(0.3 * np.sqrt(2), rel=0.02)


def test_the_upper_face_and_the_mouth_are_told_apart_and_lips_are_held_against_the_capture() -> (
    None
):
    captured_clip = clip()
    truth = captured_clip.truth / arkit_spread()
    faces = np.stack([truth, truth])
    faces[1][:, BROW] += 3.0
    found = figures({captured_clip.id: faces}, [captured_clip])["x"]
    assert found["diversity_upper"] == pytest.approx(3 / np.sqrt(len(REGIONS["upper"])), rel=1e-5)
    assert found["diversity_mouth"] == 0.0
    assert found["rmse_mean"] == pytest.approx(0.0, abs=1e-6)
    assert found["r_jaw"] == pytest.approx(1.0)
    faces[1][:, JAW] += 0.05 / arkit_spread()[JAW]
    found = figures({captured_clip.id: faces}, [captured_clip])["x"]
    # One of two shapes is 0.05 off, in one of two samples.
    assert found["rmse_mean"] == pytest.approx(0.0125, abs=1e-5)
    assert found["diversity_mouth"] > 0


def rows_of(errors: list[float], spread: list[float]) -> list[dict]:
    return [
        {
            "temperature": at,
            "sets": {
                "x": {
                    "diversity_upper": s, "diversity_mouth": s,
                    "rmse_mean_over_greedy": 1.0, "lve_over_greedy": e,
                }
            },
        }
        for at, e, s in zip(TEMPERATURES, errors, spread, strict=False)
    ]  # fmt: skip


def test_the_verdict_names_the_last_temperature_before_the_lips_are_too_far_off() -> None:
    found = verdict(rows_of([1.0, 1.02, 1.09, 1.11], [0, 0.1, 0.2, 0.3]))["x"]
    assert found == {"grows": {"upper": True, "mouth": True}, "lips_within_bound_up_to": 0.5}
    again = verdict(rows_of([1.0, 1.2, 1.0], [0, 0.2, 0.1]))["x"]
    # A dip after the bound was passed does not count.
    assert again == {"grows": {"upper": False, "mouth": False}, "lips_within_bound_up_to": 0.0}


def test_a_clip_of_no_whole_code_is_heard_as_if_its_last_sound_went_on(
    opened: tuple[CodeGenerator, FrozenNetworks],
) -> None:
    _, parts = opened
    mels = np.random.default_rng(1).standard_normal((61, 40), np.float32)
    cut = teacher_features_of(parts, mels)
    full = teacher_features_of(parts, np.concatenate([mels, mels[-1:], mels[-1:], mels[-1:]]))
    assert (cut.faces, full.faces) == (61, 64)
    torch.testing.assert_close(cut.content, full.content)
    assert cut.mean.norm().item() == pytest.approx(1.0)


@pytest.mark.parametrize("way", WAYS)
def test_at_temperature_zero_every_sample_is_the_greedy_face(
    opened: tuple[CodeGenerator, FrozenNetworks], way: str
) -> None:
    net, parts = opened
    given = voice(parts)
    faces = WAYS[way](net, parts, given, 0.0, 3)
    assert faces.shape == (3, 61, 52)
    greedy = generate(net, parts.codebook, given.content, given.mean, 0.0, seed=5)[:, :61].numpy()
    # A batch may round otherwise than a single face.
    np.testing.assert_allclose(faces, np.repeat(greedy, 3, axis=0), atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_samples_differ_when_warm_and_are_the_same_the_next_time(
    opened: tuple[CodeGenerator, FrozenNetworks], way: str
) -> None:
    net, parts = opened
    given = voice(parts)
    faces, again = (WAYS[way](net, parts, given, 9.0, 2) for _ in range(2))
    np.testing.assert_array_equal(faces, again)
    assert (faces[0] != faces[1]).any()


@torch.no_grad()
def test_fast_codes_are_drawn_at_their_share_of_the_temperature(
    opened: tuple[CodeGenerator, FrozenNetworks],
) -> None:
    net, parts = opened
    given, book = voice(parts), parts.codebook
    random = torch.Generator().manual_seed(7)
    common, logits = net.encode(given.content, given.mean)
    slow = book.slow.lookup(draw(logits, 2.0, random))
    likeliest = book.fast.lookup(net.decode(common, slow).argmax(-1))
    drawn = generate(net, book, given.content, given.mean, 2.0, seed=7, fast=0.0)
    torch.testing.assert_close(drawn, book.decode(slow, likeliest)[0])
    warm = book.fast.lookup(draw(net.decode(common, slow), 1.0, random))
    drawn = generate(net, book, given.content, given.mean, 2.0, seed=7, fast=0.5)
    torch.testing.assert_close(drawn, book.decode(slow, warm)[0])


def test_a_curve_starts_at_the_greedy_face_and_samples_part_as_it_warms(
    opened: tuple[CodeGenerator, FrozenNetworks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diversity, "SAMPLES", 3)
    net, parts = opened
    captured_clip = clip()
    rows = curve(WAYS["both levels"], net, parts, {captured_clip.id: voice(parts)}, [captured_clip])
    assert [row["temperature"] for row in rows] == list(TEMPERATURES)
    first = rows[0]["sets"]["x"]
    assert first["diversity_upper"] == first["diversity_mouth"] == 0.0
    assert first["rmse_mean_over_greedy"] == 1.0
    last = rows[-1]["sets"]["x"]
    assert last["lve_over_greedy"] == pytest.approx(last["lve"] / first["lve"]) != 1.0
    spread = [row["sets"]["x"]["diversity_mouth"] for row in rows]
    assert all(b > a for a, b in pairwise(spread[:3]))


def test_a_generator_is_opened_with_what_its_run_stood_on(runs: dict[str, Path]) -> None:
    net, parts = open_generator(runs["generator"])
    assert net.config.width == 16
    assert parts.codebook.config.codes == 16
    assert parts.teacher.config.content.hidden == 8
    settings = runs["generator"].with_name("run.yaml")
    settings.write_text(settings.read_text().replace(str(runs["teacher"]), str(runs["codebook"])))
    with pytest.raises(InputError, match=r"codebook/checkpoint.pt: a run of 'train codebook', not"):
        open_generator(runs["generator"])
    runs["codebook"].with_name("run.yaml").write_text("model: {codes: 32}\n")
    settings.write_text(f"train: generator\nteacher: {runs['teacher']}\n")
    with pytest.raises(
        InputError, match=r"generator/checkpoint.pt: no 'embedding' in the run.yaml"
    ):
        open_generator(runs["generator"])


def test_what_cannot_be_opened_is_named_with_its_file(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    runs["codebook"].with_name("run.yaml").write_text("train: codebook\nmodel: {codes: 32}\n")
    assert diversity.main([str(runs["generator"])]) == 66
    stderr = capsys.readouterr().err
    assert "codebook/checkpoint.pt: not a checkpoint that fits its run" in stderr
    assert stderr.count("\n") == 1
    runs["codebook"].with_name("run.yaml").write_text("a: [\n")
    assert diversity.main([str(runs["generator"])]) == 66
    assert "codebook/run.yaml: not the settings of a run" in capsys.readouterr().err
