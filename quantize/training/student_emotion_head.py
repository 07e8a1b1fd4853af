"""The student's last lesson: the names of acted emotions. Only what the emotion is read from moves.

Streams hold an acted clip now and then, between others; here the finished student hears acted clips
alone, each from silence, many at once. Its ears stay as the lips need them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import trange

from edge.contract import FPS
from models.student import Student
from quantize.data.phones import UNKNOWN
from quantize.data.streams import TrainingStream
from quantize.training.losses import class_loss, emotion_divergence, weighted_mean
from quantize.training.schedules import cosine
from quantize.training.teacher_targets import TeacherTargets

log = logging.getLogger(__name__)

STEPS, BATCH, RATE = 700, 32, 2e-3
DROPOUT = 0.1
LONGEST = 4 * FPS
"""Faces of a clip that are heard."""
SETTLED = FPS // 2
"""Faces before which nobody is asked."""


def train_emotion_head(
    student: Student,
    streams: Iterable[TrainingStream],
    named: NDArray[np.int64],
    taught: TeacherTargets,
) -> None:
    """Change in place what ``student`` reads the emotion from.

    ``named`` is each clip's emotion, or ``UNKNOWN``; the teacher's distribution is learned beside.
    """
    heard = [
        _features(student, stream, clip, at)
        for stream in streams
        for clip, at in spans(stream)
        if named[clip] != UNKNOWN
    ]
    if not heard:
        log.info("no clip has an emotion's name: the emotion stays as the teacher told it")
        return
    features, clips, moments = (torch.stack(parts) for parts in zip(*heard, strict=True))
    generator, rows = student.generator, slice(-student.config.mood, None)
    weight, bias = (p.detach()[rows].clone() for p in generator.shared.parameters())
    learned = [weight.requires_grad_(), bias.requires_grad_(), *generator.emotion.parameters()]
    optimiser = torch.optim.Adam(learned, lr=RATE)
    rate = cosine(optimiser, STEPS)
    random = torch.Generator().manual_seed(0)
    for _ in (bar := trange(STEPS, desc="emotions' names")):
        at = torch.randint(len(features), (BATCH,), generator=random)
        x = features[at]
        kept = torch.rand(x.shape[0], 1, x.shape[2], generator=random) >= DROPOUT
        moment = torch.relu(F.linear(x * kept / (1 - DROPOUT), weight, bias))
        mood, _ = generator.mood(moment, generator.mood.initial_state(BATCH))
        loss = _loss(student, generator.emotion(mood), clips[at], moments[at], named, taught)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    with torch.no_grad():
        for whole, part in zip(generator.shared.parameters(), (weight, bias), strict=True):
            whole[rows] = part


def spans(stream: TrainingStream) -> list[tuple[int, slice]]:
    """Each clip of a stream and where it is said, without the pause before it."""
    edges = np.flatnonzero(np.diff(stream.clip)) + 1
    bounds = zip([0, *edges], [*edges, len(stream.clip)], strict=True)
    return [(int(stream.clip[a]), slice(a, b)) for a, b in bounds if stream.clip[a] >= 0]


@torch.no_grad()
def _features(student: Student, stream: TrainingStream, clip: int, at: slice) -> tuple[Tensor, ...]:
    """Features (LONGEST, C) of a clip heard from silence, its number and its moments (LONGEST,).

    Where it is shorter its number is -1.
    """
    at = slice(at.start, min(at.stop, at.start + LONGEST))
    mels, rest = torch.from_numpy(stream.mels[at])[None], LONGEST - (at.stop - at.start)
    lookaheads = student.config.lookaheads
    control = student.config.at(lookaheads[clip % len(lookaheads)])
    features, _ = student.generator.encode(mels, control, student.generator.initial_state()[:-1])
    numbers = np.pad(np.full(at.stop - at.start, clip), (0, rest), constant_values=-1)
    moments = np.pad(stream.time[at], (0, rest))
    return (
        F.pad(features[0], (0, 0, 0, rest)),
        torch.from_numpy(numbers),
        torch.from_numpy(moments),
    )


def _loss(
    student: Student,
    said: Tensor,
    clips: Tensor,
    moments: Tensor,
    named: NDArray[np.int64],
    taught: TeacherTargets,
) -> Tensor:
    """How far emotions (B, T, 2 D) are from their names, and from what the teacher said."""
    said, clip, moment = said[:, SETTLED:], clips[:, SETTLED:].numpy(), moments[:, SETTLED:].numpy()
    wanted = taught.emotion[taught.emotion_rows(clip, moment)]
    names = torch.from_numpy(np.where(clip >= 0, named[clip], UNKNOWN))
    apart = emotion_divergence(said, torch.from_numpy(wanted).float())
    heard = torch.from_numpy(clip >= 0).float()
    return class_loss(student.name_logits(said), names) + weighted_mean(apart, heard)
