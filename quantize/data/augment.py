"""One clip to another voice in another room saying the same: waveform and mel perturbations.

Two paired speakers are all there is, so the network must learn that pitch, vocal tract, tempo,
microphone, room and noise do not move the lips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.signal import fftconvolve
from torch import Tensor

from edge.contract import SAMPLE_RATE, Floats
from edge.features import N_MELS

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class VoicePerturbation:
    """What one rendition of a clip sounds like."""

    tempo: float = 1.0
    """Speaking rate; 1.2 is faster."""
    pitch: float = 1.0
    """Factor on the fundamental and the formants together."""
    tract: float = 1.0
    """Further factor on the formants alone (``mel_filters(warp)``)."""


def draw_perturbation(rng: Rng) -> VoicePerturbation:
    """Another talker; one rendition in five is the original."""
    if rng.random() < 0.2:
        return VoicePerturbation()
    pitch = float(np.exp(rng.uniform(np.log(0.8), np.log(1.45))))
    # Formants vary less than pitch between people, so the tract undoes most of the shift.
    formant = float(np.exp(rng.uniform(np.log(0.85), np.log(1.22))))
    return VoicePerturbation(float(rng.uniform(0.85, 1.2)), pitch, formant / pitch)


def perturb(samples: Floats, voice: VoicePerturbation) -> Floats:
    """The clip with another tempo and pitch, (n / tempo,) samples. Formants move with the pitch."""
    if voice.tempo == voice.pitch == 1.0:
        return samples
    from python_stretch.Signalsmith import Stretch

    stretch = Stretch()
    stretch.preset(1, SAMPLE_RATE)
    stretch.setTransposeFactor(voice.pitch)
    stretch.setTimeFactor(voice.tempo)
    return np.asarray(stretch.process(samples[None]), np.float32)[0]


@dataclass(frozen=True)
class Rooms:
    """Noises and impulse responses to mix in; either may be empty."""

    noises: Sequence[Floats] = ()
    responses: Sequence[Floats] = ()

    def place(self, samples: Floats, rng: Rng) -> Floats:
        """The clip in some room, with some noise, at some gain."""
        if self.responses and rng.random() < 0.35:
            response = self.responses[int(rng.integers(len(self.responses)))]
            direct = int(np.abs(response).argmax())
            # From the direct sound on: the room may ring, it may not be late.
            samples = fftconvolve(samples, response[direct:])[: len(samples)]
        power = float(np.mean(samples**2)) + 1e-9
        if rng.random() < 0.7:
            noise = self._noise(len(samples), rng)
            snr = rng.uniform(3, 40)
            noise *= np.sqrt(power / (np.mean(noise**2) + 1e-12) / 10 ** (snr / 10))
            samples = samples + noise
        level = rng.normal(-26, 7)
        samples = samples * 10 ** ((level - 10 * np.log10(power)) / 20)
        return np.clip(samples, -1, 1).astype(np.float32)

    def _noise(self, length: int, rng: Rng) -> Floats:
        if self.noises and rng.random() < 0.6:
            noise = self.noises[int(rng.integers(len(self.noises)))]
            return np.resize(np.roll(noise, -int(rng.integers(len(noise)))), length).copy()
        if rng.random() < 0.2:
            return hum(length, rng)
        return coloured_noise(length, rng)


def coloured_noise(length: int, rng: Rng) -> Floats:
    """Steady noise falling by 0 (white, hiss) to 12 dB an octave (fans, traffic)."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    hz = np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), 50)
    return np.fft.irfft(spectrum * hz ** -rng.uniform(0, 2), length).astype(np.float32)


def hum(length: int, rng: Rng) -> Floats:
    """Mains hum: 50 or 60 Hz with falling harmonics."""
    time = np.arange(length) / SAMPLE_RATE
    mains = rng.choice([50, 60])
    tones = [np.sin(2 * np.pi * mains * k * time + rng.uniform(0, 6.28)) / k for k in range(1, 9)]
    return np.sum(tones, axis=0).astype(np.float32)


def perturb_spectrum(mels: Floats, rng: Rng) -> Floats:
    """Another microphone: a smooth curve of up to about 8 dB added over the bands."""
    band = np.linspace(0, 1, N_MELS)
    curve = sum(
        rng.normal(0, 0.15 / k) * np.cos(np.pi * k * band + rng.uniform(0, 6.28)) for k in (1, 2, 3)
    )
    return (mels + np.asarray(curve, np.float32)).astype(np.float32)


def mask_bands(mels: Tensor, widest: int = 6) -> Tensor:
    """Hide up to ``widest`` neighbouring bands of each stream (SpecAugment, Park et al. 2019)."""
    batch, _, bands = mels.shape
    first = torch.randint(bands, (batch, 1))
    width = torch.randint(widest + 1, (batch, 1))
    band = torch.arange(bands)[None]
    hidden = (band >= first) & (band < first + width)  # (B, bands)
    return mels.masked_fill(hidden[:, None], -1.5)
