"""The small streaming student that ships: a generator and a decoder with codes between them.

DEEPTalk's two stages (Kim et al., AAAI 2025), causal and a thousandth of the size. The generator
predicts which slow and which fast code of the codebook (``models/codebook.py``) the face is in and
passes on the expected vectors, beside a detail that no code names: codes alone were measured to
lose the lips of unseen voices. A slow code is predicted for every face, so it adds no delay.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.decoder import Decoder
from models.generator import Generator, GeneratorOutput
from models.student_sizes import StudentConfig


class AuxOutputs(NamedTuple):
    """What training looks at beside the weights."""

    generator: GeneratorOutput
    visemes: Tensor
    """(B, T, 15) logits of the viseme."""
    content: Tensor
    """(B, T, 160) the teacher's content feature."""


class Student(nn.Module):
    """Generator and decoder together, with the heads that only training uses."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.decoder = Decoder(config)
        self.viseme_head = nn.Linear(config.features, config.visemes)
        self.content_head = nn.Linear(config.features, config.content)
        self.reading = nn.Linear(config.emotion, config.emotions)
        """The teacher's: what the mean of an emotion is called (``codes.npz`` of a bundle)."""

    def name_logits(self, emotion: Tensor) -> Tensor:
        """Logits (..., E) of the names of an emotion (..., 2 x 32), read from its mean alone."""
        logits: Tensor = self.reading(F.normalize(emotion.chunk(2, dim=-1)[0], dim=-1))
        return logits

    def initial_state(self, batch: int = 1) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """State of both networks before the first frame."""
        return self.generator.initial_state(batch), self.decoder.initial_state(batch)

    def forward(
        self,
        mels: Tensor,
        control: Tensor,
        state: tuple[tuple[Tensor, ...], tuple[Tensor, ...]],
    ) -> tuple[Tensor, AuxOutputs, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
        """mels (B, T, 40), control as the generator -> weights (B, T, 52), outputs, state."""
        *before, past = state[0]
        features, generator = self.generator.encode(mels, control, tuple(before))
        out, emotion = self.generator.read(features, past)
        latent = out.latent
        if self.training:
            rows = torch.rand(len(mels), 1, 1) < self.config.sampled
            drawn = self.generator.sample_codes(out.codes)
            mean, detail = latent.split([drawn.shape[2], self.config.detail], dim=2)
            latent = torch.cat([torch.where(rows, drawn, mean), detail], dim=2)
        weights, decoder = self.decoder(latent, state[1])
        aux = AuxOutputs(out, self.viseme_head(features), self.content_head(features))
        return weights, aux, ((*generator, emotion), decoder)
