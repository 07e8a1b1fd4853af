"""Causal layers whose memory is an argument: ``y, past = layer(x, past)``.

One forward trains (x of T frames, (B, T, C)), streams and exports (x of one frame, (B, C), which
needs no operators to add and drop the axis). Calling with the past that the last call returned
gives the same as one call over everything.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CausalConv(nn.Module):
    """A convolution over time that sees only the past.

    x (B, T, C_in) or (B, C_in) and past (B, (kernel - 1) * C_in) -> y as long as x, new past. Of
    ``beside``, as long as x with channels of its own, only the same frame is seen.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, beside: int = 0) -> None:
        super().__init__()
        self.kernel, self.channels = kernel, channels_in
        # A linear layer over stacked taps: TensorRT and ONNX Runtime run one step as one Gemm.
        self.linear = nn.Linear(kernel * channels_in + beside, channels_out)

    def initial_state(self, batch: int) -> Tensor:
        """The past before the first frame."""
        return torch.zeros(batch, (self.kernel - 1) * self.channels)

    def forward(
        self, x: Tensor, past: Tensor, beside: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Convolve, and remember the last ``kernel - 1`` frames."""
        more = [] if beside is None else [beside]
        if x.dim() == 2:  # flat, because adding and dropping an axis costs operators
            new = torch.cat([past, x], dim=1)[:, self.channels :]
            return self.linear(torch.cat([past, x, *more], dim=1)), new
        frames = x.shape[1]
        seen = torch.cat([past.unflatten(1, (-1, self.channels)), x], dim=1)  # (B, P + T, C)
        stacked = [seen[:, k : k + frames] for k in range(self.kernel)]
        return self.linear(torch.cat([*stacked, *more], dim=2)), seen[:, frames:].flatten(1)


class Gru(nn.Module):
    """A gated recurrent unit (Cho et al. 2014, in cuDNN's form), its cell written as two Gemms.

    x (B, T, C) or (B, C), hidden (B, H) -> y as long as x, hidden. Over many frames torch's own
    kernel runs; one frame is written out, because TensorRT turns a GRU operator into a loop of
    hundreds of layers.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, hidden, batch_first=True)

    def initial_state(self, batch: int) -> Tensor:
        """The hidden state before the first frame."""
        return torch.zeros(batch, self.gru.hidden_size)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Run over the frames of ``x``, starting from ``hidden``."""
        if x.dim() == 3:
            y, last = self.gru(x, hidden[None])
            return y, last[0]
        weight_x, weight_h, bias_x, bias_h = self.gru.all_weights[0]
        from_x = F.linear(x, weight_x, bias_x)
        hidden = gru_cell(from_x, F.linear(hidden, weight_h, bias_h), hidden)
        return hidden, hidden


class LeakyMean(nn.Module):
    """The mean of past frames, older frames counting less and less.

    x (B, T, C) or (B, C), past (B, C) -> means as long as x, past. ``frames`` is the time constant;
    there are no weights.
    """

    def __init__(self, channels: int, frames: float) -> None:
        super().__init__()
        self.channels, self.share = channels, 1 / frames

    def initial_state(self, batch: int) -> Tensor:
        """The mean before the first frame."""
        return torch.zeros(batch, self.channels)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Move the mean along the frames of ``x``."""
        if x.dim() == 2:
            past = past + self.share * (x - past)
            return past, past
        means = []
        for part in x.split(256, dim=1):  # a matrix that grows with the square of the frames
            frame = torch.arange(part.shape[1])
            age = frame[:, None] - frame
            weights = torch.where(age >= 0, self.share * (1 - self.share) ** age.clamp(min=0), 0.0)
            kept = (1 - self.share) ** (frame + 1.0)
            means.append(weights @ part + kept[:, None] * past[:, None])
            past = means[-1][:, -1]
        return torch.cat(means, dim=1), past


def gru_cell(from_x: Tensor, from_h: Tensor, hidden: Tensor) -> Tensor:
    """One step's gates, given both products (B, 3 H) -> the new hidden state (B, H)."""
    units = hidden.shape[1]
    gates_x, new_x = from_x.split([2 * units, units], dim=1)
    gates_h, new_h = from_h.split([2 * units, units], dim=1)
    reset, update = torch.sigmoid(gates_x + gates_h).chunk(2, dim=1)
    new = torch.tanh(new_x + reset * new_h)
    return new + update * (hidden - new)
