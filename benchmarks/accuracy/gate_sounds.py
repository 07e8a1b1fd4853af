"""Sounds that the speech gate is judged on, made otherwise than those that it learned from.

``quantize.data.made_sounds`` makes the training's; nothing in here calls it, and nothing was
chosen by what is in here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edge.contract import SAMPLE_RATE, Floats

Rng = np.random.Generator


def at_level(sound: Floats, db: float) -> Floats:
    """The sound with its loud parts (95 % of 25 ms) at an RMS in dBFS."""
    power = np.add.reduceat(sound**2, np.arange(0, len(sound), 400)) / 400
    gain = 10 ** (db / 20) / np.sqrt(np.percentile(power, 95) + 1e-12)
    return np.asarray(sound * gain, np.float32)


def tone(hz: float, length: int, amplitude: float) -> Floats:
    """A sine."""
    wave = amplitude * np.sin(2 * np.pi * hz * np.arange(length) / SAMPLE_RATE)
    return wave.astype(np.float32)


def calm_breath(length: int, rng: Rng) -> Floats:
    """Somebody breathing at rest: in for a second, out for longer, through one vocal tract.

    White noise through an all-pole tube of four wide resonances, in higher and thinner than out.
    """
    out, at = np.zeros(length, np.float32), SAMPLE_RATE // 2
    tract = rng.uniform(0.85, 1.2)
    while at < length:
        for seconds, shift, gain in ((rng.uniform(0.7, 1.3), 1.15, 0.7), (1.6, 1.0, 1.0)):
            n = min(round(seconds * SAMPLE_RATE), length - at)
            if n < 2:
                break
            poles = np.ones(1)
            for hz, width in ((520, 250), (1480, 300), (2500, 400), (3500, 500)):
                radius = np.exp(-np.pi * width / SAMPLE_RATE)
                angle = 2 * np.pi * hz * tract * shift / SAMPLE_RATE
                poles = np.convolve(poles, [1, -2 * radius * np.cos(angle), radius**2])
            swell = np.sin(np.pi * np.linspace(0, 1, n)) ** 1.5
            spectrum = np.fft.rfft(rng.standard_normal(n))
            spectrum /= np.polyval(poles, np.exp(2j * np.pi * np.fft.rfftfreq(n)))
            noise = np.fft.irfft(spectrum, n) * swell
            out[at : at + n] = gain * noise / np.sqrt(np.mean(noise**2) + 1e-12)
            at += n + round(rng.uniform(0.1, 0.4) * SAMPLE_RATE)
        at += round(rng.uniform(0.5, 1.2) * SAMPLE_RATE)
    return out


def sung_vowel(length: int, pitch: float, formants: tuple[float, float, float]) -> Floats:
    """Harmonics of one steady note under three formants; nothing in it ever changes."""
    time, out = np.arange(length) / SAMPLE_RATE, np.zeros(length)
    for k in range(1, int(4000 // pitch)):
        gain = sum(1 / (1 + ((k * pitch - hz) / 120) ** 2) for hz in formants) + 0.02
        out += gain / k**0.5 * np.sin(2 * np.pi * k * pitch * time + k * k)
    return out.astype(np.float32)


def keystrokes(length: int, rng: Rng) -> Floats:
    """Somebody typing: bursts of 5 to 20 ms, down and up, some seven a second."""
    out, at = np.zeros(length, np.float32), 0
    while (at := at + round(rng.uniform(0.06, 0.25) * SAMPLE_RATE)) < length - 2000:
        for gain, after in ((1.0, 0), (0.4, round(rng.uniform(0.04, 0.08) * SAMPLE_RATE))):
            n = round(rng.uniform(0.005, 0.02) * SAMPLE_RATE)
            burst = rng.standard_normal(n) * np.exp(-np.arange(n) / (n / 3))
            out[at + after : at + after + n] += (gain * np.diff(burst, prepend=0)).astype(
                np.float32
            )
    return out


def conditions(noises: Sequence[Floats]) -> dict[str, Callable[[Floats, int], Floats]]:
    """Name -> what becomes of clip ``i``."""

    def noisy(snr: float) -> Callable[[Floats, int], Floats]:
        return lambda x, i: x + at_level(np.resize(noises[i % len(noises)], len(x)), -20 - snr)

    def humming(hz: int, amplitude: float) -> Callable[[Floats, int], Floats]:
        return lambda x, i: x + tone(hz, len(x), amplitude)

    return {
        "clean": lambda x, i: x,
        "offset of 10 %": lambda x, i: x * np.float32(0.9) + np.float32(0.1),
        "50 Hz at 0.08": humming(50, 0.08),
        "60 Hz at 0.08": humming(60, 0.08),
        "noise, 20 dB below": noisy(20),
        "noise, 10 dB below": noisy(10),
        "noise, 5 dB below": noisy(5),
        "30 dB softer": lambda x, i: quantised(x * np.float32(10**-1.5)),
        "45 dB softer": lambda x, i: quantised(x * np.float32(10**-2.25)),
    }


def quantised(samples: Floats) -> Floats:
    """As 16-bit files hold them."""
    return np.round(samples * 32768) / np.float32(32768)
