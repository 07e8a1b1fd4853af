"""Log-mel frames to codes of the face, a detail and an emotion: the student's first network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.features import N_MELS
from models.codebook import FAST, SLOW
from models.layers import CausalConv, Gru, LeakyMean
from models.student_sizes import StudentConfig

EMOTION_MEAN_FRAMES = 90
"""Time constant of the emotion: 1.5 s, as long as its teacher's window."""


class GeneratorOutput(NamedTuple):
    """What the generator predicts from the voice."""

    latent: Tensor
    """(B, T, 48 + 64 + 56) expected vectors of the slow and the fast code, and the detail."""
    codes: Tensor
    """(B, T, 2 x 256) logits of the slow and of the fast code."""
    emotion: Tensor
    """(B, T, 2 x 32) mean and log-variance in the space of ``models/embedding.py``."""


class Generator(nn.Module):
    """Log-mel frames to codes and an emotion, delayed by the look-ahead.

    mels (B, T, 40), control (B, C), state -> ``GeneratorOutput``, state. ``control``, (B, T, C)
    where it changes from face to face, is the conditioning (``edge.conditioning``): look-ahead,
    styles, viseme features. Styles and features that nobody gave are zero and change nothing.
    """

    STATE_NAMES = ("near", "wide", "slow", "deep", "mood")
    """Layers with a state, in its order; a bundle's engines name it ``state.near`` and so on."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.hidden
        self.near = CausalConv(N_MELS, width, 5)
        self.wide = CausalConv(width, width, 3, beside=config.control)
        self.slow = Gru(width, hidden)
        self.deep = Gru(hidden, hidden)
        # One product where two would read the same int8 features: ONNX Runtime fuses only one.
        self.parts = config.shared, config.detail, config.mood
        self.shared = nn.Linear(config.features, sum(self.parts))
        self.codes = nn.Linear(config.shared, 2 * config.codes)
        self.mood = LeakyMean(config.mood, EMOTION_MEAN_FRAMES)
        self.emotion = nn.Linear(config.mood, 2 * config.emotion)
        self.slow_vectors = nn.Linear(config.codes, config.slow, bias=False)
        self.fast_vectors = nn.Linear(config.codes, config.fast, bias=False)
        for vectors in (self.slow_vectors, self.fast_vectors):
            nn.init.normal_(vectors.weight)
        self._layout = config.layout
        with torch.no_grad():  # words come last (``quantize.training.student_conditioning``)
            for weight in self.conditioned_weights():
                self.conditioning_columns(weight).zero_()
        self.drop = nn.Dropout(config.dropout)

    def conditioned_weights(self) -> tuple[Tensor, Tensor]:
        """The weights whose last columns read style and words."""
        return self.wide.linear.weight, self.shared.weight

    def conditioning_columns(self, weight: Tensor) -> Tensor:
        """Those columns (outputs, S + L) of such a weight, or of its gradient."""
        return weight[:, -self._layout.size :][:, self._layout.optional]

    def initial_state(self, batch: int = 1) -> tuple[Tensor, ...]:
        """State before the first frame, in the order ``forward`` takes it."""
        return tuple(getattr(self, name).initial_state(batch) for name in self.STATE_NAMES)

    def forward(
        self, mels: Tensor, control: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[GeneratorOutput, tuple[Tensor, ...]]:
        """Run over the frames of ``mels``; of one alone the outputs have no T."""
        alone = mels.shape[1] == 1
        if alone and control.dim() == 3:
            control = control[:, 0]
        features, encoded = self.encode(mels[:, 0] if alone else mels, control, state[:-1])
        out, emotion = self.read(features, state[-1])
        return out, (*encoded, emotion)

    def encode(
        self, mels: Tensor, control: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Everything but the outputs: features (B, T, F), state without that of ``mood``.

        mels (B, T, 40) and control (B, C) or (B, T, C); or mels (B, 40) for one frame, which gives
        features (B, F).
        """
        if control.dim() < mels.dim():
            control = control[:, None].expand(-1, mels.shape[1], -1)
        near, wide, slow, deep = state
        x, near = self.near(mels, near)
        x = torch.relu(x)
        y, wide = self.wide(x, wide, control)
        x = torch.relu(x + y)
        x, slow = self.slow(self.drop(x), slow)
        x = self.drop(x)
        y, deep = self.deep(x, deep)
        return torch.cat([x, self.drop(y), control], dim=-1), (near, wide, slow, deep)

    def read(self, features: Tensor, past: Tensor) -> tuple[GeneratorOutput, Tensor]:
        """The outputs from features, and the state of ``mood`` after them."""
        shared, detail, current = self.shared(features).split(self.parts, dim=-1)
        if self.training:
            # The emotion makes do with what the lips need: its gradient would cost them more than
            # it gains, because few voices have an emotion at all.
            rows = slice(-self.parts[2], None)
            current = F.linear(features.detach(), self.shared.weight[rows], self.shared.bias[rows])
        mean, past = self.mood(torch.relu(current), past)
        codes = self.codes(torch.relu(shared))
        slow, fast = codes.chunk(2, dim=-1)
        latent = torch.cat([*self.vectors(slow.softmax(-1), fast.softmax(-1)), detail], dim=-1)
        return GeneratorOutput(latent, codes, self.emotion(mean)), past

    def vectors(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        """Chances of the codes, (..., 256) each, to expected vectors (..., 48) and (..., 64)."""
        return self.slow_vectors(slow), self.fast_vectors(fast)

    def sample_codes(self, codes: Tensor) -> Tensor:
        """Vectors (B, T, 112) of codes drawn by their logits, each held over its span.

        The gradient passes through the chances (straight-through Gumbel, Jang et al. 2017).
        """
        chosen = []
        for logits, span in zip(codes.chunk(2, dim=2), (SLOW, FAST), strict=True):
            hard = F.gumbel_softmax(logits, hard=True)
            start = torch.arange(hard.shape[1]) // span * span
            chosen.append(hard[:, start])
        return torch.cat(self.vectors(*chosen), dim=2)
