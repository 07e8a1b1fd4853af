"""Voices, noises and made sounds to ``edge/assets/speech_gate.npz``, which tells them apart.

``python -m quantize.training.train_speech_gate --data DIR`` takes some ten minutes on two cores.
What counts as speech is taken from the clean recording; the network hears it in noise, far off,
whispered or held for long, beside sounds that no mouth should move to.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from scipy.signal import butter, fftconvolve, istft, sosfilt, stft
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from edge.audio.audio_file import read_audio
from edge.contract import FPS, SAMPLE_RATE, Floats, faces_within
from edge.features import N_MELS, Features
from edge.speech_gate import SCALE, WEIGHTS
from quantize.data.augment import Rng, coloured_noise, hum
from quantize.data.load import load
from quantize.training.schedules import cosine

SOURCES = ("librispeech_261spk", "emodb", "speech_misc")
LANGUAGES = "speech_60_languages/commonvoice61_59languages"
HELD_BACK = ("noise3", "noise5", "freesound")
"""Noises that only the benchmark hears."""
SECONDS = 12
STREAMS, STEPS, BATCH, RATE = 2400, 600, 96, 6e-3
WINDOW = 6 * FPS
"""Faces of a stream that are learned at a time, from anywhere in it."""
MISSED = 1.5
"""Missed speech counts this much more than noise let through, which the face hardly shows."""
HIDDEN = 32
SPEECH_DB, GAP, SHORTEST = 33.0, 9, 3
"""Speech is what a clean recording holds less than this below its loud parts; gaps in it of up to
``GAP`` faces belong to it, and less than ``SHORTEST`` faces are a click."""

Sound = Callable[[int, Rng], Floats]


def speech_faces(samples: Floats) -> Floats:
    """(faces,) 1 where a clean recording holds speech, else 0."""
    band = butter(2, (150, 6000), "bandpass", fs=SAMPLE_RATE, output="sos")
    filtered = sosfilt(band, samples).astype(np.float32)
    level = np.array([db for _, _, db in Features().push(filtered)])
    loud, room = np.percentile(level, 95), np.percentile(level, 5)
    speech = level > max(loud - SPEECH_DB, min(room + 8, loud - 12))
    for value, longest in ((False, GAP), (True, SHORTEST - 1)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], speech == value, [0]])))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            if end - start <= longest and start and end < len(speech):
                speech[start:end] = not value
    return speech.astype(np.float32)


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
    phase = np.cumsum(hertz) / SAMPLE_RATE
    pulses = np.diff(np.floor(phase), prepend=0).astype(np.float32)
    pulses += rng.uniform(0, 0.02) * rng.standard_normal(length)
    sound = sosfilt(butter(1, rng.uniform(200, 900), fs=SAMPLE_RATE, output="sos"), pulses)
    out = np.zeros(length)
    for low, high, gain in ((250, 900, 1.0), (800, 2400, 0.6), (2200, 3400, 0.3)):
        centre, width = rng.uniform(low, high), rng.uniform(60, 180)
        edges = (max(centre - width, 50), centre + width)
        band = butter(1, edges, "bandpass", fs=SAMPLE_RATE, output="sos")
        out += gain * sosfilt(band, sound)
    return out.astype(np.float32)


def breaths(length: int, rng: Rng) -> Floats:
    """Breathing in and out: noise through a throat that swells and fades within two seconds."""
    out, at = np.zeros(length, np.float32), int(rng.uniform(0, SAMPLE_RATE))
    while at < length - 100:
        n = min(int(rng.uniform(0.4, 2.0) * SAMPLE_RATE), length - at)
        edges = (rng.uniform(150, 800), rng.uniform(2000, 7000))
        noise = rng.standard_normal(n)
        sound = sosfilt(butter(1, edges, "bandpass", fs=SAMPLE_RATE, output="sos"), noise)
        centre = rng.uniform(700, 2500)
        throat = (centre * 0.85, centre * 1.15)
        band = butter(1, throat, "bandpass", fs=SAMPLE_RATE, output="sos")
        sound += rng.uniform(0, 3) * sosfilt(band, noise)
        swell = np.interp(np.arange(n), [0, n * rng.uniform(0.2, 0.7), n], [0, 1, 0])
        out[at : at + n] = sound * swell ** rng.uniform(0.6, 2) * 10 ** rng.uniform(-0.5, 0)
        at += n + int(rng.uniform(0.2, 2.5) * SAMPLE_RATE)
    return out


def clicks(length: int, rng: Rng) -> Floats:
    """Keys, knocks and pops."""
    out = np.zeros(length, np.float32)
    for at in rng.integers(0, length - 800, int(rng.integers(3, 40))):
        n = int(np.exp(rng.uniform(np.log(8), np.log(800))))
        fade = np.exp(-np.arange(n) / (n / 4))
        tone = np.sin(2 * np.pi * rng.uniform(60, 3000) * np.arange(n) / SAMPLE_RATE)
        sound = fade * (tone if rng.random() < 0.5 else rng.standard_normal(n))
        out[at : at + n] += (sound * 10 ** rng.uniform(-1, 0)).astype(np.float32)
    return out


class Scenes:
    """Draws one stream of ``SECONDS`` after another: features and where speech is."""

    def __init__(self, voices: Sequence[Path], noises: Sequence[Floats], rooms: Sequence[Floats]):
        self._voices, self._rooms = voices, rooms
        recorded = [partial(_looped, noise) for noise in noises]
        self._steady: list[Sound] = [*recorded, *recorded, coloured_noise, hum, gusts, self._babble]
        self._others: list[Sound] = [*recorded, gusts, breaths, breaths, clicks, beeps]

    def draw(self, seed: int) -> tuple[Floats, Floats]:
        """Features (faces, N_MELS) in float16 and speech (faces,)."""
        rng = np.random.default_rng(seed)
        length = SECONDS * SAMPLE_RATE
        samples, speech = self._voice(length, rng)
        if len(self._rooms) and rng.random() < 0.3:
            response = self._rooms[int(rng.integers(len(self._rooms)))]
            samples = fftconvolve(samples, response[np.abs(response).argmax() :])[:length]
        # Decibels below the loud parts of the speech.
        for kinds, low, high, chance in (
            (self._steady, 0, 60, 0.7),
            (self._others, 5, 40, 0.35),
            ([mains], -8, 30, 0.2),
        ):
            if rng.random() < chance:
                sound = kinds[int(rng.integers(len(kinds)))](length, rng)
                samples = samples + _at(sound, 10 ** (-rng.uniform(low, high) / 20))
        if rng.random() < 0.5:  # begins and ends in the middle of it, or with a mute button
            at = int(rng.integers(length))
            samples[:at] *= rng.choice([0.0, 0.1, 1.0])
            speech[: faces_within(at)] *= samples[:at].any()
        samples = samples * np.float32(10 ** (rng.uniform(-58, 0) / 20))
        if rng.random() < 0.5:
            hiss = rng.standard_normal(length) * 10 ** (rng.uniform(-100, -75) / 20)
            samples = samples + hiss.astype(np.float32)
        sixteen_bit = np.round(np.clip(samples, -1, 1) * 32768) / 32768
        mels = [mels for _, mels, _ in Features().push(sixteen_bit.astype(np.float32))]
        return np.array(mels, np.float16), speech

    def _voice(self, length: int, rng: Rng) -> tuple[Floats, Floats]:
        """Loud parts near full scale; (length,) and (faces,)."""
        samples, speech = np.zeros(length, np.float32), np.zeros(faces_within(length), np.float32)
        kind = rng.random()
        if kind < 0.2:
            return samples, speech
        if kind < 0.28:
            start, end = np.sort(rng.integers(0, length, 2))
            samples[start:end] = _at(held_vowel(end - start, rng), 0.3) if end > start else 0
            speech[faces_within(start) : faces_within(end)] = 1
            return samples, speech
        at = int(rng.exponential(0.7) * SAMPLE_RATE)
        while at < length - SAMPLE_RATE:
            clip = read_audio(self._voices[int(rng.integers(len(self._voices)))])[: 8 * SAMPLE_RATE]
            clip = _at(clip, 0.3 * 10 ** (rng.uniform(-8, 0) / 20))[: length - at]
            if len(clip) > SAMPLE_RATE // 2:
                first = faces_within(at)
                faces = speech_faces(clip)[: len(speech) - first]
                speech[first : first + len(faces)] = faces
                samples[at : at + len(clip)] = whispered(clip, rng) if kind > 0.95 else clip
            at += len(clip) + int(rng.exponential(1.5) * SAMPLE_RATE)
        return samples, speech

    def _babble(self, length: int, rng: Rng) -> Floats:
        """A room full of people."""
        out = np.zeros(length, np.float32)
        for _ in range(int(rng.integers(5, 13))):
            clip = read_audio(self._voices[int(rng.integers(len(self._voices)))])
            out += _at(np.resize(clip, length), rng.uniform(0.3, 1))
        return out


def _looped(noise: Floats, length: int, rng: Rng) -> Floats:
    """A recorded noise from anywhere in it, faster or slower, through another microphone."""
    speed, start = rng.uniform(0.6, 1.5), rng.integers(len(noise))
    at = (start + speed * np.arange(length)) % (len(noise) - 1)
    sound = np.interp(at, np.arange(len(noise)), noise)
    low = rng.uniform(500, 4000)
    tilt = sosfilt(butter(1, low, fs=SAMPLE_RATE, output="sos"), sound)
    return np.asarray(sound + rng.uniform(-0.8, 3) * tilt, np.float32)


def gusts(length: int, rng: Rng) -> Floats:
    """Wind, traffic, machines: noise that swells by chance, slowly or many times a second."""
    knots = max(2, int(length / SAMPLE_RATE * np.exp(rng.uniform(np.log(0.5), np.log(12)))))
    swell = np.interp(
        np.linspace(0, knots - 1, length), np.arange(knots), rng.standard_normal(knots)
    )
    return np.asarray(
        coloured_noise(length, rng) * np.exp(rng.uniform(0.3, 1.5) * swell), np.float32
    )


def beeps(length: int, rng: Rng) -> Floats:
    """Signals of machines."""
    out = np.zeros(length, np.float32)
    for at in rng.integers(0, length - SAMPLE_RATE, int(rng.integers(1, 12))):
        n = int(np.exp(rng.uniform(np.log(800), np.log(SAMPLE_RATE))))
        wave = np.sin(2 * np.pi * rng.uniform(300, 4000) * np.arange(n) / SAMPLE_RATE)
        out[at : at + n] += wave.astype(np.float32)
    return out


def mains(length: int, rng: Rng) -> Floats:
    """Hum that is all but one tone."""
    time = np.arange(length) / SAMPLE_RATE
    hertz = rng.choice([50.0, 60.0, 100.0, 120.0], p=[0.4, 0.4, 0.1, 0.1])
    second = rng.choice([0.0, 0.1, 0.5]) * np.sin(2 * np.pi * 3 * hertz * time)
    return np.asarray(np.sin(2 * np.pi * hertz * time) + second, np.float32)


def _at(sound: Floats, rms: float) -> Floats:
    """The sound with the loud parts (25 ms) at an RMS."""
    power = np.add.reduceat(sound**2, np.arange(0, len(sound), 400)) / 400
    out: Floats = (sound * (rms / np.sqrt(np.percentile(power, 95) + 1e-12))).astype(np.float32)
    return out


class GateNetwork(nn.Module):
    """Log-mel features to the chance (as a logit) that they are speech, causal."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(N_MELS, HIDDEN, batch_first=True)
        self.out = nn.Linear(HIDDEN, 1)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """(B, faces, N_MELS) -> (B, faces)."""
        logits: torch.Tensor = self.out(self.gru(mels * SCALE)[0])[..., 0]
        return logits


