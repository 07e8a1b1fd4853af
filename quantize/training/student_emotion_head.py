"""The student's last stage: the names of acted emotions. Only what the emotion is read from moves.

Streams hold an acted clip now and then, between others; here the finished student takes acted clips
alone, each from silence, many at once. The rest of it stays as the lips need it.
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

BATCH, RATE = 32, 2e-3
DROPOUT = 0.1
LONGEST = 4 * FPS
"""Faces of a clip that are used."""
SETTLED = FPS // 2
"""Faces at the start of a clip at which the emotion is not read yet."""


def train_emotion_head(
    student: Student,
    streams: Iterable[TrainingStream],
    labels: NDArray[np.int64],
    teachers: TeacherTargets,
    steps: int,
) -> None:
    """Change in place what ``student`` reads the emotion from, in ``steps``.

    ``labels`` is each clip's index into ``EMOTIONS``, or ``UNKNOWN``.
    """
    acted = [
        _features(student, stream, clip, at)
        for stream in streams
        for clip, at in spans(stream)
        if labels[clip] != UNKNOWN
    ]
    if not acted:
        log.info("no clip has an emotion's name: the emotion stays as the teacher predicts it")
        return
    features, clips, times = (torch.stack(parts) for parts in zip(*acted, strict=True))
    generator, rows = student.generator, slice(-student.config.mood, None)
    weight, bias = (p.detach()[rows].clone() for p in generator.shared.parameters())
    learned = [weight.requires_grad_(), bias.requires_grad_(), *generator.emotion.parameters()]
    optimiser = torch.optim.Adam(learned, lr=RATE)
    rate = cosine(optimiser, steps)
    random = torch.Generator().manual_seed(0)
    for _ in (bar := trange(steps, desc="emotions' names")):
        at = torch.randint(len(features), (BATCH,), generator=random)
        current = torch.relu(F.linear(_dropped(features[at], random), weight, bias))
        mean, _ = generator.mood(current, generator.mood.initial_state(BATCH))
        loss = _loss(student, generator.emotion(mean), clips[at], times[at], labels, teachers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    with torch.no_grad():
        for whole, part in zip(generator.shared.parameters(), (weight, bias), strict=True):
            whole[rows] = part


def _dropped(features: Tensor, random: torch.Generator) -> Tensor:
    """Features (B, T, C) without some channels, each for all frames of a clip."""
    kept = torch.rand(features.shape[0], 1, features.shape[2], generator=random) >= DROPOUT
    return features * kept / (1 - DROPOUT)


def spans(stream: TrainingStream) -> list[tuple[int, slice]]:
    """Each clip of a stream and the faces it lasts, without the pause before it."""
    edges = np.flatnonzero(np.diff(stream.clip)) + 1
    bounds = zip([0, *edges], [*edges, len(stream.clip)], strict=True)
    return [(int(stream.clip[a]), slice(a, b)) for a, b in bounds if stream.clip[a] >= 0]


@torch.no_grad()
def _features(student: Student, stream: TrainingStream, clip: int, at: slice) -> tuple[Tensor, ...]:
    """Features (LONGEST, C) of a clip taken from silence, its number and times (LONGEST,).

    Where it is shorter its number is -1.
    """
    at = slice(at.start, min(at.stop, at.start + LONGEST))
    mels, rest = torch.from_numpy(stream.mels[at])[None], LONGEST - (at.stop - at.start)
    lookaheads = student.config.lookaheads
    control = student.config.at(lookaheads[clip % len(lookaheads)])
    features, _ = student.generator.encode(mels, control, student.generator.initial_state()[:-1])
    numbers = np.pad(np.full(at.stop - at.start, clip), (0, rest), constant_values=-1)
    return (
        F.pad(features[0], (0, 0, 0, rest)),
        torch.from_numpy(numbers),
        torch.from_numpy(np.pad(stream.time[at], (0, rest))),
    )


def _loss(
    student: Student,
    predicted: Tensor,
    clips: Tensor,
    times: Tensor,
    labels: NDArray[np.int64],
    teachers: TeacherTargets,
) -> Tensor:
    """How far emotions (B, T, 2 D) are from their names, and from the teacher's."""
    predicted = predicted[:, SETTLED:]
    clip, time = clips[:, SETTLED:].numpy(), times[:, SETTLED:].numpy()
    target = torch.from_numpy(teachers.emotion[teachers.emotion_rows(clip, time)]).float()
    names = torch.from_numpy(np.where(clip >= 0, labels[clip], UNKNOWN))
    known = torch.from_numpy(clip >= 0).float()
    divergence = weighted_mean(emotion_divergence(predicted, target), known)
    return class_loss(student.name_logits(predicted), names) + divergence
