"""A teacher's content and a codebook's motion to the generator: ``edge-quantize train generator``.

Content comes from a trained teacher, emotion from a trained embedding, codes from a trained
codebook; all three stay as they are, as in DEEPTalk. Captured talkers give true codes; acted
sentences give those of the teacher's face under the described expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from edge.contract import ARKIT_52, INDEX, Floats, InputError
from edge.features import N_MELS
from models.code_generator import CodeGenerator, GeneratorConfig, generate
from models.codebook import FAST, SLOW, Codebook, CodebookConfig
from models.embedding import Embedding, EmbeddingConfig, sample
from models.teacher import LEVELS, Teacher, TeacherConfig
from quantize.data.clips import Clip, DataError
from quantize.data.load import load
from quantize.data.streams import features_of_clip
from quantize.data.targets import Scale, arkit_spread, fit_scales
from quantize.training.checkpoint import open_run, settings_of
from quantize.training.inference import embed, faces_of
from quantize.training.loop import Rng, Schedule, fit
from quantize.training.losses import correlation
from quantize.training.motion import face_of
from quantize.training.run_settings import keep_settings, plain_settings

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
    steps: int = 2000
    batch: int = 32
    rate: float = 1e-3
    seed: int = 0
    model: GeneratorConfig = field(default_factory=GeneratorConfig)


@dataclass(frozen=True)
class FrozenNetworks:
    """The three trained networks a generator stands on."""

    teacher: Teacher
    embedding: Embedding
    codebook: Codebook

    @staticmethod
    def read(teacher: Path, embedding: Path, codebook: Path) -> FrozenNetworks:
        """From their checkpoints, ready for use."""
        nets = (
            open_run(teacher, "teacher", Teacher, TeacherConfig),
            open_run(embedding, "emotion", Embedding, EmbeddingConfig),
            open_run(codebook, "codebook", Codebook, CodebookConfig),
        )
        for net in nets:
            net.requires_grad_(False)
        return FrozenNetworks(*nets)


def open_generator(checkpoint: Path) -> tuple[CodeGenerator, FrozenNetworks]:
    """A trained generator and what it stands on, from where its ``run.yaml`` says that lies."""
    settings = settings_of(checkpoint)
    names = ("teacher", "embedding", "codebook")
    if missing := [name for name in names if name not in settings]:
        raise InputError(f"{checkpoint}: no '{missing[0]}' in the run.yaml of its folder")
    parts = FrozenNetworks.read(*(Path(settings[name]) for name in names))

    def sized(config: GeneratorConfig) -> CodeGenerator:
        return CodeGenerator(config, parts.codebook)

    return open_run(checkpoint, "generator", sized, GeneratorConfig), parts


@dataclass(frozen=True)
class TeacherFeatures:
    """A clip's inputs of the generator."""

    content: Tensor
    """(1, T/2, C), T the next multiple of 8."""
    mean: Tensor
    """(1, W) on the sphere: the emotion of the whole clip."""
    log_variance: Tensor
    """(1, W)"""
    faces: int


@torch.no_grad()
def teacher_features_of(parts: FrozenNetworks, features: Floats) -> TeacherFeatures:
    """Content and emotion of a clip (T, 40 + S); its last frame is repeated up to 7 times."""
    rest = -len(features) % SLOW
    content, _ = parts.teacher.content(
        torch.from_numpy(np.pad(features, ((0, rest), (0, 0)), "edge"))[None]
    )
    mean, log_variance = embed(parts.embedding, features[:, :N_MELS])
    return TeacherFeatures(
        content, whole_clip(mean), log_variance.mean(0, keepdim=True), len(features)
    )


def whole_clip(mean: Tensor) -> Tensor:
    """The emotion (1, W) of a whole clip from its windows' (N, W), on the sphere again."""
    return F.normalize(mean.mean(0, keepdim=True), dim=1)


@dataclass(frozen=True)
class GeneratorBatch:
    """One clip's inputs and targets; T a multiple of 8."""

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
def draw_batch(
    clip: Clip, features: Floats, parts: FrozenNetworks, scales: dict[str, Scale]
) -> GeneratorBatch | None:
    """One clip's inputs and targets, or ``None`` if it is too short or has no face."""
    if clip.capture and clip.source in scales:
        faces = face_of(clip, scales[clip.source])
        live = np.broadcast_to(scales[clip.source].live, faces.shape).astype(np.float32)
    elif clip.emotion:
        faces = faces_of(parts.teacher, features, len(LEVELS) - 1) / arkit_spread()
        live = np.ones_like(faces)
    else:
        return None
    count = min(len(features), len(faces)) // SLOW * SLOW
    if count < SPAN:
        return None
    faces, live = faces[:count], live[:count]
    content, _ = parts.teacher.content(torch.from_numpy(features[None, :count]))
    _, (slow, fast), _ = parts.codebook(torch.from_numpy(faces * live)[None])
    emotion = embed(parts.embedding, features[:, :N_MELS])
    return GeneratorBatch(content[0], emotion, slow[0], fast[0], faces, live)


