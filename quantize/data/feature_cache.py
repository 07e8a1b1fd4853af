"""Features of recordings on disk in 16 bits, so that a training starts in seconds.

One file a recording, named after its samples and what computed them: a recording that changes, or
another encoder, is another file. Several processes may fill one folder; each file is whole or not
there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.audio.audio_file import read_audio
from edge.contract import Floats, faces_within
from edge.files import atomic_write
from quantize.data.clips import Clip, DataError
from quantize.data.whisper_encoder import DIGEST, MIDDLE, LayerGroups, whisper_features

Half = NDArray[np.float16]
HIGHEST = float(np.finfo(np.float16).max)


class FeatureCache:
    """Features of sound that were computed once."""

    def __init__(
        self, folder: Path, encoder: str, compute: Callable[[Floats, int], Floats]
    ) -> None:
        """Keep what ``compute`` (samples, frames) gives; ``encoder`` names it and its version."""
        self.folder, self.encoder, self._compute = folder, encoder, compute
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, samples: Floats) -> Path:
        """The file for samples (n,) at 16 kHz, there or not; equal to 16 bits is equal."""
        digest = sha256(self.encoder.encode() + b"\0")
        digest.update((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        return self.folder / f"{digest.hexdigest()[:32]}.npy"

    def features(self, samples: Floats) -> Half:
        """(frames, C) of samples (n,) at 16 kHz, mapped from disk; computed if not there yet.

        Raises ``DataError`` where the file is damaged.
        """
        path = self.path(samples)
        if not path.exists():
            found = self._compute(samples, faces_within(len(samples)))
            with atomic_write(path) as file:
                np.save(file, np.clip(found, -HIGHEST, HIGHEST).astype(np.float16))
        try:
            stored: Half = np.load(path, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise DataError(f"{path}: damaged ({error}); delete it") from error
        if len(stored) != faces_within(len(samples)):
            raise DataError(f"{path}: {len(stored)} frames of another recording; delete it")
        return stored

    def fill(self, clips: Iterable[Clip]) -> int:
        """Compute what is missing of clips with sound; how many were computed.

        What is there already is only looked up, so an interrupted call goes on when repeated.
        """
        computed = 0
        for clip in clips:
            if clip.audio is None:
                continue
            samples = read_audio(clip.audio)
            if not self.path(samples).exists():
                self.features(samples)
                computed += 1
        return computed


def whisper_cache(folder: Path, groups: LayerGroups = MIDDLE) -> FeatureCache:
    """Whisper base's layers, averaged within each group."""
    layers = "+".join("-".join(map(str, group)) for group in groups)
    return FeatureCache(
        folder,
        f"whisper-base {DIGEST} {layers}",
        lambda samples, frames: whisper_features(samples, frames, groups),
    )
