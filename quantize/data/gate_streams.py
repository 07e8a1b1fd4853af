"""Streams that the speech gate learns from: features, and where in them somebody speaks.

Only voices and noises of the training splits go in, and some of those are kept for choosing the
gate's settings (``SpeechGate``). What counts as speech is taken from the clean recording; the
network hears it in noise, far off, whispered or held for long, beside sounds of other kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from edge.audio.audio_file import read_audio
from edge.contract import SAMPLE_RATE, Floats, faces_within
from edge.features import Features
from edge.speech_gate import NoiseFloor
from quantize.data import made_sounds as made
from quantize.data.augment import Rng, coloured_noise, hum
from quantize.data.clips import Clip, split_by_id
from quantize.data.load import load
from quantize.data.made_sounds import SoundMaker, set_level

SOURCES = ("librispeech_261spk", "emodb", "speech_misc")
LANGUAGES = "speech_60_languages"
VALIDATION_SPEAKERS = ("emodb_03", "emodb_08")
"""A man and a woman; with some 20 readers of LibriSpeech they choose the settings."""
TEST_NOISES = ("noise3", "noise5", "freesound")
VALIDATION_NOISES = ("noise4",)
"""Beginnings of names of files that no stream holds."""
SECONDS = 12
SPEECH_DB, GAP, SHORTEST = 33.0, 9, 3
"""Speech is what a clean recording holds less than this below its loud parts; gaps in it of up to
``GAP`` faces belong to it, and less than ``SHORTEST`` faces are a click."""
PAUSE = 30
"""Faces without speech, at least, that are taken for the noise of a recording's room."""


def gate_split(clip: Clip) -> str:
    """The clip's own split, but that some training speakers choose the gate's settings."""
    if clip.split != "train" or clip.source == LANGUAGES:
        return clip.split
    if clip.speaker in VALIDATION_SPEAKERS:
        return "validation"
    return split_by_id(clip.speaker, 0.08, 0) if clip.speaker.startswith("ls_") else "train"


def gate_voices(data: Path, split: str) -> list[Path]:
    """Recordings of the known sets in a split."""
    clips = load([data / source for source in SOURCES])[0]
    return [c.audio for c in clips if gate_split(c) == split and c.audio is not None]


def noise_files(data: Path, split: str) -> list[Path]:
    """Recorded noises of a split."""
    files = sorted((data / "noise_rir" / "noise").glob("*"))
    kept = {"test": TEST_NOISES, "validation": VALIDATION_NOISES}
    if split in kept:
        return [f for f in files if f.name.startswith(kept[split])]
    return [f for f in files if not f.name.startswith(TEST_NOISES + VALIDATION_NOISES)]


def speech_faces(samples: Floats) -> Floats:
    """(faces,) 1 where a clean recording holds speech, else 0."""
    band = butter(2, (150, 6000), "bandpass", fs=SAMPLE_RATE, output="sos")
    filtered = sosfilt(band, samples).astype(np.float32)
    level = np.array([db for _, _, db in Features().push(filtered)])
    loud, room = np.percentile(level, 95), np.percentile(level, 5)
    speech = level > max(loud - SPEECH_DB, min(room + 8, loud - 12))
    for value, longest in ((False, GAP), (True, SHORTEST - 1)):
        for start, end in _runs(speech == value):
            if end - start <= longest and start and end < len(speech):
                speech[start:end] = not value
    return speech.astype(np.float32)