def fit(
    mels: torch.Tensor, speech: torch.Tensor, steps: int, start: Path | None = None
) -> GateNetwork:
    """Train on (streams, faces, N_MELS) and (streams, faces), from ``start`` or from nothing."""
    torch.manual_seed(0)
    network = GateNetwork()
    if start:
        with np.load(start) as kept:
            network.load_state_dict({key: torch.from_numpy(kept[key]) for key in kept.files})
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    rate = cosine(optimiser, steps)
    bar = tqdm(range(steps))
    for _ in bar:
        rows = torch.randint(len(mels), (BATCH, 1))
        faces = torch.randint(mels.shape[1] - WINDOW + 1, (BATCH, 1)) + torch.arange(WINDOW)
        tilt = torch.randn(BATCH, 1, 1) * torch.linspace(-0.15, 0.15, N_MELS)
        loss = F.binary_cross_entropy_with_logits(
            network(mels[rows, faces].float() + tilt),
            speech[rows, faces],
            pos_weight=torch.tensor(MISSED),
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        rate.step()
        bar.set_postfix(loss=f"{float(loss.detach()):.3f}")
    return network


def save(network: GateNetwork, path: Path) -> None:
    """What ``edge.speech_gate`` reads."""
    arrays = {key: value.detach().numpy() for key, value in network.state_dict().items()}
    np.savez(path, **arrays)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, train, write."""
    p = argparse.ArgumentParser("train_speech_gate", description=__doc__.split("\n")[0])
    p.add_argument("--data", type=Path, required=True, metavar="DIR")
    p.add_argument("--out", type=Path, default=WEIGHTS, metavar="NPZ")
    p.add_argument("--streams", type=int, default=STREAMS)
    p.add_argument("--steps", type=int, default=STEPS)
    p.add_argument("--start", type=Path, metavar="NPZ", help="go on from these weights")
    p.add_argument("--workers", type=int, default=2)
    args = p.parse_args(argv)
    clips = load([args.data / source for source in SOURCES])[0]
    voices = [c.audio for c in clips if c.split == "train" and c.audio is not None]
    voices += sorted((args.data / LANGUAGES).rglob("*.opus"))
    rooms = args.data / "noise_rir"
    noises = [f for f in sorted((rooms / "noise").glob("*")) if not f.name.startswith(HELD_BACK)]
    scenes = Scenes(
        voices, [read_audio(f) for f in noises], [read_audio(f) for f in (rooms / "rir").glob("*")]
    )
    with Pool(args.workers) as pool:
        drawn = list(tqdm(pool.imap(scenes.draw, range(args.streams), 25), total=args.streams))
    mels = torch.from_numpy(np.stack([m for m, _ in drawn]))
    speech = torch.from_numpy(np.stack([s for _, s in drawn]))
    save(fit(mels, speech, args.steps, args.start), args.out)


if __name__ == "__main__":
    main()
