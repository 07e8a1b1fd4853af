"""Long streams to windows side by side, each at a look-ahead of its own, and their conditioning.

State is carried from a stream's window to its next, as on a device. A voice without a face has the
teachers' faces as targets, or without teachers the mean face of each viseme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.conditioning import REACH, SPAN, viseme_features
from edge.contract import FPS, Floats
from edge.words import NO_VISEME, VISEMES
from quantize.data.augment import Rng, mask_bands
from quantize.data.clips import DataError
from quantize.data.phones import UNKNOWN
from quantize.data.renditions import Renditions
from quantize.data.streams import LoadedClip, TrainingStream
from quantize.training.labels import index_of, one_hot
from quantize.training.student_config import StudentRun
from quantize.training.teacher_targets import TeacherTargets, with_teacher_faces

LOOKAHEAD_CHANGE = 0.1
"""Share of the streams that change their look-ahead from window to window."""
COLD_STARTS = 0.1
"""Share of the streams that begin anew there, amid a word or not, as a device does at its start."""
WORD_JITTER = 4
"""Faces (67 ms) by which words come early or late in training (standard deviation)."""
MISSPELLED = 0.15
"""Share of the sounds that words then spell wrongly."""


@dataclass(frozen=True)
class StudentWindow:
    """What B streams hear in T frames, and the faces of their look-ahead earlier as targets."""

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
    cold: NDArray[np.bool_]
    """(B,) whether the stream begins here, without a state."""
    control: Tensor
    """(B, T, C) conditioning of the generator; C is 0 where there is none yet."""


class StudentWindows:
    """The next window of every stream, step after step.

    ``worded`` is the share of the streams conditioned on their words. A checkpoint falls between
    two epochs, where all streams begin anew, so nothing is kept to resume.
    """

    def __init__(
        self,
        run: StudentRun,
        renditions: Renditions,
        clips: Sequence[LoadedClip],
        teachers: TeacherTargets | None,
        worded: float = 0.0,
    ) -> None:
        styles = list(run.model.styles)
        self._style = np.array([index_of(styles, c.clip.source) for c in clips])
        self._styled, self._worded = (run.styled if styles else 0.0), worded
        self.run, self._renditions, self._teachers = run, renditions, teachers
        self._longest, self._epoch = max(run.model.lookaheads), -1
        self._turn(0)
        self.steps = self._windows
        """Steps of an epoch."""

    def _turn(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._epoch, run, teachers = epoch, self.run, self._teachers
        if teachers:
            captured = self._renditions.captured(epoch)
            parts = run.share, run.trust, run.captured
            self._stream = with_teacher_faces(captured, teachers, *parts)
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

    def window(self, step: int, rng: Rng, rows: slice) -> StudentWindow:
        """The streams ``rows`` at a step; steps follow each other from the start of an epoch."""
        run, lookaheads = self.run, np.array(self.run.model.lookaheads)
        self._turn(step // self.steps)
        # What is drawn is drawn for all streams: one process and two give them the same delays.
        fresh = rng.integers(len(lookaheads), size=run.batch)
        cold = rng.random(run.batch) < COLD_STARTS
        if step % self.steps == 0:
            self._delays, cold = fresh, np.ones(run.batch, bool)
        # Now and then a stream changes its look-ahead, as `/edge/lookahead` will.
        self._delays = np.where(rng.random(run.batch) < LOOKAHEAD_CHANGE, fresh, self._delays)
        delays = lookaheads[self._delays][rows]
        # Other renditions of the corpus are a little longer or shorter than the first one.
        at = self._longest + step % self.steps % self._windows * run.window
        starts = np.arange(run.batch)[rows] * self._length + at
        window = window_at(self._stream, starts, delays, run.window, cold[rows])
        mels = window.mels + run.noise_level * torch.randn_like(window.mels)
        given = rng.random((2, run.batch, 1, 1))[:, rows]
        return replace(
            window,
            mels=mask_bands(mels, run.masked_bands),
            control=self._control(window.clip, starts, delays, given, rng),
        )

    def _control(
        self,
        clip: NDArray[np.int32],
        starts: NDArray[np.int64],
        delays: NDArray[np.int64],
        given: NDArray[np.float64],
        rng: Rng,
    ) -> Tensor:
        """(B, T, C) look-aheads, and the styles and words of the streams that draw them.

        ``given`` (2, B, 1, 1), uniform in 0 to 1, says which those are.
        """
        layout = self.run.model.layout
        control = torch.zeros(len(delays), self.run.window, layout.size)
        control[..., layout.lookahead] = torch.from_numpy(layout.one_hot(delays))[:, None]
        if self._styled:
            style = self._styles(clip) * torch.from_numpy(given[0] < self._styled)
            control[..., layout.style] = style
        if self._worded:
            words = self._words(starts - delays, rng) * (given[1] < self._worded)
            control[..., layout.visemes] = torch.from_numpy(words)
        return control

    def _styles(self, clip: NDArray[np.int32]) -> Tensor:
        """(B, T, S) the captured source of the audio; none in a pause or another voice."""
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


def window_at(
    stream: TrainingStream,
    starts: NDArray[np.int64],
    lookahead: NDArray[np.int64],
    frames: int,
    cold: NDArray[np.bool_],
) -> StudentWindow:
    """Windows of ``frames`` from ``starts`` (B,) on, at look-aheads (B,) in faces, without control.

    Where a stream is ``cold`` (B,), faces whose sound it has not had are no targets.
    """
    input_at = starts[:, None] + np.arange(frames)
    target_at = input_at - lookahead[:, None]
    before = cold[:, None] & (np.arange(frames) < lookahead[:, None])
    trust = np.where(before, np.float32(0), stream.trust[target_at])
    return StudentWindow(
        torch.from_numpy(stream.mels[input_at]),
        torch.from_numpy(stream.targets[target_at]),
        torch.from_numpy(stream.live[target_at] * trust[..., None]),
        torch.from_numpy(np.where(before, UNKNOWN, stream.visemes[target_at])),
        np.where(before, np.int32(-1), stream.clip[target_at]),
        stream.time[target_at],
        cold,
        torch.zeros(len(starts), frames, 0),
    )
