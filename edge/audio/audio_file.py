"""An audio file to 16 kHz mono samples, whatever its format, rate and channels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge.audio.decode import FFMPEG, SNDFILE, OpenAudio, open_audio
from edge.audio.resample import Resampler
from edge.audio.voice_channel import one_channel
from edge.contract import SAMPLE_RATE, Floats, InputError

SUFFIXES = SNDFILE + FFMPEG
"""Of the files that are taken for audio."""


def stream_audio(path: str | Path, channel: int | None = None) -> Iterator[Floats]:
    """A file that libsndfile or ffmpeg reads in blocks of about a second; ``~`` is a home.

    ``channel`` counts from 1; without it the channel with the voice is taken. Raises
    ``InputError`` for a file that is missing, empty or no audio, or lacks the channel, and
    ``MissingError`` where it takes a library or ffmpeg that is not installed.
    """
    path = Path(os.path.expanduser(path))
    with open_audio(path) as file:
        resampler = Resampler(file.rate) if file.rate != SAMPLE_RATE else None
        empty = True
        for samples in _mono(path, file, channel):
            empty = False
            yield resampler.push(samples) if resampler else samples
        if resampler:
            yield resampler.flush()
    if empty:
        raise InputError(f"{path}: holds no samples; was the recording cut off?")


def _mono(path: Path, file: OpenAudio, channel: int | None) -> Iterator[Floats]:
    if channel is None and file.channels > 1:
        blocks = (clean(block.ravel()).reshape(block.shape) for block in file.blocks)
        return one_channel(blocks, file.rate, file.channels, str(path))
    if (channel or 1) > file.channels:
        raise InputError(
            f"{path}: has no channel {channel}, only {file.channels}; choose another --channel"
        )
    return (clean(block[:, (channel or 1) - 1]) for block in file.blocks)


def read_audio(path: str | Path, channel: int | None = None) -> Floats:
    """All of a file as (n,) samples in [-1, 1]; arguments and errors as in ``stream_audio``."""
    return np.concatenate(list(stream_audio(path, channel)))


def clean(samples: Floats) -> Floats:
    """The same samples with NaN and infinity as silence and everything else within [-1, 1].

    A broken driver or plug-in can deliver either (bare ALSA ``null`` does); a single NaN would
    otherwise live in the recurrent state for ever. Good samples come back as they are, not copied.
    """
    # Two passes without a copy are all that good audio costs; NaN fails both comparisons.
    if len(samples) and np.minimum.reduce(samples) >= -1 and np.maximum.reduce(samples) <= 1:
        return samples
    return np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
