"""Samples at any rate to samples at 16 kHz, streaming, with a delay of about 2 ms.

A Kaiser-windowed sinc in polyphase form. The library soxr was measured first: its streaming
filters hold back 20 ms (LQ) to 40 ms (HQ) of audio, a face or two of delay that this one avoids.
"""

from __future__ import annotations

from math import ceil, gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edge.contract import SAMPLE_RATE, Floats

PASS = 0.88
"""Fraction of the lower Nyquist frequency that passes (7.0 kHz of 8)."""

BETA = 5.65
"""Kaiser window's beta for 60 dB of stop-band attenuation."""


class Resampler:
    """Turns a stream at ``rate`` into 16 kHz; bit-identical for any cutting into blocks.

    Output sample ``n`` belongs to the time of input sample ``n * rate / 16000``: the filter makes
    the stream late, never shifted.
    """

    def __init__(self, rate: int) -> None:
        divisor = gcd(rate, SAMPLE_RATE)
        self._up, self._down = SAMPLE_RATE // divisor, rate // divisor
        lower = min(rate, SAMPLE_RATE) / 2
        # Kaiser's estimate of the length for a transition band of (1 - PASS) * lower.
        self._half = ceil((60 - 8) / (2.285 * 2 * np.pi * (1 - PASS) * lower / rate) / 2)
        reach = np.arange(-self._half, self._half + 1)
        phase = np.arange(self._up)[:, None] / self._up
        time = reach - phase  # (phases, taps), in input samples
        cutoff = (1 + PASS) / 2 * lower * 2 / rate
        window = np.i0(BETA * np.sqrt(np.maximum(0, 1 - (time / (self._half + 1)) ** 2)))
        taps = np.sinc(cutoff * time) * window
        self._taps = (taps / taps.sum(1, keepdims=True)).astype(np.float32)
        self._input = np.zeros(self._half, np.float32)
        self._start = -self._half  # input index of self._input[0]
        self._done = 0  # output samples made

    @property
    def delay(self) -> float:
        """Seconds of audio that the filter waits for."""
        return self._half * self._up / self._down / SAMPLE_RATE

    def push(self, samples: Floats) -> Floats:
        """Resample one block; returns as many 16 kHz samples as can be known by now."""
        self._input = np.concatenate([self._input, samples])
        known = self._start + len(self._input)
        # The last output whose taps are all known: n * down // up + half < known.
        last = ((known - self._half) * self._up - 1) // self._down
        n = np.arange(self._done, max(self._done, last + 1))
        if not len(n):
            return np.zeros(0, np.float32)
        centre, phase = np.divmod(n * self._down, self._up)
        heard = sliding_window_view(self._input, 2 * self._half + 1)[
            centre - self._half - self._start
        ]
        # A row-by-row sum: a matrix product would round differently for other block sizes.
        out: Floats = (heard * self._taps[phase]).sum(axis=1, dtype=np.float32)
        self._done = int(n[-1]) + 1
        keep = self._done * self._down // self._up - self._half - self._start
        self._input, self._start = self._input[keep:], self._start + keep
        return out

    def skip_to(self, start: int) -> int:
        """Go on at input sample ``start`` after lost audio; returns the next output index.

        Without a gap this changes nothing. After one, the lost time is left out of the output.
        """
        known = self._start + len(self._input)
        if start > known:
            self._input = np.zeros(self._half, np.float32)
            self._start = start - self._half
            self._done = max(self._done, -(-start * self._up // self._down))
        return self._done

    def flush(self) -> Floats:
        """The samples still held back, as if silence followed."""
        return self.push(np.zeros(self._half, np.float32))
