"""A window and the student's outputs to the parts of its loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.codebook import FAST, SLOW
from models.student import AuxOutputs, Student
from quantize.training.loop import Rng
from quantize.training.losses import (
    class_loss,
    closure_loss,
    emotion_divergence,
    shape_loss,
    velocity_loss,
    weighted_mean,
)
from quantize.training.student_config import StudentRun
from quantize.training.student_windows import StudentWindow, StudentWindows
from quantize.training.teacher_targets import TeacherTargets, code_neighbours


class StudentLosses:
    """Runs a student over one window after the other, its state carried along, and scores it."""

    def __init__(
        self, windows: StudentWindows, student: Student, teachers: TeacherTargets | None
    ) -> None:
        self._windows, self._student, self._teachers = windows, student, teachers
        generator = student.generator
        self._neighbours = [
            code_neighbours(vectors.weight.detach().T)
            for vectors in (generator.slow_vectors, generator.fast_vectors)
        ]
        self._state: Any = None

    def __call__(self, net: nn.Module, step: int, rng: Rng, rows: slice) -> dict[str, Tensor]:
        """Parts of the loss for one step; ``net`` is the student, or wraps it."""
        window, run = self._windows.window(step, rng, rows), self._windows.run
        if window.cold.all():
            self._state = self._student.initial_state(len(window.mels))
        state = reset_state(self._state, window.cold)
        weights, aux, state = net(window.mels, window.control, state)
        self._state = tuple(tuple(part.detach() for part in network) for network in state)
        parts = face_losses(run, window, weights, aux, self._student.decoder.spread)
        if self._teachers:
            parts |= teacher_losses(run, window, aux, self._teachers, self._neighbours)
        return parts


def face_losses(
    run: StudentRun, window: StudentWindow, weights: Tensor, aux: AuxOutputs, spread: Tensor
) -> dict[str, Tensor]:
    """How far faces (B, T, 52) are from their targets; ``spread`` (52,) is one deviation."""
    targets, trust = window.targets, window.trust
    return {
        "shape": shape_loss(weights, targets, trust, spread),
        "velocity": run.velocity * velocity_loss(weights, targets, trust, spread),
        "viseme": run.viseme * class_loss(aux.visemes, window.visemes),
        "closure": run.closure * closure_loss(weights, window.visemes, spread),
    }


def teacher_losses(
    run: StudentRun,
    window: StudentWindow,
    aux: AuxOutputs,
    teachers: TeacherTargets,
    neighbours: list[Tensor],
) -> dict[str, Tensor]:
    """How far codes, emotion and content are from the teachers'.

    ``neighbours`` are ``code_neighbours`` of the slow and of the fast codes.
    """
    clip, time = window.clip, window.time
    known = torch.from_numpy(clip >= 0).float()
    face = teachers.face_rows(clip, time)
    emotion = torch.from_numpy(teachers.emotion[teachers.emotion_rows(clip, time)]).float()
    content = torch.from_numpy(teachers.content[face // FAST]).float()
    codes = torch.zeros(())
    levels = ((teachers.slow, SLOW), (teachers.fast, FAST))
    predicted = aux.generator.codes.chunk(2, dim=2)
    for (rows, span), near, logits in zip(levels, neighbours, predicted, strict=True):
        target = near[torch.from_numpy(rows[face // span]).long()]
        divergence = F.kl_div(logits.log_softmax(2), target, reduction="none").sum(2)
        codes = codes + weighted_mean(divergence, known)
    error = F.mse_loss(aux.content, content, reduction="none").mean(2)
    emotions = emotion_divergence(aux.generator.emotion, emotion)
    return {
        "codes": run.codes * codes,
        "emotion": run.emotion * weighted_mean(emotions, known),
        "content": run.content * weighted_mean(error, known),
    }


def reset_state(state: Any, cold: NDArray[np.bool_]) -> Any:
    """The state (B, ...) of both networks, zero where a stream is ``cold`` (B,)."""
    kept = torch.from_numpy(~cold)
    return tuple(
        tuple(part * kept.view(-1, *[1] * (part.dim() - 1)) for part in network)
        for network in state
    )
