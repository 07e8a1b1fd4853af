"""Sounds that no mouth should move to, and voices that no recording holds, made by chance.

Every maker takes a length in samples at 16 kHz and a generator, and returns (length,) at any level.
They are far more varied than any shelf of recordings, so that a network that tells speech from
them cannot do it by knowing each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, istft, sosfilt, stft

from edge.contract import SAMPLE_RATE, Floats
from quantize.data.augment import Rng

SoundMaker = Callable[[int, Rng], Floats]
NYQUIST = SAMPLE_RATE / 2


def set_level(sound: Floats, rms: float) -> Floats:
    """The sound with its loud parts (95 % of 25 ms) at an RMS."""
    power = np.add.reduceat(sound**2, np.arange(0, len(sound), 400)) / 400
    gain = rms / np.sqrt(np.percentile(power, 95) + 1e-12)
    return np.asarray(sound * gain, np.float32)


def envelope(hz: Floats, rng: Rng, resonances: int = 4) -> Floats:
    """Gain at each frequency: a tilt, a smooth curve, up to so many resonances, two edges."""
    octaves = np.log2(np.maximum(hz, 30) / 30)
    db = rng.uniform(-9, 4) * octaves
    for k in range(1, 7):
        db += rng.normal(0, 5) * np.cos(np.pi * k * octaves / 8 + rng.uniform(0, 2 * np.pi))
    for _ in range(rng.integers(resonances + 1)):
        centre, width = rng.uniform(1, 8), np.exp(rng.uniform(np.log(0.03), np.log(0.7)))
        db += rng.uniform(3, 25) * np.exp(-(((octaves - centre) / width) ** 2))
    low, high = rng.uniform(-1, 5), rng.uniform(5, 9)
    db -= rng.uniform(6, 40) * (np.maximum(0, low - octaves) + np.maximum(0, octaves - high))
    return np.asarray(10 ** (np.maximum(db - db.max(), -90) / 20))


def equalised(sound: NDArray[np.floating[Any]], rng: Rng) -> Floats:
    """The sound through another microphone, wall or pocket."""
    spectrum = np.fft.rfft(sound)
    spectrum *= envelope(np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE), rng)
    return np.fft.irfft(spectrum, len(sound)).astype(np.float32)


def modulation(length: int, rng: Rng) -> Floats:
    """Gain over time: steady, or swelling 0.5 to 20 times a second, evenly or by chance."""
    rate, depth = np.exp(rng.uniform(np.log(0.5), np.log(20))), rng.uniform(0.2, 1.5)
    kind, time = rng.random(), np.arange(length) / SAMPLE_RATE
    if kind < 0.2:
        return np.ones(length, np.float32)
    if kind < 0.4:
        swell = np.sin(2 * np.pi * rate * time + rng.uniform(0, 6))
    else:
        knots = max(2, int(length / SAMPLE_RATE * rate * 2))
        swell = np.interp(time * rate * 2, np.arange(knots), rng.standard_normal(knots))
    if kind > 0.85:  # on and off
        swell = 2.0 * (swell > rng.uniform(-0.5, 1))
    return np.exp(depth * swell).astype(np.float32)


def noise(length: int, rng: Rng) -> Floats:
    """Air, water, crowds and machines: up to three noises of fixed colours that swell."""
    layers = range(rng.integers(1, 4))
    coloured = (equalised(rng.standard_normal(length), rng) for _ in layers)
    made = [set_level(n, rng.uniform(0.1, 1)) * modulation(length, rng) for n in coloured]
    return np.asarray(np.sum(made, axis=0), np.float32)


def impacts(length: int, rng: Rng) -> Floats:
    """Keys, knocks, dishes, rustle and rain: one to 500 impacts a second that ring or thud."""
    count = rng.poisson(np.exp(rng.uniform(0, np.log(500))) * length / SAMPLE_RATE) + 1
    train = np.zeros(length)
    gains = 10 ** rng.uniform(-1.2, 0, count) * rng.choice([-1, 1], count)
    np.add.at(train, rng.integers(0, length, count), gains)
    out = np.zeros(length)
    for _ in range(rng.integers(1, 3)):
        n = int(np.exp(rng.uniform(np.log(16), np.log(8000))))
        ring = np.exp(-np.arange(n) / (n / 5)) * rng.standard_normal(n)
        if rng.random() < 0.4:
            hertz = rng.uniform(60, 4000)
            ring = np.exp(-np.arange(n) / (n / 5)) * np.sin(
                2 * np.pi * hertz * np.arange(n) / SAMPLE_RATE
            )
        out += fftconvolve(train, equalised(ring, rng))[:length] * rng.uniform(0.2, 1)
    return (out * modulation(length, rng)).astype(np.float32)


def engine(length: int, rng: Rng) -> Floats:
    """Motors, hums and whines: harmonics that drift together, without a throat's resonances."""
    base = np.exp(rng.uniform(np.log(15), np.log(75)))
    if rng.random() < 0.3:
        base = np.exp(rng.uniform(np.log(600), np.log(3000)))
    knots = 2 + length // SAMPLE_RATE
    drift = np.cumsum(rng.standard_normal(knots)) * rng.choice([0.0, 0.002, 0.02])
    hertz = base * np.exp(np.interp(np.arange(length) / SAMPLE_RATE, np.arange(knots), drift))
    phase = 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE
    falls, out = rng.uniform(0.3, 2.5), np.zeros(length)
    for k in range(1, min(int(NYQUIST / base), 30) + 1, rng.integers(1, 3)):
        out += np.sin(k * phase + rng.uniform(0, 6)) * rng.uniform(0.2, 1) / k**falls
    air = equalised(rng.standard_normal(length), rng)
    out = out / np.abs(out).max() * modulation(length, rng)
    return np.asarray(out + set_level(air, 10 ** rng.uniform(-3, -0.3)), np.float32)


