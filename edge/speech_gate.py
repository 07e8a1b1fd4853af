"""Log-mel features to "is this speech": a small recurrent network, 18,700 weights, in numpy.

Loudness alone cannot tell: hum and an offset are loud, a distant microphone is not, and a held
vowel is as steady as a fan. ``quantize/training/train_speech_gate.py`` makes the weights.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from edge.contract import Floats
from edge.features import N_MELS

WEIGHTS = Path(__file__).parent / "assets" / "speech_gate.npz"
SCALE = 0.5
"""Of the features, which lie between -4 and 2."""
OPEN, KEEP = 1.0, 0.0
"""The logit above which speech begins, and above which it goes on."""
UNLIKELY, LIKELY = -4.2, -3.2
"""Before anybody has spoken the mouth moves by degrees between these: lips part before a voice."""
FADE = 0.995
"""A face; of that little is left after 10 s, or noise would keep the mouth ajar."""
NOTHING, SILENT = 0.01, -10.0
"""Bands closer than this are digital silence, whatever its offset; and the logit of that."""
LONG = 120
"""Faces of it after which the network waits: no training stream is silent for minutes."""
HOLD = 7
"""Faces that count as speech after the last that was."""


class NoiseFloor:
    """Follows how loud each band is between sounds.

    Steady noise that no training met is nothing above its own floor.
    """

    FALL, RISE = np.float32(1 / 6), np.float32(1 / 180)
    """A face; a quieter room is known in 0.1 s, a louder one in 3 s."""

    def __init__(self) -> None:
        self._out = np.zeros(2 * N_MELS, np.float32)
        self.reset()

    def reset(self) -> None:
        """The next features are the floor."""
        self._floor: Floats | None = None

    def push(self, mels: Floats) -> Floats:
        """(N_MELS,) -> (2 N_MELS,): the features, then what is above the floor; overwritten."""
        out, above = self._out, self._out[N_MELS:]
        out[:N_MELS] = mels
        if self._floor is None:
            self._floor = mels.copy()
        np.subtract(mels, self._floor, out=above)
        self._floor += np.minimum(above * self.RISE, above * self.FALL)
        return out


class MouthOpening:
    """Logits to how far the mouth may move; opens by degrees, and not for every stop."""

    def __init__(
        self,
        start: float = OPEN,
        keep: float = KEEP,
        unlikely: float = UNLIKELY,
        hold: int = HOLD,
        fade: float = FADE,
    ) -> None:
        self._start, self._keep, self._unlikely = start, keep, unlikely
        self._hold, self._fade = hold, fade
        self._left, self._benefit = 0, 1.0

    @property
    def speaks(self) -> bool:
        """Is there speech now, or was there just before?"""
        return self._left > 0

    def push(self, logit: float) -> float:
        """The newest face's logit to how far the mouth may move, 0 (shut) to 1 (free)."""
        if logit > (self._keep if self._left else self._start):
            self._left = self._hold + 1
        elif self._left:
            self._left -= 1
        if self._left:
            self._benefit = 0.0
            return 1.0
        self._benefit *= self._fade
        doubt = (logit - self._unlikely) / (LIKELY - UNLIKELY)
        return min(1.0, max(0.0, doubt)) * self._benefit


class SpeechGate:
    """Tells speech from silence and from every other sound, one face after another."""

    def __init__(self) -> None:
        self._features, self._memory, self._bias, self._out, self._out_bias = _weights()
        self._hidden = len(self._out)
        self._noise_floor = NoiseFloor()
        self.reset()

    def reset(self) -> None:
        """Begin to listen anew."""
        self._state = np.zeros(self._hidden, np.float32)
        self._noise_floor.reset()
        self._opening, self._silent = MouthOpening(), 0
        self.logit = 0.0
        """Of the newest face: above 0 it is rather speech than not."""

    def listen(self, mels: Floats) -> float:
        """Take in one face's features (N_MELS,); how far may the mouth move, 0 to 1?"""
        silent = mels.max() - mels.min() < NOTHING
        self._silent = self._silent + 1 if silent else 0
        if self._silent < LONG:
            self.logit = self._step(mels)
        if silent:
            self.logit = SILENT
        return self._opening.push(self.logit)

    def speaks(self, mels: Floats) -> bool:
        """As ``listen``; is there speech now, or was there just before?"""
        self.listen(mels)
        return self._opening.speaks

    def _step(self, mels: Floats) -> float:
        """A gated recurrent unit (Cho et al. 2014) in PyTorch's order: reset, update, new."""
        n = self._hidden
        new_input = self._features @ self._noise_floor.push(mels)
        new_input += self._bias[0]
        past = self._memory @ self._state
        past += self._bias[1]
        gates = new_input[: 2 * n] + past[: 2 * n]
        np.tanh(gates, out=gates)  # the rows are halved: a sigmoid of x is (tanh(x / 2) + 1) / 2
        gates *= 0.5
        gates += 0.5
        new = past[2 * n :]
        new *= gates[:n]
        new += new_input[2 * n :]
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
