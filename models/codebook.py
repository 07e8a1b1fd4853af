"""Motion of the face as two levels of codes: DEEPTalk's TH-VQVAE (Kim et al., AAAI 2025).

A slow code names 8 faces (7.5 a second), a fast one 2 (30 a second). The encoder may look ahead;
the decoder is causal, so it streams and becomes an engine. Works on ARKit weights in standard
deviations of speech, where the paper works on FLAME parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.contract import ARKIT_52
from models.layers import CausalConv

SLOW, FAST = 8, 2
"""Faces that one code of each level spans."""


@dataclass(frozen=True, slots=True)
class CodebookConfig:
    """Sizes of the autoencoder."""

    codes: int = 256
    """Entries of each level; 8 bits."""
    slow: int = 48
    """Length of a slow code's vector."""
    fast: int = 64
    """Length of a fast code's vector."""
    width: int = 128


class Quantizer(nn.Module):
    """The nearest of K vectors, which follow what they stand for (van den Oord et al. 2017).

    x (B, T, D) -> quantised (B, T, D), indices (B, T), commitment loss. Dead codes are revived as
    in moshi (Défossez et al. 2024): one used less than a tenth of the average takes the place of a
    random input *and* an average share of its count; without the count it dies again at once.
    """

    vectors: Tensor
    usage: Tensor

    def __init__(self, codes: int, size: int, decay: float = 0.98) -> None:
        super().__init__()
        self.decay, self.dead, self.patience = decay, 0.1, 5
        self.until_check = 0
        self.register_buffer("vectors", torch.zeros(codes, size))
        self.register_buffer("usage", torch.zeros(codes))

    def lookup(self, indices: Tensor) -> Tensor:
        """The vectors of indices (...) -> (..., D)."""
        return F.embedding(indices, self.vectors)

    def nearest(self, x: Tensor) -> Tensor:
        """Index of the nearest vector by squared distance, (B, T, D) -> (B, T)."""
        far = (self.vectors**2).sum(1) - 2 * x.detach() @ self.vectors.T
        return far.argmin(-1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise; in training also move the vectors. The gradient passes straight through."""
        if self.training and not bool(self.usage.any()):
            self._seed(x.detach().flatten(0, 1))
        indices = self.nearest(x)
        if self.training:
            self._follow(x.detach().flatten(0, 1), indices.flatten())
        chosen = self.lookup(indices)
        commitment = F.mse_loss(x, chosen)
        return x + (chosen - x).detach(), indices, commitment

    @torch.no_grad()
    def _seed(self, x: Tensor) -> None:
        self.vectors.copy_(x[torch.randint(len(x), (len(self.vectors),))])
        self.usage.fill_(len(x) / len(self.vectors))

    @torch.no_grad()
    def _follow(self, x: Tensor, indices: Tensor) -> None:
        chosen = F.one_hot(indices, len(self.vectors)).to(x.dtype)  # (N, K)
        sums = self.vectors * self.usage[:, None]
        self.usage.lerp_(over_all(chosen.sum(0)), 1 - self.decay)
        sums.lerp_(over_all(chosen.T @ x), 1 - self.decay)
        self.until_check -= 1
        if self.until_check <= 0:
            self.until_check = self.patience
            share = self.usage.mean()
            dead = self.usage < self.dead * share
            fresh = x[torch.randint(len(x), (len(self.vectors),))]
            sums = torch.where(dead[:, None], share * fresh, sums)
            self.usage.copy_(torch.where(dead, share, self.usage))
        self.vectors.copy_(sums / self.usage[:, None].clamp(min=1e-5))


def over_all(x: Tensor) -> Tensor:
    """The sum over all processes of a distributed run; ``x`` itself in a single one."""
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(x)
    return x


class Residual(nn.Module):
    """x + conv(relu(conv(relu x))) over time, not causal. x (B, C, T) -> (B, C, T)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Look ``dilation`` frames to both sides."""
        y: Tensor = self.second(F.gelu(self.first(F.gelu(x))))
        return x + y


class FaceDecoder(nn.Module):
    """Code vectors to faces, causal and streaming: what the student's decoder engine runs.

    slow (B, T, 48), fast (B, T, 64), each code's vector repeated over its span, and phase
    (B, T, 8), one-hot place in the slow span -> faces (B, T, 52) in standard deviations, state.
    """

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        width = config.width
        self.near = CausalConv(config.slow + config.fast + SLOW, width, 5)
        self.wide = CausalConv(width, width, 5)
        self.out = nn.Linear(width, len(ARKIT_52))

    def initial_state(self, batch: int = 1) -> tuple[Tensor, ...]:
        """State before the first face."""
        return self.near.initial_state(batch), self.wide.initial_state(batch)

    def forward(
        self, slow: Tensor, fast: Tensor, phase: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run over the faces of the vectors given."""
        near, wide = state
        x, near = self.near(torch.cat([slow, fast, phase], dim=2), near)
        x = torch.relu(x)
        y, wide = self.wide(x, wide)
        return self.out(torch.relu(x + y)), (near, wide)


class Codebook(nn.Module):
    """The autoencoder: faces (B, T, 52) in standard deviations, T a multiple of 8."""

    def __init__(self, config: CodebookConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CodebookConfig()
        width = config.width
        self.encode_fast = nn.Sequential(
            nn.Conv1d(len(ARKIT_52), width, 4, stride=FAST, padding=1),
            Residual(width, 1),
            Residual(width, 3),
        )
        self.encode_slow = nn.Sequential(
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            Residual(width, 1),
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            Residual(width, 1),
            Residual(width, 3),
        )
        self.to_slow = nn.Conv1d(width, config.slow, 1)
        self.slow_seen = nn.Conv1d(config.slow, width, 1)
        self.to_fast = nn.Conv1d(2 * width, config.fast, 1)
        self.slow, self.fast = (
            Quantizer(config.codes, config.slow),
            Quantizer(config.codes, config.fast),
        )
        self.decoder = FaceDecoder(config)

    def forward(self, faces: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Through both codebooks and back: faces, codes (slow (B, T/8), fast (B, T/2)), loss."""
        fine = self.encode_fast(faces.transpose(1, 2))  # (B, W, T/2)
        coarse = self.encode_slow(fine)  # (B, W, T/8)
        slow, slow_codes, slow_off = self.slow(self.to_slow(coarse).transpose(1, 2))
        known = self.slow_seen(slow.transpose(1, 2)).repeat_interleave(SLOW // FAST, dim=2)
        both = torch.cat([known, fine], dim=1)
        fast, fast_codes, fast_off = self.fast(self.to_fast(both).transpose(1, 2))
        decoded, _ = self.decode(slow, fast)
        return decoded, (slow_codes, fast_codes), slow_off + fast_off

    def decode(
        self, slow: Tensor, fast: Tensor, state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Vectors of codes, (B, T/8, 48) and (B, T/2, 64), to faces (B, T, 52) and state."""
        slow = slow.repeat_interleave(SLOW, dim=1)
        fast = fast.repeat_interleave(FAST, dim=1)
        place = torch.arange(slow.shape[1], device=slow.device) % SLOW
        phase = F.one_hot(place, SLOW).to(slow.dtype).expand(len(slow), -1, -1)
        faces, state = self.decoder(
            slow, fast, phase, state or self.decoder.initial_state(len(slow))
        )
        return faces, state
