"""Vectors of codes to ARKit weights: the student's second network."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from edge.contract import ARKIT_52
from models.layers import Gru
from models.student_sizes import StudentConfig


class Decoder(nn.Module):
    """Vectors of codes to ARKit weights in the common range, not yet clamped.

    latent (B, T, 168), or (B, 168) of one frame, state -> weights (B, T, 52), state. Channels
    nobody captured stay 0.
    """

    STATE_NAMES = ("gru",)
    """As ``Generator.STATE_NAMES``."""

    spread: Tensor
    """(52,) standard deviation of each shape in speech; 0 for channels that were not learned."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        latent = config.slow + config.fast + config.detail
        self.gru = Gru(latent, config.decoder)
        self.out = nn.Linear(latent + config.decoder, len(ARKIT_52))
        self.drop = nn.Dropout(config.dropout)
        self.register_buffer("spread", torch.zeros(len(ARKIT_52)))
        self.scaled = True

    def initial_state(self, batch: int = 1) -> tuple[Tensor, ...]:
        """State before the first face."""
        return tuple(getattr(self, name).initial_state(batch) for name in self.STATE_NAMES)

    def forward(
        self, latent: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run over the frames of ``latent``."""
        x = self.drop(latent)
        y, hidden = self.gru(x, state[0])
        weights = self.out(torch.cat([x, self.drop(y)], dim=-1))
        if self.scaled:
            weights = weights * self.spread
        return weights[:, None] if latent.dim() == 2 else weights, (hidden,)

    def fold_spread(self) -> Decoder:
        """A copy with ``spread`` in its last layer: one product less a face, for export."""
        twin = copy.deepcopy(self)
        twin.scaled = False
        with torch.no_grad():
            twin.out.weight.mul_(self.spread[:, None])
            twin.out.bias.mul_(self.spread)
        return twin
