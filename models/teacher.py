"""Speech to content and emotion, and both to a face: EmoTalk (Peng et al., ICCV 2023).

Two encoders take the same voice; a fusion decoder makes the face. Crossing them (the content of one
clip, the emotion of another) is trained, so each branch learns to leave the other's part out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.contract import ARKIT_52
from edge.features import N_MELS
from models.content import Block, ContentConfig, ContentEncoder, at_sixty
from models.text import TextBranch

LEVELS = (0.0, 0.5, 1.0)
"""Strengths of an emotion the decoder is asked for; EmoTalk has two."""


@dataclass(frozen=True, slots=True)
class TeacherConfig:
    """Sizes of the teacher."""

    content: ContentConfig = field(default_factory=ContentConfig)
    emotion: int = 32
    """Length of an emotion feature."""
    emotions: int = 8
    width: int = 160
    """Channels of the fusion decoder."""
    styles: int = 3
    """Capture systems whose habits the style embedding tells apart (EmoTalk: 24 persons)."""
    dropout: float = 0.15
    text: bool = False
    """Whether known words may move the upper face (``models.text``)."""


class EmotionEncoder(nn.Module):
    """mels (B, T, 40), T even -> emotion (B, T/2, 32), smooth over 1.5 s, and logits (B, 8).

    EmoTalk's second wav2vec2-large, small: the window's mean and deviation leave out what changes
    from sound to sound, so words hardly come through.
    """

    WINDOW = 45
    """Frames at 30 a second."""

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        width = 96
        self.stem = nn.Conv1d(N_MELS, width, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(Block(width, 2**i, config.dropout) for i in range(4))
        self.out = nn.Linear(2 * width, config.emotion)
        self.read = nn.Linear(config.emotion, config.emotions)
        self.drop = nn.Dropout(2 * config.dropout)

    def forward(self, mels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode whole clips, or windows of them."""
        x = F.gelu(self.stem(mels.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        mean = over(x, self.WINDOW)
        deviation = (over(x**2, self.WINDOW) - mean**2).clamp(min=1e-6).sqrt()
        emotion = torch.tanh(self.out(self.drop(torch.cat([mean, deviation], dim=2))))
        return emotion, self.read(emotion.mean(1))


def over(x: Tensor, window: int) -> Tensor:
    """Mean over ``window`` frames around each, fewer at the ends. (B, T, C) -> (B, T, C)."""
    return F.avg_pool1d(
        x.transpose(1, 2), window, stride=1, padding=window // 2, count_include_pad=False
    ).transpose(1, 2)


class FusionDecoder(nn.Module):
    """content (B, T/2, 160), emotion (B, T/2, 32), level and style (B, T, 3) -> faces (B, T, 52).

    Faces are in standard deviations of speech. Emotion enters each frame by a linear layer, which
    is what EmoTalk's masked cross attention comes to; level and style are one-hot embeddings, style
    all zero where unknown.
    """

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        width = config.width
        self.content = nn.Conv1d(config.content.content, width, 5, padding=2)
        self.emotion = nn.Linear(config.emotion, 48)
        self.level = nn.Linear(len(LEVELS), 16, bias=False)
        self.style = nn.Linear(config.styles, 16, bias=False)
        self.mix = nn.Linear(width + 48 + 32, width)
        self.out = nn.Linear(width, len(ARKIT_52))
        self.drop = nn.Dropout(config.dropout)

    def forward(self, content: Tensor, emotion: Tensor, level: Tensor, style: Tensor) -> Tensor:
        """Fuse."""
        lips = at_sixty(content)
        lips = F.gelu(self.content(self.drop(lips).transpose(1, 2)).transpose(1, 2))
        emotion_features = torch.relu(self.emotion(at_sixty(emotion)))
        x = torch.cat([lips, emotion_features, self.level(level), self.style(style)], dim=2)
        x = lips + F.gelu(self.mix(x))
        faces: Tensor = self.out(self.drop(x))
        return faces


class TeacherOutput(NamedTuple):
    """What a teacher predicts."""

    faces: Tensor
    """(B, T, 52) in standard deviations of speech."""
    visemes: Tensor
    """(B, T, 15) logits of the visemes."""
    emotions: Tensor
    """(B, 8) logits of the emotion of the window."""
    content: Tensor
    """(B, T/2, 160) content features."""


class Teacher(nn.Module):
    """Both encoders and the fusion decoder. Not causal: it takes whole clips."""

    def __init__(self, config: TeacherConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TeacherConfig()
        self.content = ContentEncoder(config.content)
        self.emotion = EmotionEncoder(config)
        self.decoder = FusionDecoder(config)
        self.text = TextBranch(config.content.content, config.emotion) if config.text else None

    @property
    def speech(self) -> int:
        """Length S of the speech encoder's features that it takes beside the mels."""
        return self.config.content.speech

    def forward(
        self,
        content_from: Tensor,
        emotion_from: Tensor,
        level: Tensor,
        style: Tensor,
        text: Tensor | None = None,
    ) -> TeacherOutput:
        """Content of one window, emotion of another, both windows features (B, T, 40 + S).

        The same window twice is EmoTalk's self-reconstruction. ``text`` (B, T, 384) are the
        embeddings of the words of ``content_from``, for a teacher with a text branch.
        """
        content, visemes = self.content(content_from)
        emotion, logits = self.emotion(emotion_from[..., :N_MELS])
        faces = self.decoder(content, emotion, level, style)
        if text is not None:
            assert self.text is not None, "this teacher was made without a text branch"
            faces = faces + self.text(text, at_sixty(content), at_sixty(emotion))
        return TeacherOutput(faces, visemes, logits, content)
