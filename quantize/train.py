"""Recordings to a trained student: ``edge-quantize train``. Seeded, resumable, logged.

A run folder holds ``run.yaml`` (settings), ``phones.json``, ``renditions/``, ``checkpoint.pt``,
``log.csv`` and ``curves.png``. Starting it again with the same settings goes on where it stopped.
"""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from edge.contract import ARKIT_52, FPS, Floats
from models.codebook import FAST, SLOW, Codebook, CodebookConfig
from models.embedding import Embedding, EmbeddingConfig
from models.student import Lesson, Student, StudentConfig
from models.teacher import Teacher, TeacherConfig
from quantize.augment import hide_bands
from quantize.corpus import read_corpus
from quantize.data import DataError
from quantize.lessons import Lessons, Teachers, neighbours, teach, with_teachers_faces
from quantize.loop import keep_settings, plain_settings
from quantize.losses import (
    closure_loss,
    correlation,
    mood_loss,
    shape_loss,
    velocity_loss,
    viseme_loss,
    weighted_mean,
)
from quantize.open import open_run
from quantize.renditions import Renditions
from quantize.streams import Spoken, Stream
from quantize.targets import Scale, arkit_spread

log = logging.getLogger(__name__)


TERMS, TAUGHT = ("loss", "shape", "velocity", "viseme", "closure"), ("codes", "emotion", "content")
"""Columns of ``log.csv``: always, and with teachers."""


@dataclass(frozen=True)
class RunConfig:
    """What decides a run; kept as ``run.yaml`` beside the checkpoint."""

    data: tuple[str, ...]
    """Folders that ``quantize.data.load`` reads, or the one that ``prepare`` made."""
    noise: str | None = None
    """Folder with ``noise/`` and ``rir/`` to mix in; without it only made-up noise is."""
    seed: int = 0
    epochs: int = 60
    renditions: int = 12
    """How many times the corpus is spoken anew; epochs cycle through them."""
    repeat: dict[str, int] = field(default_factory=lambda: {"facegood": 3})
    """How often a source is used in one rendition, where not once."""
    batch: int = 24
    """Streams trained side by side; state is carried along each."""
    window: int = 200
    """Faces between two updates (back-propagation is cut there, state is not)."""
    rate: float = 3e-3
    """Peak learning rate; 200 steps of warm-up, then a cosine down to a hundredth."""
    velocity: float = 4.0
    viseme: float = 0.5
    closure: float = 0.03
    teacher: tuple[str, ...] = ()
    """Checkpoints of ``train teacher``; their mean face is what unpaired voices show."""
    share: float = 0.75
    """Of the teachers' face, the rest is the spoken viseme's, where a voice has no face."""
    trust: float = 0.8
    """Weight of such a face; a captured one's is 1."""
    codebook: str | None = None
    """Checkpoint of ``train codebook``, whose codes the student learns; likewise the next."""
    embedding: str | None = None
    codes: float = 0.05
    """Weight of the teachers' codes; the next two likewise."""
    emotion: float = 0.2
    content: float = 0.1
    noise_level: float = 0.1
    """Standard deviation of noise on the features (0.1 is 2 dB)."""
    average: float = 0.998
    """Decay of the running average of the weights, which is what gets exported."""
    student: StudentConfig = field(default_factory=StudentConfig)


def train(config: RunConfig, out: Path) -> Path:
    """Run until ``config.epochs`` are done; returns the checkpoint's path."""
    keep_settings(out, plain_settings(config))
    times = min(config.renditions, config.epochs)
    corpus = read_corpus(config.data, out, config.noise, config.seed, config.repeat, times)
    log.info("%d training, %d validation clips", len(corpus.spoken), len(corpus.validation))
    torch.manual_seed(config.seed)
    taught = lessons(config, out, corpus.spoken, corpus.scales)
    run = _Run(config, out, corpus.scales, taught)
    with Renditions(out / "renditions", corpus.make, corpus.times) as renditions:
        while run.epoch < config.epochs:
            if taught:
                stream = renditions.captured(run.epoch)
                run.train(with_teachers_faces(stream, taught, config.share, config.trust))
            else:
                run.train(renditions.get(run.epoch))
            run.validate(corpus.validation)
            run.save()
    plot_curves(out)
    return out / "checkpoint.pt"


