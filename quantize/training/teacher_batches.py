"""Streams of a corpus to a teacher's batches, and to the parts of its loss.

Captured talkers give lips as they were, 270 more voices lips as their phones suggest, at less
trust, and the viseme spoken, also where it is masked; pairs of acted sentences take words and
emotion apart (EmoTalk's cross-reconstruction).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge.contract import ARKIT_52, FPS, Floats
from edge.emotion import load_emotions
from edge.features import N_MELS
from models.teacher import LEVELS
from models.text import UPPER
from quantize.data.augment import mask_bands
from quantize.data.clips import EMOTIONS, DataError
from quantize.data.streams import LoadedClip, TrainingStream
from quantize.data.targets import arkit_spread
from quantize.data.word_embeddings import WordEmbeddings, in_windows
from quantize.training.labels import index_of, one_hot
from quantize.training.loop import Rng
from quantize.training.losses import (
    between_classes,
    class_loss,
    closure_loss,
    shape_loss,
    velocity_loss,
)
from quantize.training.teacher_config import TeacherRun

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


class StreamSource(Protocol):
    """Where streams come from (``Renditions``)."""

    def get(self, k: int) -> TrainingStream:
        """The stream of epoch ``k``."""


class TeacherBatches:
    """Draws windows of the rendition whose turn it is, and scores what a teacher makes of it."""

    def __init__(
        self,
        run: TeacherRun,
        clips: Sequence[LoadedClip],
        renditions: StreamSource,
        styles: list[str],
        words: Sequence[WordEmbeddings] | None = None,
    ) -> None:
        self.run, self._renditions, self._words = run, renditions, words
        self.spread = torch.from_numpy(arkit_spread())
        self._emotion = np.array([index_of(EMOTIONS, c.clip.emotion) for c in clips])
        speakers = sorted({c.clip.speaker for c in clips})
        self._speaker = np.array([speakers.index(c.clip.speaker) for c in clips])
        self._style = np.array([index_of(styles, c.clip.source) for c in clips])
        sentences = sorted({c.clip.text or "" for c in clips})
        self._sentence = np.array([index_of(sentences, c.clip.text or "") for c in clips])
        self._epoch = -1
        self._turn(0)
        if self._stream.speech.shape[1] != run.model.content.speech:
            raise DataError(
                f"the renditions hold speech features of {self._stream.speech.shape[1]} values, "
                f"this run asks for {run.model.content.speech}; give another --out, or --speech to "
                "edge-quantize prepare"
            )
        self.steps = len(self._stream.mels) // WINDOW // run.batch
        """Steps of an epoch."""
        if not self.steps:
            raise DataError(
                f"{len(self._stream.mels) / FPS:.0f} s of audio do not fill a batch of {run.batch} "
                f"windows of {WINDOW / FPS:.1f} s; give more recordings, or a smaller 'batch'"
            )

    def _turn(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._epoch, self._stream = epoch, self._renditions.get(epoch)
        if self._words is not None:
            self._stream = upper_as_captured(self._stream)
        clip = self._stream.clip
        inside = np.flatnonzero((clip[:-ACTED] >= 0) & (clip[:-ACTED] == clip[ACTED:]))
        self._acted = inside[self._emotion[clip[inside]] >= 0]

    def losses(self, net: nn.Module, step: int, rng: Rng, rows: slice) -> dict[str, Tensor]:
        """Parts of the loss for one step."""
        self._turn(step // self.steps)
        parts = self._speech_losses(net, rng, rows)
        if len(self._acted):
            parts["acted"] = self.run.cross * self._acted_loss(net, rng)
        return parts

    def _features(self, at: NDArray[np.int64]) -> Tensor:
        features = torch.from_numpy(self._stream.teacher_input(at))
        return mask_spans(features) if self.run.augment else features

    def _speech_losses(self, net: nn.Module, rng: Rng, rows: slice) -> dict[str, Tensor]:
        run, stream = self.run, self._stream
        starts = rng.integers(len(stream.mels) - WINDOW, size=run.batch)[rows]
        at = starts[:, None] + np.arange(WINDOW)
        clip = stream.clip[at]
        style = one_hot(np.where(clip >= 0, self._style[clip], -1), run.model.styles)
        # Drawn for the whole batch, as the starts are: one process and two hide the same styles.
        style *= torch.from_numpy(rng.random((run.batch, 1, 1)) < 0.5)[rows]
        level = one_hot(np.zeros_like(clip), len(LEVELS))
        features = self._features(at)
        target = torch.from_numpy(stream.targets[at]) / self.spread
        trust = torch.from_numpy(stream.live[at] * stream.trust[at][..., None])
        visemes = torch.from_numpy(stream.visemes[at])
        text = None
        if self._words is not None:
            text = torch.from_numpy(in_windows(self._words, clip, stream.time[at]))
        with torch.autocast("cpu", torch.bfloat16):
            predicted = net(features, features, level, style, text)
        faces, ones = predicted.faces.float(), torch.ones(52)
        return {
            "shape": shape_loss(faces, target, trust, ones),
            "velocity": run.velocity * velocity_loss(faces, target, trust, ones),
            "viseme": run.viseme * class_loss(predicted.visemes.float(), visemes),
            "closure": run.closure * closure_loss(faces * self.spread, visemes, self.spread),
        }

    def _acted_loss(self, net: nn.Module, rng: Rng) -> Tensor:
        """EmoTalk's losses on pairs of acted windows that say the same sentence, and one more.

        Content must not tell how or by whom: classes of emotion and of speakers may not lie apart
        in the mean content. (Crossing alone leaves content as telling as the emotion branch.)
        """
        stream = self._stream
        first, second = self._pairs(rng)
        rows, others = first[:, None] + np.arange(ACTED), second[:, None] + np.arange(ACTED)
        strength = rng.integers(1, len(LEVELS), size=len(first))
        level = one_hot(np.repeat(strength[:, None], ACTED, axis=1), len(LEVELS))
        style = torch.zeros(len(first), ACTED, self.run.model.styles)
        own_features, other_features = self._features(rows), self._features(others)
        own, other = self._emotion[stream.clip[first]], self._emotion[stream.clip[second]]
        lips = stream.targets[rows]
        trust = torch.from_numpy(stream.live[rows] * stream.trust[rows][..., None])
        trust[..., EXPRESSIVE] = 1.0
        # A brow that hardly moves in speech would be many deviations away in an emotion.
        unit = torch.where(EXPRESSIVE, self.spread.clamp(min=0.1), self.spread)
        total, contents = torch.zeros(()), []
        for features, emotion in ((own_features, own), (other_features, other)):
            with torch.autocast("cpu", torch.bfloat16):
                predicted = net(own_features, features, level, style)
            target = torch.from_numpy(lips + expression(emotion, strength)[:, None])
            faces = predicted.faces.float() * self.spread
            total = total + shape_loss(faces, target, trust, unit)
            total = total + 0.5 * velocity_loss(faces, target, trust, unit)
            logits, labels = predicted.emotions.float(), torch.from_numpy(emotion)
            total = total + NAMED * F.cross_entropy(logits, labels)
            contents.append(predicted.content.float().mean(1))
        for classes in (own, self._speaker[stream.clip[first]]):
            total = total + BLIND * between_classes(contents[0], torch.from_numpy(classes))
        return total

    def _pairs(self, rng: Rng) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Starts of acted windows, every emotion as often, and of a partner for each."""
        # EMO-DB has twice as much anger as disgust.
        emotion = self._emotion[self._stream.clip[self._acted]]
        wanted = rng.choice(np.unique(emotion), self.run.acted)
        first = np.array([rng.choice(self._acted[emotion == kind]) for kind in wanted])
        return first, np.array([self._partner(int(at), rng) for at in first])

    def _partner(self, at: int, rng: Rng) -> int:
        """A window of the same sentence in another emotion, by whoever; ``at`` if there is none."""
        clip, acted = self._stream.clip, self._acted
        mine, theirs = clip[at], clip[acted]
        fits = (self._sentence[theirs] == self._sentence[mine]) & (
            self._emotion[theirs] != self._emotion[mine]
        )
        return int(rng.choice(acted[fits])) if fits.any() else at


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


def mask_spans(features: Tensor, spans: int = 4, longest: int = 20) -> Tensor:
    """The same features (B, T, 40 + S) with noise, some bands and some spans of time masked.

    SpecAugment (Park et al. 2019); ``spans`` a window of 400 faces, each up to ``longest`` faces.
    """
    batch, frames, _ = features.shape
    mels, speech = features[..., :N_MELS], features[..., N_MELS:]
    mels = mask_bands(mels + 0.1 * torch.randn_like(mels))
    time = torch.arange(frames)[None]
    for _ in range(max(1, spans * frames // WINDOW)):
        first = torch.randint(frames, (batch, 1))
        last = first + torch.randint(longest, (batch, 1))
        masked = ((time >= first) & (time < last))[..., None]
        mels, speech = mels.masked_fill(masked, MASKED), speech.masked_fill(masked, 0)
    return torch.cat([mels, speech], dim=2)
