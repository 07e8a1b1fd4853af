"""Clips to long training streams: the whole corpus, rendered in other voices each time.

A rendition is stored once and read many times, because making one costs a core about a minute.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.audio.audio_file import read_audio
from edge.contract import ARKIT_52, FPS, SAMPLE_RATE, Floats
from edge.features import Features, mel_filters
from edge.files import atomic_write, write_text
from quantize.data.augment import (
    Rng,
    Rooms,
    VoicePerturbation,
    draw_perturbation,
    perturb,
    perturb_spectrum,
)
from quantize.data.clips import Clip
from quantize.data.phones import UNKNOWN, Aligner, Phone, per_face
from quantize.data.speech_encoder import features as speech_features
from quantize.data.speech_encoder import teacher_features
from quantize.data.targets import Scale, seen_at_sixty, targets

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedClip:
    """A clip with its samples in memory and its phones found."""

    clip: Clip
    samples: NDArray[np.int16]
    """(n,) at 16 kHz; 16 bits because an hour must fit beside others."""
    phones: tuple[Phone, ...]

    @property
    def sound(self) -> Floats:
        """(n,) samples in [-1, 1]."""
        return self.samples.astype(np.float32) / np.float32(32767)


@dataclass(frozen=True)
class TrainingStream:
    """Faces in a row, as a microphone would have brought them."""

    mels: Floats
    """(T, N_MELS)"""
    targets: Floats
    """(T, 52) in the common range."""
    live: NDArray[np.bool_]
    """(T, 52) where ``targets`` means something."""
    visemes: NDArray[np.int64]
    """(T,) index into ``VISEMES`` or ``UNKNOWN``."""
    trust: Floats
    """(T,) weight of the targets: 1 where captured, less where only the phone is known."""
    clip: NDArray[np.int32]
    """(T,) index of the clip; -1 in the pause before one."""
    time: Floats
    """(T,) seconds into that clip as it was recorded, whatever the tempo of this rendition."""
    speech: NDArray[np.float16]
    """(T, S) features of ``quantize.data.speech_encoder``; S is 0 where nobody asked for them."""

    def teacher_input(self, at: NDArray[np.int64]) -> Floats:
        """(..., N_MELS + S) features of a teacher at faces ``at``."""
        return np.concatenate([self.mels[at], self.speech[at].astype(np.float32)], axis=-1)

    def save(self, path: Path) -> None:
        """Write what ``load`` reads; a cut-off run leaves no half file."""
        with atomic_write(path) as file:
            np.savez(
                file,
                mels=self.mels.astype(np.float16),
                targets=self.targets.astype(np.float16),
                live=np.packbits(self.live, axis=1),
                visemes=self.visemes.astype(np.int8),
                clip=self.clip.astype(np.int16),
                moment=self.time,
                speech=self.speech,
            )

    @staticmethod
    def load(path: Path) -> TrainingStream:
        """Read what ``save`` wrote."""
        stored = np.load(path)
        return TrainingStream(
            stored["mels"].astype(np.float32),
            stored["targets"].astype(np.float32),
            np.unpackbits(stored["live"], axis=1, count=len(ARKIT_52)).astype(bool),
            stored["visemes"].astype(np.int64),
            np.ones(len(stored["mels"]), np.float32),
            stored["clip"].astype(np.int32),
            stored["moment"],
            stored["speech"],
        )


def joined(parts: Sequence[TrainingStream]) -> TrainingStream:
    """Streams one after the other."""
    return TrainingStream(
        *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(TrainingStream))
    )


def load_audio(clips: Sequence[Clip], found: Path, track: Callable = iter) -> list[LoadedClip]:
    """Read each clip's audio and find its phones; what is found is kept in the file ``found``."""
    known = json.loads(found.read_text()) if found.exists() else {}
    aligner: Aligner | None = None
    loaded = []
    for clip in track([c for c in clips if c.audio]):
        samples = read_audio(clip.audio)
        phones = clip.phones
        if not phones and clip.maybe_english:
            if clip.id not in known:
                aligner = aligner or Aligner()
                known[clip.id] = [asdict(p) for p in aligner.find(samples, clip.text)]
            phones = tuple(Phone(**p) for p in known[clip.id])
        loaded.append(LoadedClip(clip, (samples * 32767).astype(np.int16), phones))
    write_text(found, json.dumps(known))  # other processes of torchrun write it too
    return loaded


