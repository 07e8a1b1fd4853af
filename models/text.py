"""What the words add to the upper face: the idea of Joint Audio-Text, the architecture ours.

Fan et al. (Joint Audio-Text Model for Expressive Speech-Driven 3D Facial Animation, PACMCGIT 2022)
give contextual text embeddings to a speech-driven face, because sound alone does not settle the
upper half. Their architecture is not published. Ours: embeddings of the words on the faces where
they are spoken, a small projection, and a gate that voice and emotion open or close.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.contract import ARKIT_52, INDEX

UPPER = [i for name, i in INDEX.items() if name.startswith(("brow", "eye", "cheek", "nose"))]
"""The shapes that words may move; lips follow the sound alone."""

EMBEDDING = 384
"""Length of a word's embedding (all-MiniLM-L6-v2)."""

DROPPED = 0.5
"""Share of clips that train without their words: a live microphone has none."""


class TextBranch(nn.Module):
    """words (B, T, 384), content (B, T, 160), emotion (B, T, 32) -> offset (B, T, 52).

    All at 60 a second. A face without a word has zeros, and so has a clip without a text: no layer
    between words and offset has a bias, so the offset is exactly 0 farther than ``REACH`` from a
    word, and everywhere else but in ``UPPER``.
    """

    REACH = 15
    """Faces (a quarter of a second) that a word acts before and after it is spoken."""

    def __init__(self, content: int, emotion: int, width: int = 32) -> None:
        super().__init__()
        self.project = nn.Linear(EMBEDDING, width, bias=False)
        self.around = nn.Conv1d(
            width, width, 2 * self.REACH + 1, padding=self.REACH, groups=width, bias=False
        )
        self.gate = nn.Linear(content + emotion + width, width)
        self.out = nn.Linear(width, len(UPPER), bias=False)
        # As the published controls of frozen networks begin: with no offset at all.
        nn.init.zeros_(self.out.weight)

    def forward(self, words: Tensor, content: Tensor, emotion: Tensor) -> Tensor:
        """Weigh the words by the voice; in training half of the clips are left without."""
        if self.training:
            words = words * (torch.rand(len(words), 1, 1) >= DROPPED)
        around = self.around(self.project(words).transpose(1, 2)).transpose(1, 2)
        gate = torch.sigmoid(self.gate(torch.cat([content, emotion, around], dim=2)))
        upper = self.out(gate * F.gelu(around))
        offset = upper.new_zeros(*upper.shape[:2], len(ARKIT_52))
        return offset.index_copy(2, torch.tensor(UPPER), upper)
