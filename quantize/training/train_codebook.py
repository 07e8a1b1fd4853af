"""Captured motion to the two codebooks: ``edge-quantize train codebook``.

Every capture is used, with sound or without: the paired ones for the lips, the silent iPhone takes
for brows, eyes and cheeks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from edge.contract import ARKIT_52, FPS, Floats
from models.codebook import FAST, SLOW, Codebook, CodebookConfig
from models.teacher import LEVELS, Teacher, TeacherConfig
from quantize.data.clips import Clip
from quantize.data.load import load
from quantize.data.streams import features_of_clip
from quantize.data.targets import arkit_spread
from quantize.training.checkpoint import open_run
from quantize.training.inference import faces_of
from quantize.training.loop import Rng, Schedule, fit
from quantize.training.losses import shape_loss, velocity_loss
from quantize.training.motion import RANGE, Motion, motion
from quantize.training.run_settings import keep_settings, plain_settings

WINDOW = 128
"""Faces of a training window (2.1 s), a multiple of the slow span."""


@dataclass(frozen=True)
class CodebookRun:
    """Settings of a run; kept as ``run.yaml``."""

    data: tuple[str, ...]
    teacher: str | None = None
    """Checkpoint of ``train teacher``: its faces of every voice are learned beside the captures."""
    steps: int = 4000
    batch: int = 48
    rate: float = 1e-3
    seed: int = 0
    velocity: float = 2.0
    commitment: float = 0.25
    model: CodebookConfig = field(default_factory=CodebookConfig)


def train_codebook(run: CodebookRun, out: Path) -> nn.Module:
    """Train until ``run.steps``; returns the codebook, averaged."""
    keep_settings(out, {"train": "codebook"} | plain_settings(run))
    clips, _ = load([Path(d) for d in run.data])
    training = [c for c in clips if c.split == "train"]
    captures = motion(training, training)
    if run.teacher:
        captures = with_predicted(captures, training, Path(run.teacher), run.seed)
    held_clips = [c for c in clips if c.split == "validation"]
    held = motion(held_clips, training) if any(c.capture for c in held_clips) else captures
    pools = [np.flatnonzero(captures.source[:-WINDOW] == k) for k in np.unique(captures.source)]

    ones = torch.ones(len(ARKIT_52))  # faces are in deviations already

    def losses(net: nn.Module, step: int, rng: Rng, rows: slice) -> dict[str, Tensor]:
        # Every system as often: four minutes of iPhone takes have all the brows there are.
        starts = [rng.choice(pools[k % len(pools)]) for k in range(run.batch)]
        at = np.array(starts)[rows, None] + np.arange(WINDOW)
        faces = torch.from_numpy(captures.faces[at])
        live = torch.from_numpy(captures.live[at].astype(np.float32))
        decoded, _, commitment = net(faces * live)
        return {
            "shape": shape_loss(decoded, faces, live, ones),
            "velocity": run.velocity * velocity_loss(decoded, faces, live, ones),
            "commitment": run.commitment * commitment,
        }

    def judge(net: nn.Module) -> dict[str, float]:
        assert isinstance(net, Codebook)
        return measure(net, held)

    net = Codebook(run.model)
    schedule = Schedule(run.steps, run.batch, run.rate, decay=1e-2, every=250, seed=run.seed)
    return fit(net, out, schedule, losses, judge)


def with_predicted(captured: Motion, clips: Sequence[Clip], teacher: Path, seed: int) -> Motion:
    """Captures, and a teacher's faces of all clips with sound (any emotion), as one system.

    Codes of captures alone lose what a teacher predicts: its lips of unseen voices fell from .72 to
    .59 (mean AUC of the viseme contrasts).
    """
    net = open_run(teacher, "teacher", Teacher, TeacherConfig)
    rng = np.random.default_rng(seed)
    predicted = [
        faces_of(net, features_of_clip(clip, net.speech), int(rng.integers(len(LEVELS))))
        / arkit_spread()
        for clip in tqdm([c for c in clips if c.audio], desc="teacher's faces")
    ]
    faces = np.clip(np.concatenate(predicted), *RANGE).astype(np.float32)
    return Motion(
        np.concatenate([captured.faces, faces]),
        np.concatenate([captured.live, np.ones(faces.shape, bool)]),
        np.concatenate([captured.source, np.full(len(faces), captured.source.max() + 1)]),
    )


@torch.no_grad()
def through(net: Codebook, held: Motion) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Faces decoded from their codes (T, 52), slow and fast codes; T cut to a multiple of 8."""
    count = len(held.faces) // SLOW * SLOW
    faces = torch.from_numpy((held.faces * held.live)[None, :count])
    decoded, (slow, fast), _ = net(faces)
    return decoded[0].numpy(), slow[0].numpy(), fast[0].numpy()


def explained(decoded: Floats, held: Motion) -> float:
    """Share of the variance (about 0, in deviations) of live channels that ``decoded`` keeps."""
    live, truth = held.live[: len(decoded)], held.faces[: len(decoded)]
    return float(1 - ((decoded - truth) ** 2)[live].sum() / (truth**2)[live].sum())


def measure(net: Codebook, held: Motion) -> dict[str, float]:
    """Explained variance over live channels, and the share of each level's codes that is used."""
    decoded, slow, fast = through(net, held)
    codes = net.config.codes
    return {
        "explained": explained(decoded, held),
        "slow_used": len(np.unique(slow)) / codes,
        "fast_used": len(np.unique(fast)) / codes,
    }


def bits_per_second(config: CodebookConfig) -> float:
    """What both levels' codes cost."""
    return float(np.log2(config.codes)) * (FPS / SLOW + FPS / FAST)
