"""An audio file to 16 kHz mono samples, whatever its format, rate and channels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge.audio.resample import Resampler
from edge.contract import SAMPLE_RATE, Floats, InputError, MissingError

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
"""Of the files that are taken for audio."""


def stream_audio(path: str | Path) -> Iterator[Floats]:
    """A file that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF) in blocks of about a second.

    Channels are averaged. Raises ``InputError`` for a file that is missing, empty or no audio.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: a folder, not an audio file; edge-batch does whole folders")
    if not path.is_file():
        raise InputError(f"{path}: no such audio file; check the path")
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise MissingError(f"cannot read audio files: {error}; pip install soundfile") from error
    try:
        with soundfile.SoundFile(path) as file:
            resampler = None
            if file.samplerate != SAMPLE_RATE:
                resampler = Resampler(file.samplerate)
            empty = True
            for block in file.blocks(file.samplerate, dtype="float32", always_2d=True):
                empty = False
                mono = clean(block.mean(axis=1, dtype=np.float32))
                yield resampler.push(mono) if resampler else mono
            if resampler:
                yield resampler.flush()
    # TypeError: a name that ends in .raw, whose rate nobody knows.
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise InputError(
            f"{path}: not a readable audio file ({error}); convert it, e.g. ffmpeg -i IN out.wav"
        ) from error
    if empty:
        raise InputError(f"{path}: holds no samples; was the recording cut off?")


def read_audio(path: str | Path) -> Floats:
    """All of a file as (n,) samples in [-1, 1]; errors as in ``stream_audio``."""
    return np.concatenate(list(stream_audio(path)))


def clean(samples: Floats) -> Floats:
    """The same samples with NaN and infinity as silence and everything else within [-1, 1].

    A broken driver or plug-in can deliver either (bare ALSA ``null`` does); a single NaN would
    otherwise live in the recurrent state for ever. Good samples come back as they are, not copied.
    """
    # Two passes without a copy are all that good audio costs; NaN fails both comparisons.
    if len(samples) and np.minimum.reduce(samples) >= -1 and np.maximum.reduce(samples) <= 1:
        return samples
    return np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
