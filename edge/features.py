"""Audio samples to one log-mel vector a face. Training imports this file too, so both always agree.

Mel scale after O'Shaughnessy (HTK's formula); the framing is causal and placed by integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from edge.contract import SAMPLE_RATE, Floats, face_end, faces_within

WINDOW = 400
"""Samples a mel vector hears (25 ms)."""

FFT = 512
N_MELS = 40
LOW_HZ, HIGH_HZ = 60.0, 7000.0

QUIET_DB = -100.0
"""Power floor of a mel band; digital silence lands here."""

SPREAD_DB = 20.0
LOW, HIGH = np.float32(-4.0), np.float32(2.0)
"""Features are in units of ``SPREAD_DB`` above the voice's loudness, and cut to this range."""


def mel_filters(warp: float = 1.0) -> Floats:
    """Triangular filters (N_MELS, FFT // 2 + 1) of unit peak.

    ``warp`` scales the frequency axis: 1.1 makes a voice sound as if its vocal tract were 10 %
    shorter. Vocal tract length perturbation (Jaitly and Hinton 2013) for training.
    """
    mel = np.linspace(_mel(LOW_HZ), _mel(HIGH_HZ), N_MELS + 2)
    edges = 700.0 * (10.0 ** (mel / 2595.0) - 1.0) / warp
    hz = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (hz - low) / (mid - low), (high - hz) / (high - mid)
    return np.maximum(0.0, np.minimum(rise, fall)).astype(np.float32)


def _mel(hz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hz / 700.0))


class Loudness:
    """Follows how loud the speech is, so that a whisper and a shout give the same features.

    A kiosk has no "whole clip" to normalise by. The estimate starts low, rises in a few faces and
    falls slowly, and hardly at all in a pause, where falling would only amplify the noise.
    """

    START_DB = -45.0
    FLOOR_DB = -55.0
    RISE = 1 / 6
    """A face; 100 ms to follow a louder voice."""
    FALL = 1 / 180
    """A face; 3 s to follow a softer voice."""
    PAUSE_FALL = 1 / 3600
    PAUSE_DB = 20.0
    """This far below the estimate counts as a pause."""

    def __init__(self) -> None:
        self.db = self.START_DB

    def follow(self, now_db: float) -> float:
        """Take in one face's loudness (dBFS) and return the estimate of the voice's level."""
        gap = now_db - self.db
        rate = self.RISE if gap > 0 else self.FALL if gap > -self.PAUSE_DB else self.PAUSE_FALL
        self.db = max(self.FLOOR_DB, self.db + rate * gap)
        return self.db


class Features:
    """Cuts a stream into faces and describes each, whatever the block size.

    Each face is computed on its own from the same 400 samples, so the result is bit-identical for
    any cutting of the same audio.
    """

    def __init__(self, filters: Floats | None = None) -> None:
        filters = mel_filters() if filters is None else filters
        # The periodic Hann window; its square sum makes a full-scale sine read about 0 dB.
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
        self._hann = hann.astype(np.float32)
        self._mean = (hann / hann.sum()).astype(np.float32)
        gain = np.float32(4.0 / hann.sum() ** 2)
        # Each column twice, because a spectrum is real and imaginary parts in turn: power and
        # filters are then one square and one product. Counting numpy calls pays here.
        self._filters = np.repeat(filters * gain, 2, axis=1)
        self._floor = np.float32(10 ** (QUIET_DB / 10))
        self.reset(0)

    def reset(self, at: int) -> None:
        """Start again at sample ``at``; what came before is taken for constant."""
        self._tail: Floats | None = None
        self._loudness = Loudness()
        self.next = at
        """Sample index expected next."""
        self.face = faces_within(at)

    def push(self, samples: Floats) -> Iterator[tuple[int, Floats, float]]:
        """Every face these samples complete: (face index, (N_MELS,) features, level in dBFS).

        Features are bands in units of 20 dB relative to the running loudness, clipped to [-4, 2].
        """
        if not len(samples):
            return
        if self._tail is None:
            # Zeros before a stream with a constant offset would be a step, heard as a click.
            self._tail = np.full(WINDOW, samples[0], np.float32)
        audio = np.concatenate([self._tail, samples])
        first = self.next - WINDOW
        self.next += len(samples)
        while (end := face_end(self.face)) <= self.next:
            heard = audio[end - first - WINDOW : end - first]
            bands, level = self._describe(heard)
            yield self.face, bands, level
            self.face += 1
        self._tail = audio[len(audio) - WINDOW :]

    def _describe(self, heard: Floats) -> tuple[Floats, float]:
        # A constant offset is no sound; weighted like this, a voice's lowest tones stay whole.
        heard = heard - np.dot(heard, self._mean)
        # numpy before 2.0 answers in double precision.
        spectrum = np.fft.rfft(heard * self._hann, FFT).astype(np.complex64, copy=False)
        parts: Floats = spectrum.view(np.float32)
        bands = self._filters @ np.multiply(parts, parts, out=parts)
        bands += self._floor
        level = 10.0 * math.log10(float(np.dot(heard, heard)) / WINDOW + 1e-12)
        np.log10(bands, out=bands)
        bands *= 10.0 / SPREAD_DB
        bands -= self._loudness.follow(level) / SPREAD_DB
        np.maximum(bands, LOW, out=bands)
        return np.minimum(bands, HIGH, out=bands), level