def train_generator(run: GeneratorRun, out: Path) -> nn.Module:
    """Train until ``run.steps``; returns the generator, averaged."""
    keep_settings(out, {"train": "generator"} | plain_settings(run))
    parts = FrozenNetworks.read(Path(run.teacher), Path(run.embedding), Path(run.codebook))
    examples = read_examples(run, parts)
    training = examples["train"]

    def losses(net: nn.Module, step: int, rng: Rng, rows: slice) -> dict[str, Tensor]:
        chosen = [training[int(k)] for k in rng.integers(len(training), size=run.batch)]
        content, emotion, slow, fast = windows_of(chosen[rows], rng)
        known = parts.codebook.slow.lookup(slow)
        with torch.autocast("cpu", torch.bfloat16):
            slow_logits, fast_logits = net(content, emotion, known)
        return {
            "slow": F.cross_entropy(slow_logits.float().flatten(0, 1), slow.flatten()),
            "fast": F.cross_entropy(fast_logits.float().flatten(0, 1), fast.flatten()),
        }

    def judge(net: nn.Module) -> dict[str, float]:
        assert isinstance(net, CodeGenerator)
        return score(net, parts.codebook, examples["validation"])

    schedule = Schedule(run.steps, run.batch, run.rate, every=250, seed=run.seed)
    net = CodeGenerator(run.model, parts.codebook)
    return fit(net, out, schedule, losses, judge)


def read_examples(run: GeneratorRun, parts: FrozenNetworks) -> dict[str, list[GeneratorBatch]]:
    """Clips of ``run.data`` that are long enough and have a face, by ``train`` and ``validation``.

    Raises ``DataError`` where none is left to train on.
    """
    clips, _ = load([Path(d) for d in run.data])
    scales = fit_scales([c for c in clips if c.split == "train"], ARKIT_52)
    used = [c for c in clips if c.audio and c.split != "test" and (c.capture or c.emotion)]
    examples: dict[str, list[GeneratorBatch]] = {"train": [], "validation": []}
    for clip in tqdm(used, desc="features"):
        made = draw_batch(clip, features_of_clip(clip, parts.teacher.speech), parts, scales)
        if made:
            examples[clip.split].append(made)
    if not examples["train"]:
        raise DataError("no clip of 1.6 s or more with a face or a labelled emotion")
    return examples


def windows_of(chosen: Sequence[GeneratorBatch], rng: Rng) -> tuple[Tensor, ...]:
    """A window of each clip: content (B, 48, C), emotion (B, D), slow (B, 12), fast codes (B, 48).

    The emotion is drawn from one of the clip's windows of 1.5 s.
    """
    content, emotion, slow, fast = [], [], [], []
    for one in chosen:
        at = int(rng.integers((len(one.faces) - SPAN) // SLOW + 1)) * SLOW
        content.append(one.content[at // FAST : (at + SPAN) // FAST])
        slow.append(one.slow[at // SLOW : (at + SPAN) // SLOW])
        fast.append(one.fast[at // FAST : (at + SPAN) // FAST])
        mean, log_variance = (x[int(rng.integers(len(x)))] for x in one.emotion)
        emotion.append(sample(mean, log_variance))
    return tuple(torch.stack(part) for part in (content, emotion, slow, fast))


@torch.no_grad()
def score(
    net: CodeGenerator, codebook: Codebook, held: Sequence[GeneratorBatch]
) -> dict[str, float]:
    """Means over clips held back: r of the greedy jaw, and the cross entropy of each level."""
    jaw, rows = INDEX["jawOpen"], []
    for one in held:
        content, emotion = one.content[None], whole_clip(one.emotion[0])
        predicted = generate(net, codebook, content, emotion)[0]
        r = correlation(predicted[:, [jaw]], torch.from_numpy(one.faces)[:, [jaw]])
        slow, fast = net(content, emotion, codebook.slow.lookup(one.slow[None]))
        entropy = F.cross_entropy(slow[0], one.slow), F.cross_entropy(fast[0], one.fast)
        rows.append((float(r[0]), *map(float, entropy)))
    names = ("jaw", "held_slow", "held_fast")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True)) if rows else {}