def music(length: int, rng: Rng) -> Floats:
    """Tunes, chords, beeps and alarms: tones that begin at once and fade or stop."""
    out, at = np.zeros(length), 0
    beat = int(rng.uniform(0.08, 1.0) * SAMPLE_RATE)
    falls, partials = rng.uniform(0.5, 3), int(rng.integers(1, 9))
    fades, root = rng.choice([0.2, 1.0, 30.0]), rng.uniform(80, 1200)
    while at < length:
        n = min(int(beat * rng.choice([0.5, 1, 2])), length - at)
        time = np.arange(n) / SAMPLE_RATE
        for _ in range(rng.integers(0, 4)):
            hertz = root * 2 ** (rng.integers(-5, 20) / 12)
            for k in range(1, partials + 1):
                if k * hertz < NYQUIST:
                    out[at : at + n] += (
                        np.sin(2 * np.pi * k * hertz * time) / k**falls * np.exp(-time / fades)
                    )
        at += max(n, 400)
    return out.astype(np.float32)


def breaths(length: int, rng: Rng) -> Floats:
    """Breathing in and out of many throats: noise with resonances that swells and fades."""
    out, at = np.zeros(length, np.float32), int(rng.uniform(0, SAMPLE_RATE))
    throat = rng.integers(1 << 32)
    while at < length - 800:
        n = min(int(rng.uniform(0.25, 2.5) * SAMPLE_RATE), length - at)
        # One throat all along, or another each time: in and out sound apart.
        shape = np.random.default_rng(throat + rng.integers(2)) if rng.random() < 0.7 else rng
        sound = rng.standard_normal(n)
        edges = (shape.uniform(80, 900), shape.uniform(1500, 7500))
        sound = sosfilt(butter(1, edges, "bandpass", fs=SAMPLE_RATE, output="sos"), sound)
        for low, high in ((300, 1000), (900, 2500), (2200, 4500)):
            centre, width = shape.uniform(low, high), shape.uniform(0.05, 0.25)
            band = (centre * (1 - width), centre * (1 + width))
            ring = sosfilt(butter(1, band, "bandpass", fs=SAMPLE_RATE, output="sos"), sound)
            sound = sound + shape.uniform(0, 4) * ring
        swell = np.interp(np.arange(n), [0, n * rng.uniform(0.1, 0.9), n], [0, 1, 0])
        out[at : at + n] = sound * swell ** rng.uniform(0.4, 2.5) * 10 ** rng.uniform(-0.7, 0)
        at += n + int(rng.uniform(0.05, 2.5) * SAMPLE_RATE)
    return out


