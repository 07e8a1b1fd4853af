"""Codes drawn from what the generator thinks likely: another face for the same words."""

from __future__ import annotations

import numpy as np

from edge.contract import Floats

SPANS = (8, 2)
"""Faces for which a slow and a fast code stand (DEEPTalk's two levels, at 60 a second)."""


class Codes:
    """Draws codes, seeded, where the networks would pass on the mean over all of them."""

    def __init__(self, vectors: tuple[Floats, Floats], temperature: float, seed: int) -> None:
        """``vectors`` of the slow (K, D) and the fast (K, D') codes; ``temperature`` above 0."""
        self._vectors, self._temperature = vectors, np.float32(temperature)
        self._random = np.random.default_rng(seed)
        self._ends = np.cumsum([len(v) for v in vectors])
        self.latent = np.zeros((1, 1, sum(v.shape[1] for v in vectors)), np.float32)

    def draw(self, logits: Floats, face: int) -> Floats:
        """Latent (1, 1, D + D') of face number ``face`` from logits (1, 1, K + K').

        A code is drawn where its span begins and held, as in the codebook. The array returned is
        the same every time.
        """
        at = 0
        levels = zip(self._vectors, SPANS, np.split(logits[0, 0], self._ends[:-1]), strict=True)
        for vectors, span, chances in levels:
            width = vectors.shape[1]
            if face % span == 0:
                # The largest of log-chance plus Gumbel noise is a draw from the softmax.
                noise = self._random.gumbel(size=len(chances)).astype(np.float32)
                chosen = int(np.argmax(chances + self._temperature * noise))
                self.latent[0, 0, at : at + width] = vectors[chosen]
            at += width
        return self.latent
