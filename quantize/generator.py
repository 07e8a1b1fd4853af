"""The teacher's ears and the codebook's motion to the generator: ``edge-quantize train generator``.

Content comes from a trained teacher, emotion from a trained embedding, codes from a trained
codebook; all three stay as they are, as in DEEPTalk. Captured talkers give true codes; acted
sentences give those of the teacher's face under the described expression.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from edge.contract import INDEX, Floats
from models.codebook import FAST, SLOW, Codebook, CodebookConfig
from models.embedding import Embedding, EmbeddingConfig, sample
from models.generator import CodeGenerator, GeneratorConfig, generate
from models.teacher import LEVELS, Teacher, TeacherConfig
from quantize.codebook import motion
from quantize.data import Clip, DataError, load
from quantize.emotion import embed
from quantize.loop import Rng, Schedule, fit, keep_settings, plain_settings
from quantize.losses import correlation
from quantize.open import open_run
from quantize.streams import mels_of
from quantize.targets import arkit_spread
from quantize.teacher import faces_of

SPAN = 96
"""Faces of a training window (1.6 s), a multiple of the slow span."""


@dataclass(frozen=True)
class GeneratorRun:
    """Settings of a run; kept as ``run.yaml``."""

    data: tuple[str, ...]
    teacher: str
    """Checkpoint of ``train teacher``; likewise the next two."""
    embedding: str
    codebook: str
    steps: int = 3000
    batch: int = 32
    rate: float = 1e-3
    seed: int = 0
    model: GeneratorConfig = field(default_factory=GeneratorConfig)


@dataclass(frozen=True)
class Parts:
    """The three trained networks a generator stands on."""

    teacher: Teacher
    embedding: Embedding
    codebook: Codebook

    @staticmethod
    def read(teacher: Path, embedding: Path, codebook: Path) -> Parts:
        """From their checkpoints, ready for use."""
        nets = (
            open_run(teacher, "teacher", Teacher, TeacherConfig),
            open_run(embedding, "emotion", Embedding, EmbeddingConfig),
            open_run(codebook, "codebook", Codebook, CodebookConfig),
        )
        for net in nets:
            net.requires_grad_(False)
        return Parts(*nets)


@dataclass(frozen=True)
class Lesson:
    """One clip as the generator meets it; T a multiple of 8."""

    content: Tensor
    """(T/2, C)"""
    emotion: tuple[Tensor, Tensor]
    """Mean and log-variance (W, 32) of its windows of 1.5 s."""
    slow: Tensor
    """(T/8,) codes of the face."""
    fast: Tensor
    """(T/2,)"""
    faces: Floats
    """(T, 52) the face itself, in standard deviations of speech."""
    live: Floats
    """(T, 52) 1 where it was captured or described."""


@torch.no_grad()
def lesson(clip: Clip, mels: Floats, parts: Parts, captured: list[Clip]) -> Lesson | None:
    """What one clip teaches, or ``None`` if it is too short or has no face to show."""
    spread = arkit_spread()
    if clip.capture:
        taken = motion([clip], captured)
        faces, live = taken.faces, taken.live.astype(np.float32)
    elif clip.emotion:
        faces = faces_of(parts.teacher, mels, len(LEVELS) - 1) / spread
        live = np.ones_like(faces)
    else:
        return None
    count = min(len(mels), len(faces)) // SLOW * SLOW
    if count < SPAN:
        return None
    faces, live = faces[:count], live[:count]
    content, _ = parts.teacher.content(torch.from_numpy(mels[None, :count]))
    _, (slow, fast), _ = parts.codebook(torch.from_numpy(faces * live)[None])
    return Lesson(content[0], embed(parts.embedding, mels), slow[0], fast[0], faces, live)


def train_generator(run: GeneratorRun, out: Path) -> nn.Module:
    """Train until ``run.steps``; returns the generator, averaged."""
    keep_settings(out, {"train": "generator"} | plain_settings(run))
    parts = Parts.read(Path(run.teacher), Path(run.embedding), Path(run.codebook))
    clips, _ = load([Path(d) for d in run.data])
    captured = [c for c in clips if c.capture and c.split == "train"]
    spoken = [c for c in clips if c.audio and (c.capture or c.emotion)]
    lessons: dict[str, list[Lesson]] = {"train": [], "validation": [], "test": []}
    for clip in tqdm(spoken, desc="listening"):
        made = lesson(clip, mels_of(clip), parts, captured)
        if made:
            lessons[clip.split].append(made)
    if not lessons["train"]:
        raise DataError("no clip of 1.6 s or more with a face or a labelled emotion")

    def losses(net: nn.Module, step: int, rng: Rng, rows: slice) -> dict[str, Tensor]:
        chosen = [
            lessons["train"][int(k)] for k in rng.integers(len(lessons["train"]), size=run.batch)
        ]
        content, emotion, slow, fast = [], [], [], []
        for one in chosen[rows]:
            at = int(rng.integers((len(one.faces) - SPAN) // SLOW + 1)) * SLOW
            content.append(one.content[at // FAST : (at + SPAN) // FAST])
            slow.append(one.slow[at // SLOW : (at + SPAN) // SLOW])
            fast.append(one.fast[at // FAST : (at + SPAN) // FAST])
            mean, log_variance = (x[int(rng.integers(len(x)))] for x in one.emotion)
            emotion.append(sample(mean, log_variance))
        truth = torch.stack(slow)
        slow_logits, fast_logits = net(
            torch.stack(content), torch.stack(emotion), parts.codebook.slow.lookup(truth)
        )
        return {
            "slow": F.cross_entropy(slow_logits.flatten(0, 1), truth.flatten()),
            "fast": F.cross_entropy(fast_logits.flatten(0, 1), torch.stack(fast).flatten()),
        }

    def judge(net: nn.Module) -> dict[str, float]:
        assert isinstance(net, CodeGenerator)
        jaw = INDEX["jawOpen"]
        r = []
        for one in lessons["validation"]:
            shown = generate(net, parts.codebook, one.content[None], one.emotion[0][:1])[0]
            truth = torch.from_numpy(one.faces)
            r.append(float(correlation(shown[:, [jaw]], truth[:, [jaw]])[0]))
        return {"jaw": float(np.mean(r))} if r else {}

    schedule = Schedule(run.steps, run.batch, run.rate, every=250, seed=run.seed)
    net = CodeGenerator(run.model, parts.codebook)
    return fit(net, out, schedule, losses, judge)
