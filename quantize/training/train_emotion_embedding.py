"""Acted speech to the emotion embedding: ``edge-quantize train emotion``.

No legal recording pairs emotional speech with an emotional face. The speech side is trained on
actors (EMO-DB), the face side therefore on *described* faces: captured neutral talking plus the
action units that FACS/EMFACS give for the emotion (``edge/emotion.yaml``), never a filmed emotion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edge.contract import Floats
from edge.emotion import load_emotions
from edge.idle_motion import IdleMotion
from models.embedding import Embedding, EmbeddingConfig
from quantize.data.augment import mask_bands
from quantize.data.clips import EMOTIONS, DataError
from quantize.data.load import load
from quantize.data.renditions import read_rooms
from quantize.data.streams import (
    LoadedClip,
    TrainingStream,
    load_audio,
    render_all,
    render_as_recorded,
)
from quantize.data.targets import arkit_spread
from quantize.training.inference import EMOTION_WINDOW, name_of
from quantize.training.loop import Rng, Schedule, fit
from quantize.training.motion import Motion, motion
from quantize.training.run_settings import keep_settings, plain_settings


@dataclass(frozen=True)
class EmotionRun:
    """Settings of a run; kept as ``run.yaml``."""

    data: tuple[str, ...]
    noise: str | None = None
    held: tuple[str, ...] = ("emodb_13", "emodb_14")
    """Speakers that only judge. (Speakers 15 and 16 are the test and not even that.)"""
    renditions: int = 8
    """How often the speech is rendered in other voices and rooms."""
    steps: int = 3000
    batch: int = 64
    rate: float = 1e-3
    seed: int = 0
    classify: float = 0.5
    """Weight of naming the emotion, on both sides (EmoTalk's L_cls)."""
    model: EmbeddingConfig = field(default_factory=EmbeddingConfig)


def train_emotion(run: EmotionRun, out: Path) -> nn.Module:
    """Train until ``run.steps``; returns the embedding, averaged."""
    keep_settings(out, {"train": "emotion"} | plain_settings(run))
    clips, _ = load([Path(d) for d in run.data])
    acted = [c for c in clips if c.emotion and c.split == "train"]
    if not acted:
        raise DataError("no clip with a labelled emotion; give a folder such as EMO-DB's")
    captured = [c for c in clips if c.capture and c.split == "train"]
    talking = motion([c for c in captured if c.audio], captured)
    acted_clips = load_audio([c for c in acted if c.speaker not in run.held], out / "phones.json")
    speech = [_rendition(acted_clips, run, out, k) for k in range(run.renditions)]
    held = [
        (render_as_recorded(s, {}).mels, EMOTIONS.index(s.clip.emotion or ""))
        for s in load_audio([c for c in acted if c.speaker in run.held], out / "phones.json")
    ]
    labels = np.array([EMOTIONS.index(s.clip.emotion or "") for s in acted_clips])

    def losses(net: nn.Module, step: int, rng: Rng, rows: slice) -> dict[str, Tensor]:
        mels, emotion = speech_windows(speech, labels, run.batch, rng)
        faces = face_windows(talking, emotion, rng)
        noisy = torch.from_numpy(mels[rows])
        noisy = mask_bands(noisy + 0.1 * torch.randn_like(noisy))
        named = torch.from_numpy(emotion[rows])
        same = (named[:, None] == named[None]).float()
        match, speech_logits, face_logits = net(noisy, torch.from_numpy(faces[rows]), same)
        return {
            "match": match,
            "speech": run.classify * F.cross_entropy(speech_logits, named),
            "face": run.classify * F.cross_entropy(face_logits, named),
        }

    def judge(net: nn.Module) -> dict[str, float]:
        assert isinstance(net, Embedding)
        named = [name_of(net, mels) == emotion for mels, emotion in held]
        return {"held_speakers": float(np.mean(named))} if held else {}

    schedule = Schedule(run.steps, run.batch, run.rate, every=250, seed=run.seed)
    return fit(Embedding(run.model), out, schedule, losses, judge)


def _rendition(clips: Sequence[LoadedClip], run: EmotionRun, out: Path, k: int) -> TrainingStream:
    path = out / f"speech{k}.npz"
    if not path.exists():
        render_all(clips, {}, read_rooms(run.noise), run.seed * 1000 + k, {}).save(path)
    return TrainingStream.load(path)


def speech_windows(
    speech: Sequence[TrainingStream], labels: NDArray[np.int64], batch: int, rng: Rng
) -> tuple[Floats, NDArray[np.int64]]:
    """Windows (B, 90, 40) and emotions (B,), every emotion as often, none across two clips."""
    stream = speech[int(rng.integers(len(speech)))]
    clip = stream.clip
    first, last = clip[:-EMOTION_WINDOW], clip[EMOTION_WINDOW:]
    inside = np.flatnonzero((first >= 0) & (first == last))
    emotion = labels[clip[inside]]
    kinds = np.unique(emotion)
    pools = [inside[emotion == k] for k in kinds]
    starts = np.array([rng.choice(pools[i % len(pools)]) for i in rng.permutation(batch)])
    return stream.mels[starts[:, None] + np.arange(EMOTION_WINDOW)], labels[clip[starts]]


def face_windows(talking: Motion, emotion: NDArray[np.int64], rng: Rng) -> Floats:
    """Windows (B, 90, 52), in deviations: neutral talking plus each emotion's action units."""
    starts = rng.integers(len(talking.faces) - EMOTION_WINDOW, size=len(emotion))
    faces = talking.faces[starts[:, None] + np.arange(EMOTION_WINDOW)].copy()
    faces *= talking.live[starts][:, None]
    spread = arkit_spread()
    idle = IdleMotion(int(rng.integers(2**31)))
    for face, kind in zip(faces, emotion, strict=True):
        strength = rng.uniform(0.3, 1.0) * fading(rng)
        units = load_emotions()[0][EMOTIONS[kind]] * rng.uniform(0.7, 1.3, 52)
        resting = np.stack([idle.next()[0] for _ in range(EMOTION_WINDOW)])
        face += (strength[:, None] * units + resting) / spread
    return (faces + 0.1 * rng.standard_normal(faces.shape)).astype(np.float32)


def fading(rng: Rng) -> Floats:
    """(90,) a strength near 1 that drifts, as no face holds an expression still."""
    knots = rng.uniform(0.6, 1.0, 4)
    at = np.linspace(0, EMOTION_WINDOW, 4)
    return np.interp(np.arange(EMOTION_WINDOW), at, knots).astype(np.float32)
