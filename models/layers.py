"""Causal layers whose memory is an argument: ``y, past = layer(x, past)``.

One forward trains (T frames at a time), streams (T = 1) and exports. Calling with the past that the
last call returned gives the same as one call over everything.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CausalConv(nn.Module):
    """A convolution over time that hears only the past.

    x (B, T, C_in) and past (B, kernel - 1, C_in) -> y (B, T, C_out), new past.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        # A linear layer over stacked taps: TensorRT and ONNX Runtime run one step as one Gemm.
        self.linear = nn.Linear(kernel * channels_in, channels_out)

    def memory(self, batch: int) -> Tensor:
        """The past before anything was heard."""
        channels = self.linear.in_features // self.kernel
        return torch.zeros(batch, self.kernel - 1, channels)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve, and remember the last ``kernel - 1`` frames."""
        seen = torch.cat([past, x], dim=1)  # (B, P + T, C)
        frames = x.shape[1]
        if frames == 1:  # the same numbers, without five slices in the exported graph
            stacked = seen.reshape(len(x), 1, -1)
        else:
            stacked = torch.cat([seen[:, k : k + frames] for k in range(self.kernel)], dim=2)
        return self.linear(stacked), seen[:, frames:]


class Gru(nn.Module):
    """A gated recurrent unit (Cho et al. 2014, in cuDNN's form), its cell written as two Gemms.

    x (B, T, C), hidden (B, H) -> y (B, T, H), hidden. Over many frames torch's own kernel runs; one
    frame is written out, because TensorRT turns a GRU operator into a loop of hundreds of layers.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, hidden, batch_first=True)

    def memory(self, batch: int) -> Tensor:
        """The hidden state before anything was heard."""
        return torch.zeros(batch, self.gru.hidden_size)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Run over the frames of ``x``, starting from ``hidden``."""
        if x.shape[1] > 1:
            y, last = self.gru(x, hidden[None])
            return y, last[0]
        weight_x, weight_h, bias_x, bias_h = self.gru.all_weights[0]
        from_x = F.linear(x[:, 0], weight_x, bias_x)
        hidden = gru_cell(from_x, F.linear(hidden, weight_h, bias_h), hidden)
        return hidden[:, None], hidden


def gru_cell(from_x: Tensor, from_h: Tensor, hidden: Tensor) -> Tensor:
    """One step's gates, given both products (B, 3 H) -> the new hidden state (B, H)."""
    reset_x, update_x, new_x = from_x.chunk(3, dim=1)
    reset_h, update_h, new_h = from_h.chunk(3, dim=1)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return new + update * (hidden - new)