def lessons(
    config: RunConfig, out: Path, spoken: Sequence[Spoken], scales: dict[str, Scale]
) -> Lessons | None:
    """What the teachers named in ``config`` say, from ``lessons.npz`` if that was done before."""
    if not config.teacher:
        return None
    path = out / "lessons.npz"
    if not path.exists():
        if not len(spoken[0].samples):
            raise DataError("shards hold no sound for the teachers to hear; distil from recordings")
        teach(spoken, _teachers(config), scales).save(path)
    return Lessons.load(path)


def _teachers(config: RunConfig) -> Teachers:
    assert config.codebook
    assert config.embedding
    return Teachers(
        [open_run(Path(path), "teacher", Teacher, TeacherConfig) for path in config.teacher],
        open_run(Path(config.codebook), "codebook", Codebook, CodebookConfig),
        _embedding(config),
    )


def _embedding(config: RunConfig) -> Embedding:
    return open_run(Path(config.embedding or ""), "emotion", Embedding, EmbeddingConfig)


class _Run:
    """The network, its average, its optimiser and how far they are."""

    def __init__(
        self, config: RunConfig, out: Path, scales: dict[str, Scale], taught: Lessons | None
    ) -> None:
        self.config, self.out, self.epoch, self.step = config, out, 0, 0
        self.student, self.taught = Student(config.student), taught
        if taught:
            self._adopt_codes()
            embedding = _embedding(config)
            self.reading = embedding.read.weight.data, embedding.read.bias.data
        learned = np.logical_or.reduce([s.live for s in scales.values()])
        self.spread = torch.from_numpy(arkit_spread() * learned)
        self.student.decoder.spread.copy_(self.spread)
        self.average = {k: v.clone() for k, v in self.student.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            [p for p in self.student.parameters() if p.requires_grad],
            lr=config.rate,
            weight_decay=3e-2,
        )
        self.losses: list[list[float]] = []
        if (path := out / "checkpoint.pt").exists():
            self._resume(path)

    def _adopt_codes(self) -> None:
        """The codebook's vectors stay as they are: its codes are what the teachers speak in."""
        path, generator = Path(self.config.codebook or ""), self.student.generator
        codebook = open_run(path, "codebook", Codebook, CodebookConfig)
        self.close: list[Tensor] = []
        for level, mine in (
            (codebook.slow, generator.slow_vectors),
            (codebook.fast, generator.fast_vectors),
        ):
            mine.weight.data.copy_(level.vectors.T)
            mine.weight.requires_grad_(False)
            self.close.append(neighbours(level.vectors))

    def _resume(self, path: Path) -> None:
        saved = torch.load(path, weights_only=True)
        self.student.load_state_dict(saved["student"])
        self.average = saved["average"]
        self.optimiser.load_state_dict(saved["optimiser"])
        self.epoch, self.step = saved["epoch"], saved["step"]
        torch.set_rng_state(saved["random"])
        log.info("going on after epoch %d", self.epoch)

    def save(self) -> None:
        """Write the checkpoint beside the old one, then replace it."""
        partial = self.out / "checkpoint.part"
        saved = {
            "student": self.student.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "random": torch.get_rng_state(),
            "sizes": plain_settings(self.config.student),
            "data": list(self.config.data),
            **({"reading": self.reading} if self.taught else {}),
            "seed": self.config.seed,
        }
        torch.save(saved, partial)
        partial.rename(self.out / "checkpoint.pt")

    def train(self, stream: Stream) -> None:
        """One epoch over a rendition."""
        config, steps = self.config, len(stream.mels) // self.config.batch // self.config.window
        if len(stream.mels) // config.batch < config.window + max(config.student.lookaheads):
            raise DataError(
                f"{len(stream.mels) / FPS:.0f} s of audio do not fill one batch of {config.batch} "
                f"streams of {config.window / FPS:.1f} s; give more recordings, or a smaller "
                "'batch' in --config"
            )
        total = steps * config.epochs
        self.losses, state = [], self.student.memory(config.batch)
        delays = torch.randint(len(config.student.lookaheads), (config.batch,))
        bar = tqdm(
            windows(stream, config), total=steps, desc=f"epoch {self.epoch + 1}/{config.epochs}"
        )
        for window in bar:
            # Now and then a stream changes its look-ahead, as `/edge/lookahead` will.
            fresh = torch.randint(len(config.student.lookaheads), delays.shape)
            delays = torch.where(torch.rand(delays.shape) < 0.1, fresh, delays)
            for group in self.optimiser.param_groups:
                group["lr"] = rate_at(self.step, total, config.rate)
            state = self._update(window, delays, state)
            bar.set_postfix(loss=f"{self.losses[-1][0]:.3f}", refresh=False)
        self.epoch += 1

    def _update(self, window: Stream, delays: Tensor, state: Any) -> Any:
        config = self.config
        lookaheads = torch.tensor(config.student.lookaheads)
        mels, target, trust, visemes, place = delayed(window, lookaheads[delays], config)
        mels = hide_bands(mels + config.noise_level * torch.randn_like(mels))
        onehot = torch.eye(len(lookaheads))[delays]
        weights, lesson, state = self.student(mels, onehot, state)
        parts = [
            shape_loss(weights, target, trust, self.spread),
            config.velocity * velocity_loss(weights, target, trust, self.spread),
            config.viseme * viseme_loss(lesson.visemes, visemes),
            config.closure * closure_loss(weights, visemes, self.spread),
        ]
        if self.taught:
            parts += self._taught(lesson, *place)
        loss = torch.stack(parts).sum()
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        with torch.no_grad():
            decay = min(config.average, self.step / (self.step + 10))
            for name, value in self.student.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        self.losses.append([p.item() for p in (loss.detach(), *(q.detach() for q in parts))])
        generator, decoder = state
        return tuple(s.detach() for s in generator), tuple(s.detach() for s in decoder)

    def _taught(
        self, lesson: Lesson, clip: NDArray[np.int32], moment: Floats
    ) -> tuple[Tensor, Tensor, Tensor]:
        """How far codes, emotion and content (B, T) are from what the teachers said."""
        config, taught = self.config, self.taught
        assert taught
        heard = torch.from_numpy(clip >= 0)
        face = taught.face_at(clip, moment)
        emotion = torch.from_numpy(taught.emotion[taught.emotion_at(clip, moment)]).float()
        content = torch.from_numpy(taught.content[face // FAST]).float()
        codes = torch.zeros(())
        levels = ((taught.slow, SLOW), (taught.fast, FAST))
        said = lesson.heard.codes.chunk(2, dim=2)
        for (rows, span), near, logits in zip(levels, self.close, said, strict=True):
            wanted = near[torch.from_numpy(rows[face // span]).long()]
            divergence = F.kl_div(logits.log_softmax(2), wanted, reduction="none").sum(2)
            codes = codes + weighted_mean(divergence, heard.float())
        mood = mood_loss(lesson.heard.emotion, emotion)
        error = F.mse_loss(lesson.content, content, reduction="none").mean(2)
        return (
            config.codes * codes,
            config.emotion * weighted_mean(mood, heard.float()),
            config.content * weighted_mean(error, heard.float()),
        )

    def validate(self, clips: Sequence[Stream]) -> None:
        """Correlation of the averaged weights on clips held back, to ``log.csv``."""
        student = Student(self.config.student)
        student.load_state_dict(self.average)
        student.eval()
        jaw = ARKIT_52.index("jawOpen")
        row: dict[str, float] = {"epoch": self.epoch, "step": self.step}
        names = TERMS + (TAUGHT if self.taught else ())
        row |= dict(zip(names, np.mean(self.losses, axis=0).round(5).tolist(), strict=True))
        for k, lookahead in enumerate(self.config.student.lookaheads):
            scores = [score(student, clip, k, lookahead) for clip in clips]
            if scores:
                row[f"jaw_{lookahead}"] = float(np.mean([r[jaw] for r, _ in scores]))
                row[f"others_{lookahead}"] = float(
                    np.mean([r[live & (np.arange(52) != jaw)].mean() for r, live in scores])
                )
        path = self.out / "log.csv"
        header = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if header:
                writer.writeheader()
            writer.writerow({k: f"{v:.5g}" for k, v in row.items()})


def rate_at(step: int, total: int, peak: float, warm: int = 200) -> float:
    """Learning rate: linear warm-up, then a cosine down to a hundredth of the peak."""
    if step < warm:
        return peak * (step + 1) / warm
    down = 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))
    return peak * (0.01 + 0.99 * down)


def windows(stream: Stream, config: RunConfig) -> Iterator[Stream]:
    """Windows of ``batch`` streams side by side, each with the look-back that delays need.

    Arrays are (B, P + window, …), where P is the longest look-ahead.
    """
    longest = max(config.student.lookaheads)
    length = len(stream.mels) // config.batch
    starts = np.arange(config.batch) * length
    for at in range(longest, length - config.window + 1, config.window):
        rows = starts[:, None] + np.arange(at - longest, at + config.window)
        yield Stream(*(getattr(stream, f.name)[rows] for f in fields(Stream)))


def delayed(
    window: Stream, lookahead: Tensor, config: RunConfig
) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[NDArray[np.int32], Floats]]:
    """What is heard now and the faces it should show: those of ``lookahead`` faces (B,) ago.

    mels (B, T, 40), targets (B, T, 52), weights of the targets (B, T, 52), visemes (B, T), clip and
    moment (B, T).
    """
    longest = max(config.student.lookaheads)
    heard = torch.from_numpy(window.mels[:, longest:])
    now = longest + torch.arange(config.window)
    shown = now[None] - lookahead[:, None]  # (B, T)
    rows = torch.arange(len(shown))[:, None]
    return (
        heard,
        torch.from_numpy(window.targets)[rows, shown],
        torch.from_numpy(window.live * window.trust[..., None])[rows, shown],
        torch.from_numpy(window.visemes)[rows, shown],
        (window.clip[rows, shown], window.moment[rows, shown]),
    )


@torch.no_grad()
def score(
    student: Student, clip: Stream, k: int, lookahead: int
) -> tuple[Floats, np.ndarray[Any, np.dtype[np.bool_]]]:
    """(52,) Pearson r at the declared delay over one clip, and which channels are live."""
    heard = np.concatenate([clip.mels, np.repeat(clip.mels[-1:], lookahead, axis=0)])
    onehot = torch.eye(len(student.config.lookaheads))[k : k + 1]
    weights, _, _ = student(torch.from_numpy(heard)[None], onehot, student.memory())
    shown = weights[0, lookahead:]
    return correlation(shown, torch.from_numpy(clip.targets)).numpy(), clip.live[0]


def plot_curves(out: Path) -> None:
    """``log.csv`` as ``curves.png``."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    with (out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    epochs = [int(r["epoch"]) for r in rows]
    for name in [n for n in rows[0] if n in TERMS + TAUGHT]:
        left.plot(epochs, [float(r[name]) for r in rows], label=name)
    for name in [n for n in rows[0] if n.startswith(("jaw", "others"))]:
        right.plot(epochs, [float(r[name]) for r in rows], label=name)
    left.set(xlabel="epoch", ylabel="loss", yscale="log")
    right.set(xlabel="epoch", ylabel="r on validation clips")
    for axes in (left, right):
        if axes.lines:
            axes.legend(fontsize=7)
    figure.savefig(out / "curves.png", dpi=110)
