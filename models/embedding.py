"""Speech and faces to emotion: DEEPTalk's DEE, one probabilistic space for both.

Two encoders put a window of speech and a window of facial motion on the same sphere, each as a mean
and a log-variance: a window that could be two emotions gets a wide one. Loss: the closed-form
sampled distance of PCME++ (Chun, ICLR 2024), as in DEEPTalk.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.contract import ARKIT_52
from edge.features import N_MELS
from models.content import Block


@dataclass(frozen=True, slots=True)
class EmbeddingConfig:
    """Sizes of both encoders."""

    size: int = 32
    """Length of an embedding."""
    width: int = 96
    blocks: int = 4
    emotions: int = 8
    """Classes of the auxiliary head (EmoTalk's L_cls)."""
    dropout: float = 0.3


class Encoder(nn.Module):
    """A window (B, T, C) -> mean (B, D) on the unit sphere, log-variance (B, D).

    Pools by mean, deviation and maximum over time, where DEEPTalk sorts (GPO).
    """

    def __init__(self, channels: int, stride: int, config: EmbeddingConfig) -> None:
        super().__init__()
        width = config.width
        self.stem = nn.Conv1d(channels, width, 2 * stride + 1, stride=stride, padding=stride)
        self.blocks = nn.ModuleList(
            Block(width, 2**i, config.dropout) for i in range(config.blocks)
        )
        self.mean, self.log_variance = (nn.Linear(3 * width, config.size) for _ in range(2))
        self.drop = nn.Dropout(config.dropout)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, -4.0)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Embed windows of any length."""
        x = F.gelu(self.stem(window.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        pooled = self.drop(torch.cat([x.mean(1), x.std(1), x.amax(1)], dim=1))
        return F.normalize(self.mean(pooled), dim=1), self.log_variance(pooled)


class Embedding(nn.Module):
    """Both encoders, the distance's scale, and a linear reading of the emotion."""

    def __init__(self, config: EmbeddingConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EmbeddingConfig()
        self.speech = Encoder(N_MELS, 3, config)
        self.face = Encoder(len(ARKIT_52), 3, config)
        self.read = nn.Linear(config.size, config.emotions)
        self.a, self.b = nn.Parameter(torch.tensor(5.0)), nn.Parameter(torch.tensor(5.0))

    def forward(self, speech: Tensor, face: Tensor, same: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Windows of both kinds, and which agree (B, B), to loss and both sides' emotion logits.

        DEEPTalk's loss: twice the cross entropy of every pair, and 1e-6 of the divergence.
        """
        from_speech, from_face = self.speech(speech), self.face(face)
        pairs = F.binary_cross_entropy_with_logits(self.match(from_speech, from_face), same)
        loss = 2 * pairs + 1e-6 * (divergence(*from_speech) + divergence(*from_face))
        return loss, self.read(from_speech[0]), self.read(from_face[0])

    def match(self, x: tuple[Tensor, Tensor], y: tuple[Tensor, Tensor]) -> Tensor:
        """Logits (B, B') that window i of ``x`` and j of ``y`` carry the same emotion.

        -a d + b, with d = |mu_i - mu_j|² + sum(var_i) + sum(var_j) (PCME++ eq. 2).
        """
        spread = x[1].exp().sum(1)[:, None] + y[1].exp().sum(1)[None]
        return self.b - self.a * (torch.cdist(x[0], y[0]) ** 2 + spread)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the standard normal, mean over all entries."""
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean()


def sample(
    mean: Tensor,
    log_variance: Tensor,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """A point of the distribution, on the sphere again; temperature 0 gives the mean."""
    noise = torch.randn(mean.shape, generator=generator)
    return F.normalize(mean + noise * (0.5 * log_variance).exp() * temperature, dim=-1)
