"""Speech to content, whoever speaks: EmoTalk's content encoder (Peng et al., ICCV 2023), small.

EmoTalk takes wav2vec2-large (315 M parameters, trained on thousands of hours). Ours is 3 M
ConvNeXt blocks (Liu et al. 2022) over log-mel frames, trained on 270 voices to classify the viseme,
also where the sound was masked (HuBERT's task, Hsu et al. 2021, with aligned phones as the
classes). Beside the mels it may take the features of a ready-made recogniser, frozen as EmoTalk's.
It sees the past and the future, about a second of each; teachers need not stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.features import N_MELS


@dataclass(frozen=True, slots=True)
class ContentConfig:
    """Sizes of the encoder."""

    width: int = 224
    blocks: int = 8
    hidden: int = 128
    """Hidden units of the recurrent layer, in each direction."""
    content: int = 160
    """Length of a content feature."""
    visemes: int = 15
    dropout: float = 0.15
    speech: int = 0
    """Length of the speech encoder's features beside the mels; 0: mels alone."""


class Block(nn.Module):
    """One ConvNeXt block over time: depthwise convolution, then a small network a frame.

    x (B, T, C) -> (B, T, C).
    """

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.over_time = nn.Conv1d(
            width, width, 7, padding=3 * dilation, dilation=dilation, groups=width
        )
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the block computes from the neighbourhood."""
        y = self.over_time(x.transpose(1, 2)).transpose(1, 2)
        y = self.down(F.gelu(self.up(self.norm(y))))
        return x + self.scale * self.drop(y)


class ContentEncoder(nn.Module):
    """features (B, T, 40 + S), T even -> content (B, T/2, 160) at 30 a second, visemes (B, T, 15).

    Mels, then S values of a speech feature; visemes are logits.
    """

    def __init__(self, config: ContentConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ContentConfig()
        width, hidden = config.width, config.hidden
        self.stem = nn.Conv1d(N_MELS, width, 5, padding=2)
        self.pair = nn.Linear(2 * width, width)
        if config.speech:
            self.speech_norm = nn.LayerNorm(config.speech)
            self.speech = nn.Linear(config.speech, width)
        self.blocks = nn.ModuleList(
            Block(width, (1, 2, 4)[i % 3], config.dropout) for i in range(config.blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.recurrent = nn.GRU(width, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(width + 2 * hidden, config.content)
        self.viseme_head = nn.Linear(config.content, config.visemes)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Encode whole clips."""
        mels, speech = features.split([N_MELS, self.config.speech], dim=2)
        x = F.gelu(self.stem(mels.transpose(1, 2)).transpose(1, 2))
        x = F.gelu(self.pair(x.reshape(len(x), x.shape[1] // 2, -1)))
        if self.config.speech:
            known = self.speech_norm((speech[:, ::2] + speech[:, 1::2]) / 2)
            x = alone(x, self.training) + self.speech(self.drop(known))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        y, _ = self.recurrent(self.drop(x))
        content = self.out(self.drop(torch.cat([x, y], dim=2)))
        return content, at_sixty(self.viseme_head(content))


def alone(x: Tensor, training: bool, share: float = 1 / 3) -> Tensor:
    """x (B, T, C), all zero in ``share`` of the batch while training.

    So that the network learns to use what stands beside it alone: mels tell voices apart, which
    does not help with an unseen voice.
    """
    return x * (torch.rand(len(x), 1, 1) >= share) if training else x


def at_sixty(x: Tensor) -> Tensor:
    """Frames at 30 a second to faces at 60, linearly: (B, T, C) -> (B, 2 T, C)."""
    return F.interpolate(
        x.transpose(1, 2), scale_factor=2.0, mode="linear", align_corners=False
    ).transpose(1, 2)
