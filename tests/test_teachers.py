"""The teachers' blocks worked by hand; each training from made-up recordings to a checkpoint."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")

import soundfile

from edge.contract import INDEX, SAMPLE_RATE, ConfigError, InputError
from edge.emotion import load_emotions
from models.code_generator import CodeGenerator, GeneratorConfig, draw, generate
from models.codebook import FAST, SLOW, Codebook, CodebookConfig, Quantizer
from models.embedding import Embedding, EmbeddingConfig, divergence, sample
from models.teacher import LEVELS, Teacher, TeacherConfig, over
from quantize import cli
from quantize.data.clips import EMOTIONS
from quantize.training import loop
from quantize.training.checkpoint import averaged, open_run
from quantize.training.inference import faces_of
from quantize.training.labels import one_hot
from quantize.training.loop import Schedule, fit
from quantize.training.losses import between_classes
from quantize.training.teacher_batches import EXPRESSIVE, UPPER, expression, mask_spans
from quantize.training.train_codebook import CodebookRun, train_codebook

pytestmark = [
    pytest.mark.toolchain,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def quantizer(vectors: list[list[float]]) -> Quantizer:
    made = Quantizer(len(vectors), len(vectors[0]), decay=0.5)
    made.vectors.copy_(torch.tensor(vectors))
    made.usage.fill_(1.0)
    return made


def test_a_point_takes_the_nearest_vector_and_the_gradient_passes_straight_through() -> None:
    net = quantizer([[0.0, 0.0], [1.0, 1.0]]).eval()
    x = torch.tensor([[[0.1, 0.2], [0.9, 0.7]]], requires_grad=True)
    chosen, indices, commitment = net(x)
    assert indices.tolist() == [[0, 1]]
    torch.testing.assert_close(chosen, torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]))
    assert commitment.item() == pytest.approx((0.01 + 0.04 + 0.01 + 0.09) / 4)
    chosen.sum().backward()
    assert x.grad is not None
    assert (x.grad == 1).all()


def test_a_vector_follows_the_points_it_stands_for() -> None:
    net = quantizer([[0.0], [10.0]]).train()
    net.until_check = 100
    net(torch.tensor([[[2.0], [10.0]]]))
    # Half of the old sum (0 of count 1) and half of the new (2 of count 1).
    assert net.vectors[0].item() == pytest.approx(1.0)
    assert net.vectors[1].item() == pytest.approx(10.0)


def test_a_dead_code_comes_back_to_life_with_a_share_of_the_count() -> None:
    net = quantizer([[0.0], [1000.0]]).train()
    net.usage.copy_(torch.tensor([8.0, 0.01]))
    points = torch.randn(1, 16, 1)
    net.until_check = 1
    net(points)
    assert abs(net.vectors[1].item()) < 10
    assert net.usage[1].item() > 1
    net.until_check = 1
    _, indices, _ = net(points)
    assert set(indices.flatten().tolist()) == {0, 1}


def codebook() -> Codebook:
    torch.manual_seed(0)
    made = Codebook(CodebookConfig(codes=16, slow=8, fast=8, width=16))
    made.train()
    made(torch.randn(4, 64, 52))
    return made.eval()


def test_codes_span_eight_and_two_faces() -> None:
    _, (slow, fast), _ = codebook()(torch.randn(2, 32, 52))
    assert slow.shape == (2, 32 // SLOW) == (2, 4)
    assert fast.shape == (2, 32 // FAST) == (2, 16)


@torch.no_grad()
def test_the_face_decoder_streams_and_never_looks_ahead() -> None:
    net = codebook()
    slow, fast = torch.randn(1, 4, 8), torch.randn(1, 16, 8)
    whole, _ = net.decode(slow, fast)
    first, state = net.decode(slow[:, :2], fast[:, :8])
    second, _ = net.decode(slow[:, 2:], fast[:, 8:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    changed = fast.clone()
    changed[:, 10:] += 5
    other, _ = net.decode(slow, changed)
    torch.testing.assert_close(other[:, :20], whole[:, :20])
    assert (other[:, 20:] != whole[:, 20:]).any()


def test_the_distance_of_two_distributions_by_hand() -> None:
    net = Embedding(EmbeddingConfig(size=2, width=8, blocks=1))
    x = (torch.tensor([[1.0, 0.0]]), torch.log(torch.tensor([[0.1, 0.2]])))
    y = (torch.tensor([[0.0, 1.0]]), torch.log(torch.tensor([[0.3, 0.4]])))
    # |mu - mu'|² = 2, variances sum to 1: -5 * 3 + 5.
    assert net.match(x, y).item() == pytest.approx(-10.0, abs=1e-5)
    assert divergence(torch.zeros(1, 2), torch.zeros(1, 2)).item() == 0.0
    assert divergence(torch.ones(1, 2), torch.zeros(1, 2)).item() == pytest.approx(0.5)


def test_temperature_zero_is_the_mean_and_samples_stay_on_the_sphere() -> None:
    mean = torch.nn.functional.normalize(torch.randn(5, 8), dim=1)
    wide = torch.zeros(5, 8)
    torch.testing.assert_close(sample(mean, wide, 0.0, torch.Generator()), mean)
    drawn = sample(mean, wide, 1.0, torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(5))
    assert (drawn - mean).norm(dim=1).min() > 0.1


def test_codes_are_drawn_with_the_chances_that_logits_and_temperature_give() -> None:
    logits = torch.log(torch.tensor([0.1, 0.9])).expand(1, 4000, 2)
    random = torch.Generator().manual_seed(0)
    assert draw(logits, 0.0, random).float().mean() == 1.0
    assert draw(logits, 1.0, random).float().mean() == pytest.approx(0.9, abs=0.03)
    # At 2 the odds 9 become 3.
    assert draw(logits, 2.0, random).float().mean() == pytest.approx(0.75, abs=0.03)


@torch.no_grad()
def test_the_generator_is_greedy_at_zero_and_a_seed_repeats_itself() -> None:
    torch.manual_seed(0)
    book = codebook()
    net = CodeGenerator(GeneratorConfig(content=6, emotion=3, width=16, blocks=1), book).eval()
    content, emotion = torch.randn(1, 32, 6), torch.randn(1, 3)
    greedy = [generate(net, book, content, emotion, 0.0, seed) for seed in (1, 2)]
    assert torch.equal(*greedy)
    assert greedy[0].shape == (1, 64, 52)
    one, again, other = (generate(net, book, content, emotion, 1.0, s) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_mean_over_a_window_takes_only_frames_that_exist() -> None:
    x = torch.arange(5.0)[None, :, None]
    assert over(x, 3).flatten().tolist() == [0.5, 1.0, 2.0, 3.0, 3.5]


def tiny() -> Teacher:
    torch.manual_seed(0)
    return Teacher(TeacherConfig(width=16, emotion=4)).eval()


@torch.no_grad()
def test_a_teacher_predicts_a_face_for_every_frame_of_features() -> None:
    for count in (50, 51):
        faces = faces_of(tiny(), np.random.default_rng(0).standard_normal((count, 40), np.float32))
        assert faces.shape == (count, 52)


@torch.no_grad()
def test_words_come_from_one_voice_and_emotion_from_the_other() -> None:
    net = tiny()
    a, b = torch.randn(1, 60, 40), torch.randn(1, 60, 40)
    level, style = one_hot(np.full((1, 60), 2), 3), torch.zeros(1, 60, 3)
    _, visemes, emotion, _ = net(a, b, level, style)
    torch.testing.assert_close(visemes, net(a, a, level, style)[1])
    torch.testing.assert_close(emotion, net(b, b, level, style)[2])


def test_an_expression_is_the_table_s_at_the_level_asked_for() -> None:
    joy = EMOTIONS.index("happiness")
    predicted = expression(np.array([joy, joy, joy]), np.array([0, 1, 2]))
    full = load_emotions()[0]["happiness"]
    np.testing.assert_allclose(predicted, [0 * full, 0.5 * full, full])
    assert LEVELS == (0.0, 0.5, 1.0)
    assert INDEX["browDownLeft"] in UPPER
    assert INDEX["mouthSmileLeft"] not in UPPER


def test_variance_between_classes_is_separated_from_variance_within() -> None:
    kinds = torch.tensor([4, 4, 6, 6])
    apart = torch.tensor([[1.0], [1.0], [3.0], [3.0]])
    assert between_classes(apart, kinds).item() == pytest.approx(1.0)
    within = torch.tensor([[1.0], [3.0], [1.0], [3.0]])
    assert between_classes(within, kinds).item() == pytest.approx(0.0)
    # Means 1 and 2 about 1.5: 1 between them, of 2.25 + 0.25 + 0.25 + 2.25 in all.
    mixed = torch.tensor([[0.0], [2.0], [1.0], [3.0]])
    assert between_classes(mixed, kinds).item() == pytest.approx(1.0 / 5.0)


def test_every_shape_that_an_emotion_moves_is_taught_with_it() -> None:
    for name in ("mouthFrownLeft", "mouthStretchRight", "mouthSmileLeft", "browInnerUp"):
        assert EXPRESSIVE[INDEX[name]], name
    assert not EXPRESSIVE[INDEX["jawOpen"]]


def test_unknown_indices_are_all_zero() -> None:
    assert one_hot(np.array([1, -1]), 2).tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_masking_hides_frames_and_bands_and_nothing_more() -> None:
    torch.manual_seed(0)
    seen = mask_spans(torch.full((8, 400, 40), 5.0))
    hidden = (seen < 0).float().mean().item()
    assert 0.02 < hidden < 0.3
    assert (seen[seen > 0] - 5.0).abs().max() < 1.0


def regression(out: Path, steps: int, every: int = 5) -> torch.nn.Module:
    """y = 2 x by gradient descent; each process takes its rows of the batch."""

    def losses(net, step, rng, rows):
        x = torch.from_numpy(rng.standard_normal((8, 1)).astype(np.float32))[rows]
        return {"error": ((net(x) - 2 * x) ** 2).mean()}

    torch.manual_seed(3)
    out.mkdir(exist_ok=True)
    schedule = Schedule(steps, batch=8, rate=0.3, every=every)
    return fit(torch.nn.Linear(1, 1), out, schedule, losses, lambda net: {})


def losses_of(out: Path) -> list[float]:
    return [float(row["loss"]) for row in csv.DictReader((out / "log.csv").open())]


def test_the_loop_learns_and_going_on_after_a_stop_changes_nothing(tmp_path: Path) -> None:
    whole = regression(tmp_path / "whole", 40)
    assert losses_of(tmp_path / "whole")[-1] < 0.2 * losses_of(tmp_path / "whole")[0]

    out = tmp_path / "cut"
    out.mkdir()
    # Two runs of the same schedule: the first dies at its second checkpoint.
    schedule = Schedule(40, batch=8, rate=0.3, every=5)

    def losses(net, step, rng, rows):
        if step == 7 and not (out / "died").exists():
            (out / "died").touch()
            raise KeyboardInterrupt
        x = torch.from_numpy(rng.standard_normal((8, 1)).astype(np.float32))[rows]
        return {"error": ((net(x) - 2 * x) ** 2).mean()}

    for attempt in range(2):
        torch.manual_seed(3)
        net = torch.nn.Linear(1, 1)
        if attempt == 0:
            with pytest.raises(KeyboardInterrupt):
                fit(net, out, schedule, losses, lambda net: {})
        else:
            resumed = fit(net, out, schedule, losses, lambda net: {})
    assert torch.equal(resumed.weight, whole.weight)
    assert losses_of(out) == losses_of(tmp_path / "whole")
    assert (out / "curves.png").stat().st_size > 1000


def test_a_batch_that_does_not_divide_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="batch of 8 does not divide among 3"):
        regression(tmp_path / "x", 5)


class NoPhones:
    """Finding phones needs pocketsphinx, and tones have none."""

    def find(self, samples: object, text: object) -> tuple[()]:
        return ()


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Talkers whose jaw is the loudness of a tone, and actors: a sentence in two emotions."""
    talkers, actors = tmp_path / "tones", tmp_path / "emodb"
    talkers.mkdir()
    (actors / "audio").mkdir(parents=True)
    time = np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE
    for k in range(3):
        open_ = 0.5 - 0.5 * np.cos(2 * np.pi * (1 + k) * time)
        sound = 0.3 * open_ * np.sin(1500 * time)
        soundfile.write(talkers / f"t{k}.wav", sound, SAMPLE_RATE, "PCM_16")
        rows = [f"{i / 50},{v:.4f},{1 - v:.4f}" for i, v in enumerate(open_[:: SAMPLE_RATE // 50])]
        (talkers / f"t{k}.csv").write_text("\n".join(["time_s,jawOpen,browInnerUp", *rows]) + "\n")
    index = ["file,speaker,sex,text,emotion"]
    for k, (speaker, emotion) in enumerate((s, e) for s in (3, 13) for e in ("anger", "sadness")):
        pitch = {"anger": 3000, "sadness": 900}[emotion] + 10 * speaker
        sound = 0.3 * np.sin(pitch * time[: 2 * SAMPLE_RATE])
        soundfile.write(actors / "audio" / f"a{k}.flac", sound, SAMPLE_RATE, "PCM_16")
        index.append(f"a{k},{speaker:02d},m,a01,{emotion}")
    (actors / "index.csv").write_text("\n".join(index) + "\n")
    return ["--data", str(talkers), "--data", str(actors)]


def test_every_teacher_trains_from_the_command_line_and_the_generator_stands_on_them(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.data.streams.Aligner", NoPhones)
    small = tmp_path / "small.yaml"
    runs = {name: tmp_path / name for name in ("codebook", "emotion", "teacher", "generator")}

    def run(name: str, settings: str, *more: str) -> None:
        small.write_text(settings)
        words = ["train", name, *data, "--config", str(small), "--out", str(runs[name]), *more]
        assert cli.main([*words, "--threads", "1"]) == 0
        assert len(losses_of(runs[name])) >= 1

    # Sizes of its own for each: what stands on a run has to ask its run.yaml.
    run("emotion", "{batch: 8, steps: 6, renditions: 1, model: {width: 24}}")
    sizes = "model: {width: 32, content: {width: 48}}"
    run(
        "teacher",
        f"{{batch: 1, epochs: 1, renditions: 1, repeat: {{tones: 4}}, acted: 4, {sizes}}}",
    )
    rows = list(csv.DictReader((runs["teacher"] / "log.csv").open()))
    assert float(rows[0]["acted"]) > 0
    with_faces = "--teacher", str(runs["teacher"] / "checkpoint.pt")
    run("codebook", "{batch: 6, steps: 6, model: {codes: 32, width: 24}}", *with_faces)
    stands_on = [
        word
        for flag, name in (("teacher", "teacher"), ("embedding", "emotion"), ("codebook",) * 2)
        for word in (f"--{flag}", str(runs[name] / "checkpoint.pt"))
    ]
    run("generator", "{batch: 4, steps: 6}", *stands_on)

    with pytest.raises(InputError, match="a run of 'train codebook', not of 'train teacher'"):
        open_run(runs["codebook"] / "checkpoint.pt", "teacher", Teacher, TeacherConfig)
    assert cli.main(["train", "codebook", *data, "--out", "x", "--epochs", "2"]) == 78


def test_the_codebook_learns_motion_and_shows_what_was_never_captured_as_little(
    data: list[str], tmp_path: Path
) -> None:
    run = CodebookRun(data=(data[1],), steps=60, batch=8, model=CodebookConfig(codes=32, width=32))
    net = train_codebook(run, tmp_path / "codes")
    rows = list(csv.DictReader((tmp_path / "codes" / "log.csv").open()))
    assert float(rows[-1]["explained"]) > 0.3
    assert isinstance(net, Codebook)


SMALL = """batch: 2
acted: 2
epochs: 6
model: {width: 16, dropout: 0, content: {width: 16, blocks: 2, hidden: 8, content: 16, dropout: 0}}
"""


def prepared(data: list[str], out: Path) -> None:
    """Shards of the talkers and the actors, said twice; the recordings are gone afterwards."""
    pytest.importorskip("webdataset", reason="webdataset is not installed: shards are not tested")
    assert cli.main(["prepare", *data, "--out", str(out), "--renditions", "2"]) == 0
    for folder in data[1::2]:
        shutil.rmtree(folder)
    (out.parent / "small.yaml").write_text(SMALL)


def learn_from_shards(out: Path, stopped: bool = False) -> None:
    words = ["train", "teacher", "--data", str(out.parent / "prepared"), "--threads", "1"]
    words += ["--config", str(out.parent / "small.yaml"), "--out", str(out)]
    assert cli.main(words) == (130 if stopped else 0)


def stop_after(step: int) -> Callable[[Any], None]:
    """As if Ctrl-C were pressed right after a checkpoint."""
    save = loop._Run.save

    def stopping(run: loop._Run) -> None:
        save(run)
        if run.step >= step:
            raise KeyboardInterrupt

    return stopping


def test_a_teacher_learns_from_shards_alone_and_goes_on_where_it_stopped(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.data.streams.Aligner", NoPhones)
    prepared(data, tmp_path / "prepared")
    learn_from_shards(tmp_path / "whole")
    losses = [float(r["shape"]) for r in csv.DictReader((tmp_path / "whole" / "log.csv").open())]
    assert len(losses) == 6
    assert losses[-1] < 0.7 * losses[0]

    with monkeypatch.context() as patch:
        patch.setattr("quantize.training.loop._Run.save", stop_after(2))
        learn_from_shards(tmp_path / "cut", stopped=True)
    assert len(losses_of(tmp_path / "cut")) == 2
    learn_from_shards(tmp_path / "cut")
    assert losses_of(tmp_path / "cut") == losses_of(tmp_path / "whole")


@pytest.mark.integration  # torchrun
def test_two_processes_take_the_same_steps_as_one_also_over_shards(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.data.streams.Aligner", NoPhones)
    prepared(data, tmp_path / "prepared")
    # What each process masks at random is its own.
    (tmp_path / "small.yaml").write_text("augment: false\n" + SMALL)
    regression(tmp_path / "one", 20)
    learn_from_shards(tmp_path / "taught_by_one")
    script = tmp_path / "two.py"
    script.write_text(
        "from pathlib import Path; import sys\n"
        f"sys.path.insert(0, {str(Path.cwd())!r})\n"
        "from tests.test_teachers import learn_from_shards, regression\n"
        f"regression(Path({str(tmp_path / 'two')!r}), 20)\n"
        f"learn_from_shards(Path({str(tmp_path / 'taught_by_two')!r}))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-addr", "127.0.0.1", "--master-port", "29517", str(script)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    weights = [
        averaged(tmp_path / name / "checkpoint.pt", lambda: torch.nn.Linear(1, 1)).weight.item()
        for name in ("one", "two")
    ]
    assert weights[0] == pytest.approx(weights[1], rel=1e-5)
    assert losses_of(tmp_path / "one") == pytest.approx(losses_of(tmp_path / "two"), rel=1e-3)
    # bfloat16 adds up two halves a little differently.
    one, two = losses_of(tmp_path / "taught_by_one"), losses_of(tmp_path / "taught_by_two")
    assert one == pytest.approx(two, rel=2e-3)
