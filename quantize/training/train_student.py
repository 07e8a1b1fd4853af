"""Voices, faces and teachers to the student: ``edge-quantize train`` and ``edge-quantize distill``.

It hears long streams side by side, window after window, with the state carried from one to the
next, as a device will; each stream at a look-ahead of its own. A voice without a face shows what
the teachers think likely, or without teachers the mean face of each viseme.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge.conditioning import REACH, SPAN, viseme_features
from edge.contract import ARKIT_52, FPS, INDEX, ConfigError, Floats
from edge.words import NO_VISEME, VISEMES
from models.codebook import FAST, SLOW, Codebook, CodebookConfig
from models.embedding import Embedding, EmbeddingConfig
from models.student import AuxOutputs, Student, StudentConfig
from models.teacher import Teacher, TeacherConfig
from quantize.data.augment import Rng, mask_bands
from quantize.data.clips import EMOTIONS, DataError
from quantize.data.corpus import read_corpus
from quantize.data.phones import UNKNOWN
from quantize.data.renditions import Renditions
from quantize.data.streams import LoadedClip, TrainingStream
from quantize.data.targets import Scale, arkit_spread
from quantize.training.checkpoint import open_run
from quantize.training.labels import index_of, one_hot
from quantize.training.loop import Schedule, fit
from quantize.training.losses import (
    class_loss,
    closure_loss,
    correlation,
    emotion_divergence,
    shape_loss,
    velocity_loss,
    weighted_mean,
)
from quantize.training.run_settings import keep_settings, plain_settings
from quantize.training.student_conditioning import learn_conditioning
from quantize.training.student_emotion_head import train_emotion_head
from quantize.training.teacher_targets import (
    TeacherNetworks,
    TeacherTargets,
    code_neighbours,
    compute_targets,
    with_teacher_faces,
)

LOOKAHEAD_CHANGE = 0.1
"""Share of the streams that change their look-ahead from window to window."""
WORD_JITTER = 4
"""Faces (67 ms) by which words come early or late in training (standard deviation)."""
MISSPELLED = 0.15
"""Share of the sounds that words then say wrongly."""
ACTED = 4
"""Renditions of acted clips that the emotions' names are learned from."""
COLD_STARTS = 0.1
"""Share of the streams that begin anew there, amid a word or not, as a device does at its start."""


@dataclass(frozen=True)
class StudentRun:
    """What decides a run; kept as ``run.yaml`` beside the checkpoint."""

    data: tuple[str, ...]
    """Folders that ``quantize.data.load.load`` reads, or the one that ``prepare`` made."""
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
    window: int = 100
    """Faces between two updates (back-propagation is cut there, state is not)."""
    rate: float = 3e-3
    """Peak learning rate (``Schedule``)."""
    velocity: float = 4.0
    viseme: float = 0.5
    closure: float = 0.03
    teacher: tuple[str, ...] = ()
    """Checkpoints of ``train teacher``; their mean face is what unpaired voices show."""
    share: float = 0.75
    """Of the teachers' face, the rest is the spoken viseme's, where a voice has no face."""
    trust: float = 0.8
    """Weight of such a face; a captured one's is 1."""
    captured: float = 0.5
    """Share of the teachers' face where there is a captured one."""
    codebook: str | None = None
    """Checkpoint of ``train codebook``, whose codes the student learns; likewise the next."""
    embedding: str | None = None
    codes: float = 0.05
    """Weight of the teachers' codes; the next two likewise."""
    emotion: float = 0.2
    content: float = 0.1
    styled: float = 0.5
    """Share of the streams that are told whose captured face they should show, if any."""
    noise_level: float = 0.1
    """Standard deviation of noise on the features (0.1 is 2 dB)."""
    model: StudentConfig = field(default_factory=StudentConfig)


def train_student(run: StudentRun, out: Path) -> nn.Module:
    """Train until ``run.epochs``; returns the student, averaged."""
    keep_settings(out, {"train": "student"} | plain_settings(run))
    times = min(run.renditions, run.epochs)
    corpus = read_corpus(run.data, out, run.noise, run.seed, run.repeat, times)
    if unknown := set(run.model.styles) - corpus.scales.keys():
        raise ConfigError(
            f"style '{min(unknown)}' is no source with a captured face; there are "
            f"{', '.join(corpus.scales)}"
        )
    taught = teacher_targets(run, out, corpus.spoken, corpus.scales)
    student = build_student(run, corpus.scales)
    with Renditions(out / "renditions", corpus.make, corpus.times) as renditions:
        streams = StudentWindows(run, renditions, taught, student, corpus.spoken)
        steps = streams.steps
        schedule = Schedule(steps * run.epochs, run.batch, run.rate, every=steps, seed=run.seed)

        def judge(net: nn.Module) -> dict[str, float]:
            assert isinstance(net, Student)
            return score(net, corpus.validation)

        averaged = fit(student, out, schedule, streams.losses, judge)
        some = (renditions.captured(k) for k in range(min(times, ACTED)))
        finish_student(averaged, out, streams, some, corpus.spoken, taught)
    return averaged


