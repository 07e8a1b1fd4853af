"""Voices and faces to the teacher: ``edge-quantize train teacher``.

Three kinds of lesson in each step: captured talkers (lips as they were), 270 more voices (lips as
their phones suggest, at less trust; the viseme they speak, also where it is masked out), and acted
sentences for taking words and emotion apart (EmoTalk's cross-reconstruction).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge.contract import ARKIT_52, FPS, INDEX, Floats
from edge.emotion import load_emotions
from edge.features import N_MELS
from models.teacher import LEVELS, Teacher, TeacherConfig
from models.text import UPPER
from quantize.data.augment import mask_bands
from quantize.data.clips import EMOTIONS, DataError
from quantize.data.corpus import read_corpus
from quantize.data.renditions import Renditions
from quantize.data.streams import LoadedClip, TrainingStream
from quantize.data.targets import arkit_spread
from quantize.data.word_embeddings import WordEmbeddings, embed_clips, in_windows
from quantize.training.loop import Rng, Schedule, fit
from quantize.training.losses import (
    class_loss,
    closure_loss,
    correlation,
    shape_loss,
    velocity_loss,
)
from quantize.training.run_settings import keep_settings, plain_settings

WINDOW, ACTED = 400, 90
"""Faces of a window of the corpus, and of an acted sentence (1.5 s; EMO-DB cuts some at 2.0 s)."""

MASKED = -1.5
"""What a masked feature reads: 30 dB below the voice."""

EXPRESSIVE = torch.from_numpy(np.any([units != 0 for units in load_emotions()[0].values()], axis=0))
"""(52,) shapes that some emotion moves, mouth corners among them."""
EXPRESSIVE[UPPER] = True

NAMED, BLIND = 1.0, 1.0
"""Weights of naming the emotion (EmoTalk has 0.1, which left 42 % right on unseen voices), and of
content that tells neither emotion nor speaker."""


@dataclass(frozen=True)
class TeacherRun:
    """Settings of a run; kept as ``run.yaml``."""

    data: tuple[str, ...]
    noise: str | None = None
    seed: int = 0
    epochs: int = 28
    renditions: int = 12
    repeat: dict[str, int] = field(default_factory=lambda: {"facegood": 3})
    batch: int = 16
    acted: int = 24
    """Pairs of acted windows a step."""
    rate: float = 2e-3
    velocity: float = 4.0
    viseme: float = 0.5
    closure: float = 0.03
    cross: float = 0.3
    """Weight of the acted lessons; within them EmoTalk's 1 / 1 / 0.5 / 0.1."""
    model: TeacherConfig = field(default_factory=TeacherConfig)


def train_teacher(run: TeacherRun, out: Path) -> nn.Module:
    """Train until ``run.epochs``; returns the teacher, averaged."""
    keep_settings(out, {"train": "teacher"} | plain_settings(run))
    times, words = min(run.renditions, run.epochs), run.model.text
    speech = run.model.content.speech > 0
    corpus = read_corpus(run.data, out, run.noise, run.seed, run.repeat, times, words, speech)
    said = embed_clips(corpus.spoken, out / "words.npz") if words else None
    with Renditions(out / "renditions", corpus.make, corpus.times) as renditions:
        lessons = TeacherBatches(run, corpus.spoken, renditions, list(corpus.scales), said)
        steps = lessons.steps
        schedule = Schedule(steps * run.epochs, run.batch, run.rate, every=steps, seed=run.seed)

        def judge(net: nn.Module) -> dict[str, float]:
            assert isinstance(net, Teacher)
            return score(net, corpus.validation)

        return fit(Teacher(run.model), out, schedule, lessons.losses, judge)


