"""The small streaming student that ships: a generator and a decoder with codes between them.

DEEPTalk's two stages (Kim et al., AAAI 2025), causal and a thousandth of the size. The generator
predicts which slow and which fast code of the codebook (``models/codebook.py``) the face is in and
passes on the expected vectors, beside a detail that no code names: codes alone were measured to
lose the lips of unseen voices. A slow code is predicted for every face, so it adds no delay.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.conditioning import ConditioningLayout
from edge.contract import ARKIT_52
from edge.features import N_MELS
from edge.words import VISEMES
from models.codebook import FAST, SLOW
from models.layers import CausalConv, Gru, LeakyMean

EMOTION_MEAN_FRAMES = 90
"""Time constant of the emotion: 1.5 s, as long as its teacher's window."""


@dataclass(frozen=True, slots=True)
class StudentConfig:
    """Sizes of the two networks."""

    lookaheads: tuple[int, ...] = (0, 2, 4, 8)
    """Faces of delay the student was trained for; one set of weights serves all."""
    styles: tuple[str, ...] = ()
    """Names of the captured talkers whose habits a face can take on."""
    width: int = 160
    """Channels of the convolutional stem."""
    hidden: int = 160
    """Hidden units of each of the generator's two GRUs."""
    shared: int = 64
    """What codes are read from."""
    mood: int = 32
    """What is averaged over 1.5 s for the emotion to be read from; a single frame says little."""
    codes: int = 256
    """Entries of each level of the codebook (``CodebookConfig.codes``)."""
    slow: int = 48
    """Length of a slow code's vector (``CodebookConfig.slow``)."""
    fast: int = 64
    """Length of a fast code's vector (``CodebookConfig.fast``)."""
    detail: int = 56
    """Length of what goes to the decoder beside the codes' vectors."""
    emotion: int = 32
    """Length of an emotion's mean, and of its log-variance (``EmbeddingConfig.size``)."""
    emotions: int = 8
    """Emotions that have a name (``EmbeddingConfig.emotions``)."""
    content: int = 160
    """Length of the teacher's content feature, learned in training only."""
    decoder: int = 80
    """Hidden units of the decoder's GRU."""
    dropout: float = 0.05
    """Of what enters each GRU and the output layers; training only."""
    sampled: float = 0.05
    """Share of the streams whose codes are drawn in training, so that the decoder knows both."""
    visemes: int = len(VISEMES)
    """Classes of the auxiliary head, used in training only."""

    @property
    def layout(self) -> ConditioningLayout:
        """What the numbers of the generator's conditioning mean."""
        return ConditioningLayout(self.lookaheads, self.styles)

    @property
    def control(self) -> int:
        """Length C of the generator's conditioning."""
        return self.layout.size

    @property
    def features(self) -> int:
        """Length of what all outputs are read from: both GRUs, and the conditioning."""
        return 2 * self.hidden + self.control

    def at(self, lookahead: int) -> Tensor:
        """(1, C) conditioning at a look-ahead (faces), with no style and no words."""
        return torch.from_numpy(self.layout.at(lookahead))


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