def finish_student(
    student: nn.Module,
    out: Path,
    streams: StudentWindows,
    renditions: Iterable[TrainingStream],
    spoken: Sequence[LoadedClip],
    taught: TeacherTargets | None,
) -> None:
    """Teach a trained student words, and the names of emotions; keep it as finished.

    Under torchrun all processes do, as the losses expect, and rank 0 writes.
    """
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # until rank 0 has written what was trained
    path, partial = out / "checkpoint.pt", out / "checkpoint.part"
    saved = torch.load(path, weights_only=True)
    assert isinstance(student, Student)
    if saved.get("finished"):
        return
    learn_conditioning(student, streams)
    if taught:
        names = [one.clip.emotion for one in spoken]
        named = np.array([EMOTIONS.index(n) if n in EMOTIONS else UNKNOWN for n in names])
        train_emotion_head(student, renditions, named, taught)
    if os.environ.get("RANK", "0") == "0":
        torch.save(saved | {"average": student.state_dict(), "finished": True}, partial)
        partial.rename(path)


def teacher_targets(
    run: StudentRun, out: Path, spoken: Sequence[LoadedClip], scales: dict[str, Scale]
) -> TeacherTargets | None:
    """What the teachers named in ``run`` say, from ``lessons.npz`` if that was done before."""
    if not run.teacher:
        return None
    if not run.codebook or not run.embedding:
        raise ConfigError("a student of teachers needs 'codebook' and 'embedding' too: distil")
    path = out / "lessons.npz"
    if not path.exists():
        if not len(spoken[0].samples):
            raise DataError("shards hold no sound for the teachers to hear; distil from recordings")
        teachers = TeacherNetworks(
            [open_run(Path(path), "teacher", Teacher, TeacherConfig) for path in run.teacher],
            _codebook(run),
            _embedding(run),
        )
        compute_targets(spoken, teachers, scales).save(path)
    return TeacherTargets.load(path)


def build_student(run: StudentRun, scales: dict[str, Scale]) -> Student:
    """A student that has learned nothing yet.

    With teachers it has the codebook's vectors and the embedding's reading, and they stay as they
    are: its codes and emotions are what the teachers speak in.
    """
    torch.manual_seed(run.seed)  # here, because teachers that were just read have drawn numbers
    student = Student(run.model)
    learned = np.logical_or.reduce([scale.live for scale in scales.values()])
    student.decoder.spread.copy_(torch.from_numpy(arkit_spread() * learned))
    if run.teacher:
        codebook, generator = _codebook(run), student.generator
        generator.slow_vectors.weight.data.copy_(codebook.slow.vectors.T)
        generator.fast_vectors.weight.data.copy_(codebook.fast.vectors.T)
        student.reading.load_state_dict(_embedding(run).read.state_dict())
        for given in (generator.slow_vectors, generator.fast_vectors, student.reading):
            given.requires_grad_(False)
    return student


def _codebook(run: StudentRun) -> Codebook:
    return open_run(Path(str(run.codebook)), "codebook", Codebook, CodebookConfig)


def _embedding(run: StudentRun) -> Embedding:
    return open_run(Path(str(run.embedding)), "emotion", Embedding, EmbeddingConfig)


