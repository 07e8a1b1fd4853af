"""Voices and faces to the teacher: ``edge-quantize train teacher``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edge.contract import INDEX
from models.teacher import Teacher
from quantize.data.corpus import read_corpus
from quantize.data.renditions import Renditions
from quantize.data.streams import TrainingStream
from quantize.data.word_embeddings import embed_clips
from quantize.training.inference import faces_of
from quantize.training.loop import Schedule, fit
from quantize.training.losses import correlation
from quantize.training.run_settings import keep_settings, plain_settings
from quantize.training.teacher_batches import TeacherBatches
from quantize.training.teacher_config import TeacherRun


def train_teacher(run: TeacherRun, out: Path) -> nn.Module:
    """Train until ``run.epochs``; returns the teacher, averaged."""
    keep_settings(out, {"train": "teacher"} | plain_settings(run))
    times, text = min(run.renditions, run.epochs), run.model.text
    speech = run.model.content.speech > 0
    corpus = read_corpus(run.data, out, run.noise, run.seed, run.repeat, times, text, speech)
    words = embed_clips(corpus.clips, out / "words.npz") if text else None
    with Renditions(out / "renditions", corpus.make, corpus.times) as renditions:
        batches = TeacherBatches(run, corpus.clips, renditions, list(corpus.scales), words)
        steps = batches.steps
        schedule = Schedule(steps * run.epochs, run.batch, run.rate, every=steps, seed=run.seed)

        def judge(net: nn.Module) -> dict[str, float]:
            assert isinstance(net, Teacher)
            return score(net, corpus.validation)

        return fit(Teacher(run.model), out, schedule, batches.losses, judge)


def score(net: Teacher, validation: Sequence[TrainingStream]) -> dict[str, float]:
    """Mean r of the jaw and of the other live channels on clips held back."""
    jaw, rows = INDEX["jawOpen"], []
    for clip in validation:
        predicted = torch.from_numpy(faces_of(net, clip.teacher_input(np.arange(len(clip.mels)))))
        r = correlation(predicted, torch.from_numpy(clip.targets)).numpy()
        live = clip.live[0] & (np.arange(52) != jaw)
        rows.append((r[jaw], r[live].mean()))
    return dict(zip(("jaw", "others"), np.mean(rows, axis=0).tolist(), strict=True)) if rows else {}