def render_all(
    clips: Sequence[LoadedClip],
    scales: dict[str, Scale],
    rooms: Rooms,
    seed: int,
    repeat: dict[str, int],
    speech: bool = False,
) -> TrainingStream:
    """All clips in one long stream, in random order and other voices.

    ``repeat`` says how often a source is used in one rendition (FACEGOOD is short and rich).
    """
    rng = np.random.default_rng(seed)
    queue = [at for at, c in enumerate(clips) for _ in range(repeat.get(c.clip.source, 1))]
    parts = [
        render_clip(clips[at], at, scales, rooms, rng, speech) for at in rng.permutation(queue)
    ]
    return joined(parts)


def features_of_clip(clip: Clip, speech: int = 0) -> Floats:
    """(T, N_MELS + speech) features of a clip as it is."""
    assert clip.audio is not None
    return teacher_features(read_audio(clip.audio), speech)


def render_as_recorded(
    loaded: LoadedClip, scales: dict[str, Scale], speech: bool = False
) -> TrainingStream:
    """One clip as it is, for validation."""
    return _describe(loaded, 0, VoicePerturbation(), loaded.sound, 0, scales, None, speech)


def render_clip(
    loaded: LoadedClip,
    at: int,
    scales: dict[str, Scale],
    rooms: Rooms,
    rng: Rng,
    speech: bool = False,
) -> TrainingStream:
    """One clip, the ``at``-th of its corpus, in another voice and room, with a pause before it."""
    voice = draw_perturbation(rng)
    samples = perturb(loaded.sound, voice)
    # A pause before the clip: mostly short, sometimes long, in the same room and noise.
    pause = int(rng.exponential(0.3) * 60) if rng.random() < 0.95 else int(rng.uniform(60, 240))
    quiet = np.zeros(pause * SAMPLE_RATE // 60, np.float32)
    samples = rooms.place(np.concatenate([quiet, samples]), rng)
    return _describe(loaded, at, voice, samples, pause, scales, rng, speech)


def _describe(
    loaded: LoadedClip,
    at: int,
    voice: VoicePerturbation,
    samples: Floats,
    pause: int,
    scales: dict[str, Scale],
    rng: Rng | None,
    speech: bool,
) -> TrainingStream:
    clip, scale = loaded.clip, scales.get(loaded.clip.source)
    features = Features(mel_filters(voice.tract))
    mels = np.stack([mel for _, mel, _ in features.push(samples)])
    if rng is not None:
        mels = perturb_spectrum(mels, rng)
    encoded = speech_features(samples, len(mels)) if speech else np.zeros((len(mels), 0))
    faces = len(mels) - pause
    face = np.zeros((faces, 52), np.float32)
    live = np.zeros((faces, 52), bool)
    if clip.capture and scale:
        face = targets(clip, scale, faces, voice.tempo)
        live = seen_at_sixty(clip.capture, faces, voice.tempo)[:, None] & scale.live
    labels = per_face(loaded.phones, faces, voice.tempo)
    return TrainingStream(
        mels,
        # In the pause the face waits as the clip begins.
        np.concatenate([np.repeat(face[:1], pause, axis=0), face]),
        np.concatenate([np.repeat(live[:1], pause, axis=0), live]),
        np.concatenate([np.full(pause, 0 if loaded.phones else UNKNOWN), labels]),
        np.ones(len(mels), np.float32),
        np.concatenate([np.full(pause, -1), np.full(faces, at)]).astype(np.int32),
        np.concatenate([np.zeros(pause), (np.arange(faces) + 1) * voice.tempo / FPS]).astype(
            np.float32
        ),
        encoded.astype(np.float16),
    )
