"""Slow codes sampled from the generator's logits: another face for the same words."""

from __future__ import annotations

import numpy as np

from edge.contract import Floats

SPAN = 8
"""Faces for which a slow code stands (DEEPTalk's upper level, at 60 a second)."""


class CodeSampler:
    """Samples slow codes, seeded, where the networks use the expected code.

    Fast codes stay the expected ones: sampling them as well was measured to double the loss at the
    lips, for faces that differ hardly more (docs/findings.md, sampling).
    """

    def __init__(self, vectors: Floats, temperature: float, seed: int) -> None:
        """``vectors`` (K, D) of the slow codes; ``temperature`` above 0."""
        self._vectors, self._temperature = vectors, np.float32(temperature)
        self._random = np.random.default_rng(seed)
        self._code = vectors[0]

    def sample(self, latent: Floats, logits: Floats, face: int) -> Floats:
        """Put the code of face number ``face`` into the first D of ``latent`` (..., D + D').

        ``logits`` (..., 2 K) begin with the slow level. A code is sampled where its span begins
        and held, as in the codebook. Changes ``latent`` in place and returns it.
        """
        if face % SPAN == 0:
            # The largest of logit plus Gumbel noise is a sample from the softmax.
            noise = self._random.gumbel(size=len(self._vectors)).astype(np.float32)
            slow = logits.reshape(-1)[: len(self._vectors)]
            self._code = self._vectors[int(np.argmax(slow + self._temperature * noise))]
        latent[..., : len(self._code)] = self._code
        return latent
