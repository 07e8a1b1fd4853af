"""Training streams as WebDataset shards (tar files), and back.

``SPLIT-RRR-NNNNNN.tar`` holds samples of rendition R of a split; 0 is each clip in its own voice.
A sample is one rendition of one clip. Its files: ``mels.npy`` (T, N_MELS), ``weights.npy`` (T, 52)
in the common range, ``mask.npy`` (T, 52) where the weights mean something, ``visemes.npy`` (T,)
index into ``VISEMES`` or -1, ``moment.npy`` (T,) seconds into the recording (-1 in the pause before
it), ``speech.npy`` (T, 288 or 0) for teachers, and ``clip.json`` (id, source, speaker, emotion,
level, text, phones).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from tarfile import TarError
from typing import Any

import numpy as np

from edge.contract import ARKIT_52
from quantize.data.clips import DataError
from quantize.data.streams import LoadedClip, TrainingStream

VERSION = 2
"""Of files and samples, for ``prepared.json``; raise it when a reader would take them wrongly."""
SHARD_BYTES = 64_000_000
"""A shard is closed when it gets longer than this; about an hour of speech."""

Sample = dict[str, Any]


def sample(loaded: LoadedClip, stream: TrainingStream, rendition: int) -> Sample:
    """One clip as WebDataset writes it."""
    clip = loaded.clip
    described = {
        "id": clip.id,
        "source": clip.source,
        "speaker": clip.speaker,
        "emotion": clip.emotion,
        "level": clip.level,
        "text": clip.text,
        "phones": [asdict(p) for p in loaded.phones],
    }
    time = np.where(stream.clip >= 0, stream.time, -1)
    return {
        # A key may hold neither dots nor folders.
        "__key__": f"{re.sub(r'[^A-Za-z0-9_-]', '-', clip.id)}-{rendition:03d}",
        "mels.npy": _npy(stream.mels.astype(np.float16)),
        "weights.npy": _npy(stream.targets.astype(np.float16)),
        "mask.npy": _npy(np.packbits(stream.live, axis=1)),
        "visemes.npy": _npy(stream.visemes.astype(np.int8)),
        "moment.npy": _npy(time.astype(np.float32)),
        "speech.npy": _npy(stream.speech),
        "clip.json": json.dumps(described).encode(),
    }


def _npy(values: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def write(samples: Iterable[Sample], folder: Path, split: str, rendition: int) -> int:
    """The shards of one rendition of a split; how many samples were written."""
    import webdataset  # type: ignore[import-untyped,import-not-found,unused-ignore]

    count = 0
    pattern = str(folder / f"{split}-{rendition:03d}-%06d.tar")
    with webdataset.ShardWriter(pattern, maxsize=SHARD_BYTES, verbose=0) as shards:
        for one in samples:
            shards.write(one)
            count += 1
    return count


def read(
    folder: Path, split: str, rendition: int = 0
) -> Iterator[tuple[dict[str, Any], TrainingStream]]:
    """Every sample of one rendition of a split: the description of the clip, and its stream.

    Raises ``DataError`` for a shard that is damaged, such as half copied.
    """
    from webdataset import tariterators  # type: ignore[import-untyped,import-not-found,unused-ignore]

    for path in sorted(folder.glob(f"{split}-{rendition:03d}-*.tar")):
        # Opened here, because webdataset's own opener leaves files open until they are collected.
        with path.open("rb") as file:
            files = tariterators.tar_file_expander([{"url": path.name, "stream": file}])
            try:
                for one in tariterators.group_by_keys(files):
                    yield json.loads(one["clip.json"]), _stream(one)
            except (TarError, ValueError, KeyError, EOFError) as error:
                raise DataError(f"{path}: damaged ({error}); copy or prepare it again") from error


def _stream(one: Sample) -> TrainingStream:
    def values(name: str) -> np.ndarray[Any, Any]:
        return np.asarray(np.load(io.BytesIO(one[f"{name}.npy"])))

    time = values("moment")
    return TrainingStream(
        values("mels").astype(np.float32),
        values("weights").astype(np.float32),
        np.unpackbits(values("mask"), axis=1, count=len(ARKIT_52)).astype(bool),
        values("visemes").astype(np.int64),
        np.ones(len(time), np.float32),
        np.where(time < 0, -1, 0).astype(np.int32),
        np.maximum(time, 0),
        values("speech"),
    )
