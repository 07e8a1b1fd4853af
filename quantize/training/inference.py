"""Features of whole clips to what trained teachers predict: faces, and windows of emotion."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edge.contract import FPS, Floats
from models.embedding import Embedding
from models.teacher import LEVELS, Teacher
from quantize.data.targets import arkit_spread
from quantize.training.labels import one_hot

EMOTION_WINDOW, EMOTION_HOP = 90, FPS // 5
"""Faces of a window (1.5 s) of the emotion embedding, and between two of a clip.

EMO-DB cuts three emotions at 2.0 s; no network may see a length."""


@torch.no_grad()
def faces_of(net: Teacher, features: Floats, level: int = 0) -> Floats:
    """(T, 52) ARKit weights of a whole clip's features (T, 40 + S), of ``teacher_features``.

    ``level`` indexes ``models.teacher.LEVELS``; the style is unknown.
    """
    count = len(features)
    clip = torch.from_numpy(np.concatenate([features, features[-1:]])[: count + count % 2])[None]
    levels = one_hot(np.full((1, clip.shape[1]), level), len(LEVELS))
    style = torch.zeros(1, clip.shape[1], net.config.styles)
    predicted = net(clip, clip, levels, style)
    return np.asarray(predicted.faces[0, :count].numpy() * arkit_spread(), np.float32)


@torch.no_grad()
def embed(net: Embedding, mels: Floats, hop: int = EMOTION_HOP) -> tuple[Tensor, Tensor]:
    """Mean and log-variance (W, D) of each 1.5 s window of a clip's mels (T, 40), five a second.

    A shorter clip is one window whose last frame goes on.
    """
    if len(mels) < EMOTION_WINDOW:
        mels = np.concatenate([mels, np.repeat(mels[-1:], EMOTION_WINDOW - len(mels), axis=0)])
    starts = np.arange(0, len(mels) - EMOTION_WINDOW + 1, hop)
    return net.speech(torch.from_numpy(mels[starts[:, None] + np.arange(EMOTION_WINDOW)]))


def name_of(net: Embedding, mels: Floats) -> int:
    """Index into ``EMOTIONS`` of a clip's emotion: the mean over its windows."""
    mean, _ = embed(net, mels)
    return int(net.read(mean).log_softmax(1).mean(0).argmax())
