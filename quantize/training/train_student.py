"""Voices, faces and teachers to the student: ``edge-quantize train`` and ``edge-quantize distill``.

Five stages, each resumable: the corpus is read, the teachers' targets computed, the student
fitted, and then, frozen, it learns its conditioning and the names of emotions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edge.contract import ARKIT_52, INDEX, ConfigError
from edge.files import atomic_write
from models.codebook import Codebook, CodebookConfig
from models.embedding import Embedding, EmbeddingConfig
from models.student import Student
from models.teacher import Teacher, TeacherConfig
from quantize.data.clips import EMOTIONS, DataError
from quantize.data.corpus import Corpus, read_corpus
from quantize.data.phones import UNKNOWN
from quantize.data.renditions import Renditions
from quantize.data.streams import TrainingStream
from quantize.data.targets import Scale, arkit_spread
from quantize.training.checkpoint import open_run
from quantize.training.loop import Schedule, fit
from quantize.training.losses import correlation
from quantize.training.run_settings import keep_settings, plain_settings
from quantize.training.student_conditioning import WORDED, learn_conditioning
from quantize.training.student_config import StudentRun
from quantize.training.student_emotion_head import train_emotion_head
from quantize.training.student_losses import StudentLosses
from quantize.training.student_windows import StudentWindows
from quantize.training.teacher_targets import TeacherNetworks, TeacherTargets, compute_targets

ACTED = 4
"""Renditions of acted clips that the emotions' names are learned from."""


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
    teachers = teacher_targets(run, out, corpus)
    student = build_student(run, corpus.scales)
    with Renditions(out / "renditions", corpus.make, corpus.times) as renditions:
        averaged = fit_student(run, out, student, corpus, renditions, teachers)
        if not is_finished(out):
            condition_student(run, averaged, corpus, renditions, teachers)
            if teachers:
                name_emotions(run, averaged, corpus, renditions, teachers)
            finish(averaged, out)
    return averaged


def teacher_targets(run: StudentRun, out: Path, corpus: Corpus) -> TeacherTargets | None:
    """What the teachers named in ``run`` predict; from ``teacher_targets.npz`` if it is there."""
    if not run.teacher:
        return None
    if not run.codebook or not run.embedding:
        raise ConfigError("a student of teachers needs 'codebook' and 'embedding' too: distil")
    path = out / "teacher_targets.npz"
    if not path.exists():
        if not len(corpus.clips[0].samples):
            raise DataError("shards hold no sound for the teachers; distil from recordings")
        networks = TeacherNetworks(
            [open_run(Path(path), "teacher", Teacher, TeacherConfig) for path in run.teacher],
            _codebook(run),
            _embedding(run),
        )
        compute_targets(corpus.clips, networks, corpus.scales).save(path)
    return TeacherTargets.load(path)


def build_student(run: StudentRun, scales: dict[str, Scale]) -> Student:
    """A student that has learned nothing yet.

    With teachers it has the codebook's vectors and the embedding's reading, and they stay as they
    are: the teachers' codes and emotions are its targets.
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


def fit_student(
    run: StudentRun,
    out: Path,
    student: Student,
    corpus: Corpus,
    renditions: Renditions,
    teachers: TeacherTargets | None,
) -> Student:
    """The running average of ``student``, trained on all windows of all epochs."""
    windows = StudentWindows(run, renditions, corpus.clips, teachers)
    steps = windows.steps
    schedule = Schedule(steps * run.epochs, run.batch, run.rate, every=steps, seed=run.seed)

    def judge(net: nn.Module) -> dict[str, float]:
        assert isinstance(net, Student)
        return score(net, corpus.validation)

    averaged = fit(student, out, schedule, StudentLosses(windows, student, teachers), judge)
    assert isinstance(averaged, Student)
    return averaged


def condition_student(
    run: StudentRun,
    student: Student,
    corpus: Corpus,
    renditions: Renditions,
    teachers: TeacherTargets | None,
) -> None:
    """``learn_conditioning`` on windows of the same streams, some with their words."""
    windows = StudentWindows(run, renditions, corpus.clips, teachers, WORDED)
    losses = StudentLosses(windows, student, teachers)
    learn_conditioning(student, losses, run.conditioning_epochs * windows.steps, run.batch)


def name_emotions(
    run: StudentRun,
    student: Student,
    corpus: Corpus,
    renditions: Renditions,
    teachers: TeacherTargets,
) -> None:
    """``train_emotion_head`` on the first renditions of the acted clips."""
    names = [one.clip.emotion for one in corpus.clips]
    labels = np.array([EMOTIONS.index(n) if n in EMOTIONS else UNKNOWN for n in names])
    times = min(run.renditions, run.epochs, ACTED)
    acted = (renditions.captured(k) for k in range(times))
    train_emotion_head(student, acted, labels, teachers, run.emotion_steps)


def is_finished(out: Path) -> bool:
    """Whether the checkpoint is of a student that went through all stages."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # until rank 0 has written what was fitted
    return bool(torch.load(out / "checkpoint.pt", weights_only=True).get("finished"))


def finish(student: nn.Module, out: Path) -> None:
    """Keep the student as finished.

    Under torchrun all processes run all stages, as the losses expect; rank 0 writes.
    """
    if os.environ.get("RANK", "0") == "0":
        path = out / "checkpoint.pt"
        saved = torch.load(path, weights_only=True)
        with atomic_write(path) as file:
            torch.save(saved | {"average": student.state_dict(), "finished": True}, file)


def _codebook(run: StudentRun) -> Codebook:
    return open_run(Path(str(run.codebook)), "codebook", Codebook, CodebookConfig)


def _embedding(run: StudentRun) -> Embedding:
    return open_run(Path(str(run.embedding)), "emotion", Embedding, EmbeddingConfig)


@torch.no_grad()
def score(student: Student, validation: Sequence[TrainingStream]) -> dict[str, float]:
    """Mean r of the jaw and of the other live channels on clips held back, at every look-ahead."""
    jaw, lookaheads = INDEX["jawOpen"], student.config.lookaheads
    row: dict[str, float] = {}
    for late in lookaheads:
        found = []
        for clip in validation:
            mels = np.concatenate([clip.mels, np.repeat(clip.mels[-1:], late, axis=0)])
            weights, _, _ = student(
                torch.from_numpy(mels)[None], student.config.at(late), student.initial_state()
            )
            r = correlation(weights[0, late:], torch.from_numpy(clip.targets)).numpy()
            live = clip.live[0] & (np.arange(len(ARKIT_52)) != jaw)
            found.append((r[jaw], r[live].mean()))
        if found:
            names = (f"jaw_{late}", f"others_{late}")
            row |= dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))
    return row