def _runs(where: Floats) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], where, [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def gate_features(samples: Floats) -> Floats:
    """(faces, 2 N_MELS): what the gate's network takes in."""
    floor = NoiseFloor()
    return np.array([floor.push(mels).copy() for _, mels, _ in Features().push(samples)])


@dataclass
class GateStreams:
    """Draws one stream of ``SECONDS`` after another."""

    voices: Sequence[Path]
    languages: Sequence[Path]
    noises: Sequence[Floats]
    rooms: Sequence[Floats]
    breathing_from: int
    """From this seed on the streams hold nothing but air, which is most easily taken for speech."""

    def __post_init__(self) -> None:
        recorded = [partial(made.played, noise) for noise in self.noises]
        self._noises: list[SoundMaker] = [
            *recorded, made.noise, made.noise, made.noise, made.engine, self._room_noise,
            self._room_noise, coloured_noise, hum, self._babble,
        ]  # fmt: skip
        self._events: list[SoundMaker] = [
            made.impacts, made.impacts, made.music, made.breaths, made.breaths, made.noise,
            made.engine, *recorded,
        ]  # fmt: skip

    def draw(self, seed: int) -> tuple[Floats, Floats]:
        """Features (faces, 2 N_MELS) in float16 and speech (faces,)."""
        rng = np.random.default_rng(seed)
        length = SECONDS * SAMPLE_RATE
        if seed >= self.breathing_from:
            return self._breathing(length, rng)
        samples, speech = self._voice(length, rng)
        silent = not samples.any()
        if len(self.rooms) and rng.random() < 0.3:
            response = self.rooms[int(rng.integers(len(self.rooms)))]
            samples = fftconvolve(samples, response[np.abs(response).argmax() :])[:length]
        # Decibels below the loud parts of the speech.
        for kinds, low, high, chance in (
            (self._noises, 4, 60, 0.7),
            (self._events, 5, 40, 0.7 if silent else 0.35),
            ([made.mains], -8, 30, 0.2),
        ):
            if rng.random() < chance:
                sound = kinds[int(rng.integers(len(kinds)))](length, rng)
                below = rng.uniform(low, 25 if silent else high)
                samples = samples + 0.3 * set_level(sound, 10 ** (-below / 20))
        if rng.random() < 0.5:  # begins and ends in the middle of it, or with a mute button
            at = int(rng.integers(length))
            samples[:at] *= rng.choice([0.0, 0.1, 1.0])
            speech[: faces_within(at)] *= samples[:at].any()
        samples = samples * 10 ** (rng.uniform(-58, 6) / 20)
        if rng.random() < 0.5:
            hiss = rng.standard_normal(length) * 10 ** (rng.uniform(-100, -65) / 20)
            samples = np.add(samples, hiss)
        sixteen_bit = np.round(np.clip(samples, -1, 1) * 32768) / 32768
        return gate_features(sixteen_bit.astype(np.float32)).astype(np.float16), speech

    def _breathing(self, length: int, rng: Rng) -> tuple[Floats, Floats]:
        samples = set_level(made.tract_air(length, rng), 10 ** (rng.uniform(-60, -10) / 20))
        if rng.random() < 0.6:
            hiss = coloured_noise(length, rng)
            samples = samples + set_level(hiss, 10 ** (rng.uniform(-90, -40) / 20))
        sixteen_bit = (np.round(samples * 32768) / 32768).astype(np.float32)
        speech = np.zeros(faces_within(length), np.float32)
        return gate_features(sixteen_bit).astype(np.float16), speech

    def _voice(self, length: int, rng: Rng) -> tuple[Floats, Floats]:
        """Loud parts near -10 dBFS; (length,) and (faces,)."""
        samples, speech = np.zeros(length, np.float32), np.zeros(faces_within(length), np.float32)
        kind = rng.random()
        if kind < 0.3:
            return samples, speech
        if kind < 0.38:
            start, end = np.sort(rng.integers(0, length, 2)) if kind < 0.35 else (0, length)
            if end - start > 800:
                samples[start:end] = set_level(made.held_vowel(end - start, rng), 0.3)
                speech[faces_within(start) : faces_within(end)] = 1
            return samples, speech
        at = int(rng.exponential(0.7) * SAMPLE_RATE)
        while at < length - SAMPLE_RATE:
            clip = set_level(self._clip(rng)[: 8 * SAMPLE_RATE], 0.3 * 10 ** rng.uniform(-0.4, 0))
            clip = clip[: length - at]
            if len(clip) > SAMPLE_RATE // 2:
                first = faces_within(at)
                faces = speech_faces(clip)[: len(speech) - first]
                speech[first : first + len(faces)] = faces
                samples[at : at + len(clip)] = made.whispered(clip, rng) if kind > 0.93 else clip
            at += len(clip) + int(rng.exponential(1.5) * SAMPLE_RATE)
        return samples, speech

    def _clip(self, rng: Rng) -> Floats:
        files = self.voices if rng.random() < 0.6 else self.languages
        return read_audio(files[int(rng.integers(len(files)))])

    def _babble(self, length: int, rng: Rng) -> Floats:
        """A room full of people."""
        clips = (self._clip(rng) for _ in range(rng.integers(5, 13)))
        layers = [set_level(np.resize(clip, length), rng.uniform(0.3, 1)) for clip in clips]
        return np.asarray(np.sum(layers, axis=0), np.float32)

    def _room_noise(self, length: int, rng: Rng) -> Floats:
        """What people's microphones record between their sentences, over and over."""
        for _ in range(8):
            clip = read_audio(self.languages[int(rng.integers(len(self.languages)))])
            for start, end in _runs(speech_faces(clip) == 0):
                pause = clip[(start + 6) * 800 // 3 : (end - 6) * 800 // 3]
                if end - start >= PAUSE and pause.std() > 1e-4:
                    return made.played(_looped(pause), length, rng)
        return made.noise(length, rng)


def _looped(sound: Floats) -> Floats:
    """The sound such that its end goes over into its beginning."""
    n = len(sound) // 4
    fade = np.sqrt(np.linspace(0, 1, n, dtype=np.float32))
    return np.concatenate([sound[:n] * fade + sound[-n:] * fade[::-1], sound[n:-n]])