class TeacherBatches:
    """Draws windows of the rendition whose turn it is, and scores what a teacher makes of it."""

    def __init__(
        self,
        run: TeacherRun,
        spoken: Sequence[LoadedClip],
        renditions: Renditions,
        styles: list[str],
        said: Sequence[WordEmbeddings] | None = None,
    ) -> None:
        self.run, self._renditions, self._said = run, renditions, said
        self.spread = torch.from_numpy(arkit_spread())
        self._emotion = np.array([index_of(EMOTIONS, s.clip.emotion) for s in spoken])
        speakers = sorted({s.clip.speaker for s in spoken})
        self._speaker = np.array([speakers.index(s.clip.speaker) for s in spoken])
        self._style = np.array([index_of(styles, s.clip.source) for s in spoken])
        sentences = sorted({s.clip.text or "" for s in spoken})
        self._sentence = np.array([index_of(sentences, s.clip.text or "") for s in spoken])
        self._epoch = -1
        self._turn(0)
        if self._stream.speech.shape[1] != run.model.content.speech:
            raise DataError(
                f"the renditions hold speech features of {self._stream.speech.shape[1]} values, "
                f"this run asks for {run.model.content.speech}; give another --out, or --speech to "
                "edge-quantize prepare"
            )
        self.steps = len(self._stream.mels) // WINDOW // run.batch
        if not self.steps:
            raise DataError(
                f"{len(self._stream.mels) / FPS:.0f} s of audio do not fill a batch of {run.batch} "
                f"windows of {WINDOW / FPS:.1f} s; give more recordings, or a smaller 'batch'"
            )

    def _turn(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._epoch, self._stream = epoch, self._renditions.get(epoch)
        if self._said is not None:
            self._stream = upper_as_captured(self._stream)
        clip = self._stream.clip
        inside = np.flatnonzero((clip[:-ACTED] >= 0) & (clip[:-ACTED] == clip[ACTED:]))
        self._acted = inside[self._emotion[clip[inside]] >= 0]

    def losses(self, net: nn.Module, step: int, rng: Rng, rows: slice) -> dict[str, Tensor]:
        """Parts of the loss for one step."""
        self._turn(step // self.steps)
        parts = self._talk(net, rng, rows)
        if len(self._acted):
            parts["acted"] = self.run.cross * self._act(net, rng)
        return parts

    def _talk(self, net: nn.Module, rng: Rng, rows: slice) -> dict[str, Tensor]:
        run, stream = self.run, self._stream
        starts = rng.integers(len(stream.mels) - WINDOW, size=run.batch)[rows]
        at = starts[:, None] + np.arange(WINDOW)
        clip = stream.clip[at]
        style = one_hot(np.where(clip >= 0, self._style[clip], -1), run.model.styles)
        # Drawn for the whole batch, as the starts are: one process and two hide the same styles.
        style *= torch.from_numpy(rng.random((run.batch, 1, 1)) < 0.5)[rows]
        level = one_hot(np.zeros_like(clip), len(LEVELS))
        heard = mask_spans(torch.from_numpy(stream.heard(at)))
        target = torch.from_numpy(stream.targets[at]) / self.spread
        trust = torch.from_numpy(stream.live[at] * stream.trust[at][..., None])
        visemes = torch.from_numpy(stream.visemes[at])
        text = None
        if self._said is not None:
            text = torch.from_numpy(in_windows(self._said, clip, stream.time[at]))
        with torch.autocast("cpu", torch.bfloat16):
            shown = net(heard, heard, level, style, text)
        faces, ones = shown.faces.float(), torch.ones(52)
        return {
            "shape": shape_loss(faces, target, trust, ones),
            "velocity": run.velocity * velocity_loss(faces, target, trust, ones),
            "viseme": run.viseme * class_loss(shown.visemes.float(), visemes),
            "closure": run.closure * closure_loss(faces * self.spread, visemes, self.spread),
        }

    def _act(self, net: nn.Module, rng: Rng) -> Tensor:
        """EmoTalk's losses on pairs of acted windows that say the same sentence, and one more.

        What is said must not tell how or by whom: classes of emotion and of speakers may not lie
        apart in the mean content. (Crossing alone leaves content as telling as the emotion branch.)
        """
        stream, acted = self._stream, self._acted
        # Every emotion as often; EMO-DB has twice as much anger as disgust.
        there = self._emotion[stream.clip[acted]]
        wanted = rng.choice(np.unique(there), self.run.acted)
        said = np.array([rng.choice(acted[there == kind]) for kind in wanted])
        felt = np.array([self._partner(int(at), rng) for at in said])
        rows, others = said[:, None] + np.arange(ACTED), felt[:, None] + np.arange(ACTED)
        strength = rng.integers(1, len(LEVELS), size=len(said))
        level = one_hot(np.repeat(strength[:, None], ACTED, axis=1), len(LEVELS))
        style = torch.zeros(len(said), ACTED, self.run.model.styles)
        words, moods = (mask_spans(torch.from_numpy(stream.heard(at))) for at in (rows, others))
        own, other = self._emotion[stream.clip[said]], self._emotion[stream.clip[felt]]
        lips = stream.targets[rows]
        trust = torch.from_numpy(stream.live[rows] * stream.trust[rows][..., None])
        trust[..., EXPRESSIVE] = 1.0
        # A brow that hardly moves in speech is as many deviations away as it is large in a mood.
        unit = torch.where(EXPRESSIVE, self.spread.clamp(min=0.1), self.spread)
        total, contents = torch.zeros(()), []
        for mood, shown in ((words, own), (moods, other)):
            with torch.autocast("cpu", torch.bfloat16):
                made = net(words, mood, level, style)
            target = torch.from_numpy(lips + expression(shown, strength)[:, None])
            faces = made.faces.float() * self.spread
            total = total + shape_loss(faces, target, trust, unit)
            total = total + 0.5 * velocity_loss(faces, target, trust, unit)
            total = total + NAMED * F.cross_entropy(made.emotions.float(), torch.from_numpy(shown))
            contents.append(made.content.float().mean(1))
        for kinds in (own, self._speaker[stream.clip[said]]):
            total = total + BLIND * between_classes(contents[0], torch.from_numpy(kinds))
        return total

    def _partner(self, at: int, rng: Rng) -> int:
        """A window of the same sentence in another emotion, by whoever."""
        clip, acted = self._stream.clip, self._acted
        mine, theirs = clip[at], clip[acted]
        fits = (self._sentence[theirs] == self._sentence[mine]) & (
            self._emotion[theirs] != self._emotion[mine]
        )
        return int(rng.choice(acted[fits])) if fits.any() else at


def between_classes(x: Tensor, kinds: Tensor) -> Tensor:
    """Share of the variance of x (B, C) that lies between the means of its classes (B,), 0 to 1.

    By chance it is about (classes - 1) / (B - 1).
    """
    member = F.one_hot(kinds - kinds.min()).to(x.dtype)  # (B, K)
    counts = member.sum(0)
    means = (member.T @ x) / counts.clamp(min=1)[:, None]
    off = x - x.mean(0)
    between = (counts[:, None] * (means - x.mean(0)) ** 2)[counts > 0].sum()
    return between / (off**2).sum().clamp(min=1e-6)


def upper_as_captured(stream: TrainingStream) -> TrainingStream:
    """The same stream without an upper face where only the phone is known: no phone has brows."""
    made = (stream.trust < 1)[:, None] & np.isin(np.arange(len(ARKIT_52)), UPPER)
    return replace(
        stream, targets=np.where(made, np.float32(0), stream.targets), live=stream.live & ~made
    )


def expression(emotion: NDArray[np.int64], strength: NDArray[np.int64]) -> Floats:
    """(B, 52) weights that FACS/EMFACS describe for each emotion, at ``LEVELS[strength]``."""
    table = load_emotions()[0]
    units = np.stack([table[name] for name in EMOTIONS])
    return (units[emotion] * np.array(LEVELS, np.float32)[strength][:, None]).astype(np.float32)


def mask_spans(heard: Tensor, spans: int = 4, longest: int = 20) -> Tensor:
    """The same voice with noise, some bands and some moments hidden (SpecAugment)."""
    batch, frames, _ = heard.shape
    mels, speech = heard[..., :N_MELS], heard[..., N_MELS:]
    mels = mask_bands(mels + 0.1 * torch.randn_like(mels))
    time = torch.arange(frames)[None]
    for _ in range(max(1, spans * frames // WINDOW)):
        first = torch.randint(frames, (batch, 1))
        last = first + torch.randint(longest, (batch, 1))
        hidden = ((time >= first) & (time < last))[..., None]
        mels, speech = mels.masked_fill(hidden, MASKED), speech.masked_fill(hidden, 0)
    return torch.cat([mels, speech], dim=2)


def one_hot(index: NDArray[np.int64], size: int) -> Tensor:
    """(...) indices to (..., size); all zero where negative."""
    return torch.eye(size + 1)[torch.from_numpy(np.where(index < 0, size, index))][..., :size]


def index_of(names: Sequence[str], name: str | None) -> int:
    """Where a name stands among others; -1 where it does not."""
    return names.index(name) if name in names else -1


@torch.no_grad()
def faces_of(net: Teacher, heard: Floats, level: int = 0) -> Floats:
    """(T, 52) ARKit weights of a whole clip (T, 40 + S) as ``speech_encoder.hear`` hears it.

    Style unknown.
    """
    count = len(heard)
    clip = torch.from_numpy(np.concatenate([heard, heard[-1:]])[: count + count % 2])[None]
    levels = one_hot(np.full((1, clip.shape[1]), level), len(LEVELS))
    style = torch.zeros(1, clip.shape[1], net.config.styles)
    shown = net(clip, clip, levels, style)
    return np.asarray(shown.faces[0, :count].numpy() * arkit_spread(), np.float32)


def score(net: Teacher, validation: Sequence[TrainingStream]) -> dict[str, float]:
    """Mean r of the jaw and of the other live channels on clips held back."""
    jaw, rows = INDEX["jawOpen"], []
    for clip in validation:
        shown = torch.from_numpy(faces_of(net, clip.heard(np.arange(len(clip.mels)))))
        r = correlation(shown, torch.from_numpy(clip.targets)).numpy()
        live = clip.live[0] & (np.arange(52) != jaw)
        rows.append((r[jaw], r[live].mean()))
    return dict(zip(("jaw", "others"), np.mean(rows, axis=0).tolist(), strict=True)) if rows else {}
