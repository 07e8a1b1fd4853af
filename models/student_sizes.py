"""The sizes of the student's two networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edge.conditioning import ConditioningLayout
from edge.words import VISEMES


@dataclass(frozen=True, slots=True)
class StudentConfig:
    """Sizes of the two networks."""

    lookaheads: tuple[int, ...] = (0, 2, 4, 8)
    """Faces of delay the student was trained for; one set of weights serves all."""
    styles: tuple[str, ...] = ()
    """Captured sources whose habits the face can be asked for by name."""
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