class StudentWindows:
    """Gives the student the next window of every stream, and scores what it makes of it.

    A checkpoint falls between two epochs, where the streams begin anew, so none holds their state.
    """

    def __init__(
        self,
        run: StudentRun,
        renditions: Renditions,
        taught: TeacherTargets | None,
        student: Student,
        spoken: Sequence[LoadedClip],
    ) -> None:
        styles = list(run.model.styles)
        self._style = np.array([index_of(styles, s.clip.source) for s in spoken])
        self.styled, self.worded = (run.styled if styles else 0.0), 0.0
        """Share of the streams told a style, and words (by ``student_conditioning`` alone)."""
        self.run, self._renditions, self._taught = run, renditions, taught
        self._student, self._spread = student, student.decoder.spread
        generator = student.generator
        self._close = [
            code_neighbours(vectors.weight.detach().T)
            for vectors in (generator.slow_vectors, generator.fast_vectors)
        ]
        self._longest, self._epoch = max(run.model.lookaheads), -1
        self._turn(0)
        self.steps = self._windows

    def _turn(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._epoch, run, taught = epoch, self.run, self._taught
        if taught:
            captured = self._renditions.captured(epoch)
            parts = run.share, run.trust, run.captured
            self._stream = with_teacher_faces(captured, taught, *parts)
        else:
            self._stream = self._renditions.get(epoch)
        self._length = len(self._stream.mels) // run.batch
        self._windows = (self._length - self._longest) // run.window
        if self._windows < 1:
            raise DataError(
                f"{len(self._stream.mels) / FPS:.0f} s of audio do not fill one batch of "
                f"{run.batch} streams of {run.window / FPS:.1f} s; give more recordings, or a "
                "smaller 'batch' in --config"
            )

    def losses(self, net: nn.Module, step: int, rng: Rng, rows: slice) -> dict[str, Tensor]:
        """Parts of the loss for one step."""
        run, lookaheads = self.run, np.array(self.run.model.lookaheads)
        self._turn(step // self.steps)
        # What is drawn is drawn for all streams: one process and two give them the same delays.
        fresh = rng.integers(len(lookaheads), size=run.batch)
        begun = rng.random(run.batch) < COLD_STARTS
        if step % self.steps == 0:
            self._delays, begun = fresh, np.ones(run.batch, bool)
            self._state: Any = self._student.initial_state(rows.stop - rows.start)
        # Now and then a stream changes its look-ahead, as `/edge/lookahead` will.
        self._delays = np.where(rng.random(run.batch) < LOOKAHEAD_CHANGE, fresh, self._delays)
        delays, begun = lookaheads[self._delays][rows], begun[rows]
        # Other renditions of the corpus are a little longer or shorter than the first one.
        at = self._longest + step % self.steps % self._windows * run.window
        starts = np.arange(run.batch)[rows] * self._length + at
        window = window_at(self._stream, starts, delays, run.window, begun)
        mels = mask_bands(window.mels + run.noise_level * torch.randn_like(window.mels))
        layout = run.model.layout
        control = torch.zeros(len(delays), run.window, layout.size)
        control[..., layout.lookahead] = torch.from_numpy(layout.one_hot(delays))[:, None]
        shown = rng.random((2, run.batch, 1, 1))[:, rows]
        if self.styled:
            style = self._styles(window.clip) * torch.from_numpy(shown[0] < self.styled)
            control[..., layout.style] = style
        if self.worded:
            words = self._words(starts - delays, rng) * (shown[1] < self.worded)
            control[..., layout.visemes] = torch.from_numpy(words)
        weights, lesson, state = net(mels, control, reset_state(self._state, begun))
        self._state = tuple(tuple(part.detach() for part in network) for network in state)
        target, trust, spread = window.targets, window.trust, self._spread
        parts = {
            "shape": shape_loss(weights, target, trust, spread),
            "velocity": run.velocity * velocity_loss(weights, target, trust, spread),
            "viseme": run.viseme * class_loss(lesson.visemes, window.visemes),
            "closure": run.closure * closure_loss(weights, window.visemes, spread),
        }
        if self._taught:
            parts |= self._lessons(lesson, self._taught, window.clip, window.time)
        return parts

    def _styles(self, clip: NDArray[np.int32]) -> Tensor:
        """(B, T, S) which captured source is heard; none of them in a pause or another voice."""
        return one_hot(np.where(clip >= 0, self._style[clip], -1), len(self.run.model.styles))

    def _words(self, first: NDArray[np.int64], rng: Rng) -> Floats:
        """(B, T, L) the words of the faces from ``first`` (B,) on, as somebody may send them.

        Early or late, and some spelled otherwise than they sound.
        """
        late = np.rint(rng.normal(0, WORD_JITTER, len(first))).astype(int)
        at = (first + late)[:, None] + np.arange(self.run.window + SPAN - 1) - REACH
        sounds = self._stream.visemes[np.clip(at, 0, len(self._stream.visemes) - 1)]
        number = np.cumsum(np.diff(sounds, axis=1, prepend=sounds[:, :1]) != 0, axis=1)
        other = rng.integers(1, len(VISEMES), sounds.shape)
        other = np.where(rng.random(sounds.shape) < MISSPELLED, other, 0)
        other = np.take_along_axis(other, number, axis=1)  # the same all along a sound
        return viseme_features(np.where(sounds > 0, np.where(other > 0, other, sounds), NO_VISEME))

    def _lessons(
        self, lesson: AuxOutputs, taught: TeacherTargets, clip: NDArray[np.int32], moment: Floats
    ) -> dict[str, Tensor]:
        """How far codes, emotion and content (B, T) are from what the teachers said."""
        run, heard = self.run, torch.from_numpy(clip >= 0).float()
        face = taught.face_rows(clip, moment)
        emotion = torch.from_numpy(taught.emotion[taught.emotion_rows(clip, moment)]).float()
        content = torch.from_numpy(taught.content[face // FAST]).float()
        codes = torch.zeros(())
        levels = ((taught.slow, SLOW), (taught.fast, FAST))
        said = lesson.heard.codes.chunk(2, dim=2)
        for (rows, span), near, logits in zip(levels, self._close, said, strict=True):
            wanted = near[torch.from_numpy(rows[face // span]).long()]
            divergence = F.kl_div(logits.log_softmax(2), wanted, reduction="none").sum(2)
            codes = codes + weighted_mean(divergence, heard)
        error = F.mse_loss(lesson.content, content, reduction="none").mean(2)
        mood = emotion_divergence(lesson.heard.emotion, emotion)
        return {
            "codes": run.codes * codes,
            "emotion": run.emotion * weighted_mean(mood, heard),
            "content": run.content * weighted_mean(error, heard),
        }


@dataclass(frozen=True)
class StudentWindow:
    """What B streams hear now, and the faces they should show: those of their look-ahead ago."""

    mels: Tensor
    """(B, T, 40)"""
    targets: Tensor
    """(B, T, 52)"""
    trust: Tensor
    """(B, T, 52) weights of the targets."""
    visemes: Tensor
    """(B, T)"""
    clip: NDArray[np.int32]
    """(B, T) as in ``TrainingStream``; likewise the next."""
    time: Floats


def window_at(
    stream: TrainingStream,
    starts: NDArray[np.int64],
    lookahead: NDArray[np.int64],
    frames: int,
    begun: NDArray[np.bool_],
) -> StudentWindow:
    """Windows of ``frames`` from ``starts`` (B,) on, at look-aheads (B,) in faces.

    Where a stream has just ``begun`` (B,), faces whose sound it never heard teach nothing.
    """
    heard = starts[:, None] + np.arange(frames)
    shown = heard - lookahead[:, None]
    before = begun[:, None] & (np.arange(frames) < lookahead[:, None])
    trust = np.where(before, np.float32(0), stream.trust[shown])
    return StudentWindow(
        torch.from_numpy(stream.mels[heard]),
        torch.from_numpy(stream.targets[shown]),
        torch.from_numpy(stream.live[shown] * trust[..., None]),
        torch.from_numpy(np.where(before, UNKNOWN, stream.visemes[shown])),
        np.where(before, np.int32(-1), stream.clip[shown]),
        stream.time[shown],
    )


def reset_state(state: Any, begun: NDArray[np.bool_]) -> Any:
    """The state (B, ...) of both networks, empty where a stream has ``begun`` (B,)."""
    kept = torch.from_numpy(~begun)
    return tuple(
        tuple(part * kept.view(-1, *[1] * (part.dim() - 1)) for part in network)
        for network in state
    )


@torch.no_grad()
def score(student: Student, validation: Sequence[TrainingStream]) -> dict[str, float]:
    """Mean r of the jaw and of the other live channels on clips held back, at every look-ahead."""
    jaw, lookaheads = INDEX["jawOpen"], student.config.lookaheads
    row: dict[str, float] = {}
    for late in lookaheads:
        found = []
        for clip in validation:
            heard = np.concatenate([clip.mels, np.repeat(clip.mels[-1:], late, axis=0)])
            weights, _, _ = student(
                torch.from_numpy(heard)[None], student.config.at(late), student.initial_state()
            )
            r = correlation(weights[0, late:], torch.from_numpy(clip.targets)).numpy()
            live = clip.live[0] & (np.arange(len(ARKIT_52)) != jaw)
            found.append((r[jaw], r[live].mean()))
        if found:
            names = (f"jaw_{late}", f"others_{late}")
            row |= dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))
    return row