def tract_air(length: int, rng: Rng) -> Floats:
    """Air through a mouth or nose that stands still: breath, sighs, blowing, a held hush.

    A vowel's resonances without its voice; each puff swells in its own way.
    """
    out, at = np.zeros(length, np.float32), int(rng.uniform(0, SAMPLE_RATE))
    while at < length - 800:
        n = min(int(np.exp(rng.uniform(np.log(0.2), np.log(4))) * SAMPLE_RATE), length - at)
        hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
        gain = (np.maximum(hz, 50) / 1000) ** rng.uniform(-1.5, 0.7)
        for low, high in ((250, 1000), (800, 2600), (1900, 3900), (3000, 5500))[
            : rng.integers(2, 5)
        ]:
            centre, width = rng.uniform(low, high), np.exp(rng.uniform(np.log(60), np.log(900)))
            gain = gain * (rng.uniform(0, 0.3) + 1 / np.hypot(1, (hz - centre) / width))
        puff = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * gain, n)
        peak = rng.uniform(0.02, 0.98)
        swell = np.interp(np.linspace(0, 1, n), [0, peak, 1], [0, 1, 0]) ** rng.uniform(0.2, 2.5)
        out[at : at + n] = puff / (puff.std() + 1e-9) * swell * 10 ** rng.uniform(-0.7, 0)
        at += n + int(rng.exponential(0.6) * SAMPLE_RATE)
    return out


def mains(length: int, rng: Rng) -> Floats:
    """Hum that is all but one tone."""
    time = np.arange(length) / SAMPLE_RATE
    hertz = rng.choice([50.0, 60.0, 100.0, 120.0], p=[0.4, 0.4, 0.1, 0.1])
    second = rng.choice([0.0, 0.1, 0.5]) * np.sin(2 * np.pi * 3 * hertz * time)
    return np.asarray(np.sin(2 * np.pi * hertz * time) + second, np.float32)


def played(recording: Floats, length: int, rng: Rng) -> Floats:
    """A recorded noise from anywhere in it, faster or slower, through another microphone."""
    speed, start = np.exp(rng.uniform(np.log(0.5), np.log(2))), rng.integers(len(recording))
    at = (start + speed * np.arange(length)) % (len(recording) - 1)
    sound = np.interp(at, np.arange(len(recording)), recording)
    return equalised(sound, rng) if rng.random() < 0.8 else sound.astype(np.float32)


def whispered(samples: Floats, rng: Rng) -> Floats:
    """The same words without a voice: magnitudes of 8 ms, phases by chance."""
    _, _, spectrum = stft(samples, nperseg=128)
    turned = np.abs(spectrum) * np.exp(2j * np.pi * rng.random(spectrum.shape))
    out: Floats = istft(turned, nperseg=128)[1][: len(samples)].astype(np.float32)
    return np.pad(out, (0, len(samples) - len(out)))


def held_vowel(length: int, rng: Rng) -> Floats:
    """A voice on one vowel and one note, as steady as people (or synthesisers) hold it."""
    pitch = np.exp(rng.uniform(np.log(80), np.log(500)))
    wobble = rng.choice([0.0, 0.003, 0.01])
    drift = np.cumsum(rng.standard_normal(length // 400 + 2)) * wobble
    hertz = pitch * np.exp(np.interp(np.arange(length), np.arange(len(drift)) * 400, drift) * 0.3)
    pulses = np.diff(np.floor(np.cumsum(hertz) / SAMPLE_RATE), prepend=0).astype(np.float32)
    pulses += rng.uniform(0, 0.02) * rng.standard_normal(length)
    sound = sosfilt(butter(1, rng.uniform(200, 900), fs=SAMPLE_RATE, output="sos"), pulses)
    out = np.zeros(length)
    for low, high, gain in ((250, 900, 1.0), (800, 2400, 0.6), (2200, 3400, 0.3)):
        centre, width = rng.uniform(low, high), rng.uniform(60, 180)
        edges = (max(centre - width, 50), centre + width)
        band = butter(1, edges, "bandpass", fs=SAMPLE_RATE, output="sos")
        out += gain * sosfilt(band, sound)
    return out.astype(np.float32)
