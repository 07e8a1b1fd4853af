"""The small streaming student that ships: a generator and a decoder, as in DEEPTalk.

Here the latent between them is continuous; both engines already have the shape of the bundle
contract (``edge/bundle.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge.contract import ARKIT_52
from edge.features import N_MELS
from models.layers import CausalConv, Gru


@dataclass(frozen=True, slots=True)
class StudentConfig:
    """Sizes of the two networks."""

    lookaheads: tuple[int, ...] = (0, 2, 4, 8)
    """Faces of delay the student was trained for; one set of weights serves all."""
    width: int = 160
    """Channels of the convolutional stem."""
    hidden: int = 192
    """Hidden units of each of the generator's two GRUs."""
    latent: int = 64
    """What goes from generator to decoder, a face."""
    decoder: int = 96
    """Hidden units of the decoder's GRU."""
    dropout: float = 0.25
    """Of what enters each GRU and the output layers; training only."""
    visemes: int = 15
    """Classes of the auxiliary head, used in training only."""


class Generator(nn.Module):
    """Log-mel frames to a latent face, delayed by the look-ahead.

    mels (B, T, 40), lookahead (B, K) one-hot, state -> latent (B, T, latent), state.
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.hidden
        self.near = CausalConv(N_MELS, width, 5)
        self.wide = CausalConv(width, width, 5)
        self.delay = nn.Linear(len(config.lookaheads), width, bias=False)
        self.slow = Gru(width, hidden)
        self.deep = Gru(hidden, hidden)
        self.out = nn.Linear(hidden + hidden, config.latent)
        self.drop = nn.Dropout(config.dropout)

    def memory(self, batch: int = 1) -> tuple[Tensor, ...]:
        """State before anything was heard, in the order ``forward`` takes it."""
        layers = (self.near, self.wide, self.slow, self.deep)
        return tuple(layer.memory(batch) for layer in layers)

    def forward(
        self, mels: Tensor, lookahead: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run over the frames of ``mels``."""
        near, wide, slow, deep = state
        x, near = self.near(mels, near)
        x = torch.relu(x)
        y, wide = self.wide(x, wide)
        x = torch.relu(x + y + self.delay(lookahead)[:, None])
        x, slow = self.slow(self.drop(x), slow)
        x = self.drop(x)
        y, deep = self.deep(x, deep)
        return self.out(torch.cat([x, self.drop(y)], dim=2)), (near, wide, slow, deep)


class Decoder(nn.Module):
    """Latent faces to ARKit weights in the common range, not yet clamped.

    latent (B, T, latent), state -> weights (B, T, 52), state. Channels nobody captured stay 0.
    """

    spread: Tensor
    """(52,) standard deviation of each shape in speech; 0 for channels that were not learned."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.gru = Gru(config.latent, config.decoder)
        self.out = nn.Linear(config.latent + config.decoder, len(ARKIT_52))
        self.drop = nn.Dropout(config.dropout)
        self.register_buffer("spread", torch.zeros(len(ARKIT_52)))

    def memory(self, batch: int = 1) -> tuple[Tensor, ...]:
        """State before the first face."""
        return (self.gru.memory(batch),)

    def forward(
        self, latent: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run over the frames of ``latent``."""
        latent = self.drop(latent)
        y, hidden = self.gru(latent, state[0])
        return self.out(torch.cat([latent, self.drop(y)], dim=2)) * self.spread, (hidden,)


class Student(nn.Module):
    """Generator and decoder together, with the viseme head that only training uses."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.decoder = Decoder(config)
        self.viseme_head = nn.Linear(config.latent, config.visemes)

    def memory(self, batch: int = 1) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """State of both networks before anything was heard."""
        return self.generator.memory(batch), self.decoder.memory(batch)

    def forward(
        self,
        mels: Tensor,
        lookahead: Tensor,
        state: tuple[tuple[Tensor, ...], tuple[Tensor, ...]],
    ) -> tuple[Tensor, Tensor, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
        """mels (B, T, 40) -> weights (B, T, 52), viseme logits (B, T, 15), state."""
        latent, generator = self.generator(mels, lookahead, state[0])
        weights, decoder = self.decoder(latent, state[1])
        return weights, self.viseme_head(latent), (generator, decoder)
