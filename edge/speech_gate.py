"""Log-mel features to "is this speech": a small recurrent network, 7,200 weights, in numpy.

Loudness alone cannot tell: hum and an offset are loud, a distant microphone is not, and a held
vowel is as steady as a fan. ``quantize/training/train_speech_gate.py`` makes the weights.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from edge.contract import FPS, Floats

WEIGHTS = Path(__file__).parent / "assets" / "speech_gate.npz"
SCALE = 0.5
"""Of the features, which lie between -4 and 2."""
CERTAIN = 0.35
"""The logit above which it is speech."""
UNLIKELY, LIKELY = -1.9, -1.1
"""Logits between which the mouth is let go by degrees before speech is certain."""
FADE = 0.992
"""A face; the benefit of the doubt is gone after some 6 s."""
HOLD = round(0.1 * FPS)
"""Faces that count as speech after the last that was, beside what the network remembers itself."""


class SpeechGate:
    """Tells speech from silence and from every other sound, one face after another."""

    def __init__(self) -> None:
        self._features, self._memory, self._bias, self._out, self._out_bias = _weights()
        self._hidden = len(self._out)
        self.reset()

    def reset(self) -> None:
        """Begin to listen anew."""
        self._state = np.zeros(self._hidden, np.float32)
        self._hold, self._doubt, self._benefit = 0, 0.0, 1.0
        self.logit = 0.0
        """Of the newest face: above 0 it is rather speech than not."""

    def listen(self, mels: Floats) -> float:
        """Take in one face's features (N_MELS,); how far may the mouth move, 0 to 1?

        1 in speech and just after it. What may be speech to come (lips part and breath is drawn
        before the voice) lets it move in part, for a few seconds, or noise would keep it ajar.
        """
        self.logit = self._step(mels)
        if self.logit > CERTAIN:
            self._hold = HOLD
        elif self._hold:
            self._hold -= 1
        perhaps = min(1.0, max(0.0, (self.logit - UNLIKELY) / (LIKELY - UNLIKELY)))
        self._doubt += (perhaps - self._doubt) * 0.5
        if self._hold:
            self._benefit = 0.0  # what follows is the end of it, not the beginning
            return 1.0
        self._benefit = self._benefit * FADE if perhaps else min(1.0, self._benefit + 1 / FPS)
        return self._doubt * self._benefit

    def speaks(self, mels: Floats) -> bool:
        """As ``listen``; is there speech now, or was there just before?"""
        self.listen(mels)
        return self._hold > 0

    def _step(self, mels: Floats) -> float:
        """A gated recurrent unit (Cho et al. 2014) in PyTorch's order: reset, update, new."""
        n = self._hidden
        heard = self._features @ mels
        heard += self._bias[0]
        past = self._memory @ self._state
        past += self._bias[1]
        gates = heard[: 2 * n] + past[: 2 * n]
        np.tanh(gates, out=gates)  # the rows are halved: a sigmoid of x is (tanh(x / 2) + 1) / 2
        gates *= 0.5
        gates += 0.5
        new = past[2 * n :]
        new *= gates[:n]
        new += heard[2 * n :]
        np.tanh(new, out=new)
        self._state -= new
        self._state *= gates[n:]
        self._state += new
        return float(self._out @ self._state) + self._out_bias


@cache
def _weights() -> tuple[Floats, Floats, Floats, Floats, float]:
    with np.load(WEIGHTS) as file:
        features, memory = SCALE * file["gru.weight_ih_l0"], file["gru.weight_hh_l0"].copy()
        bias = np.stack([file["gru.bias_ih_l0"], file["gru.bias_hh_l0"]])
        out, out_bias = file["out.weight"][0], float(file["out.bias"][0])
    halved = slice(2 * len(out))
    for rows in (features, memory, bias.T):
        rows[halved] *= 0.5
    return features, memory, bias, out, out_bias
