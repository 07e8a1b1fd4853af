"""Training streams as WebDataset shards (tar files that torchrun's processes share out) and back.

A sample is one clip said once, in its own voice or another. Its files: ``mels.npy`` (T, N_MELS),
``weights.npy`` (T, 52) in the common range, ``mask.npy`` (T, 52) where the weights mean something,
``visemes.npy`` (T,) index into ``VISEMES`` or -1, ``moment.npy`` (T,) seconds into the recording
(-1 in the pause before it), and ``clip.json`` (id, source, speaker, emotion, level, text, phones).
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract import ARKIT_52
from quantize.data import DataError
from quantize.streams import Spoken, Stream

SHARD_BYTES = 64_000_000
"""A shard is closed when it gets longer than this; about an hour of speech."""
FEWEST_SHARDS = 4
"""Training is cut into at least this many, so that as many processes find one each."""

Sample = dict[str, Any]


def sample(spoken: Spoken, stream: Stream, rendition: int) -> Sample:
    """One clip as WebDataset writes it."""
    clip = spoken.clip
    told = {
        "id": clip.id,
        "source": clip.source,
        "speaker": clip.speaker,
        "emotion": clip.emotion,
        "level": clip.level,
        "text": clip.text,
        "phones": [asdict(p) for p in spoken.phones],
    }
    moment = np.where(stream.clip >= 0, stream.moment, -1)
    return {
        # A key may hold neither dots nor folders.
        "__key__": f"{re.sub(r'[^A-Za-z0-9_-]', '-', clip.id)}-{rendition:03d}",
        "mels.npy": _npy(stream.mels.astype(np.float16)),
        "weights.npy": _npy(stream.targets.astype(np.float16)),
        "mask.npy": _npy(np.packbits(stream.live, axis=1)),
        "visemes.npy": _npy(stream.visemes.astype(np.int8)),
        "moment.npy": _npy(moment.astype(np.float32)),
        "clip.json": json.dumps(told).encode(),
    }


def _npy(values: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def write(samples: Iterable[Sample], folder: Path, split: str, most: int) -> int:
    """``SPLIT-000000.tar`` and so on, of at most ``most`` samples each; how many were written."""
    import webdataset  # type: ignore[import-untyped,import-not-found,unused-ignore]

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{split}-*.tar"):
        old.unlink()
    count = 0
    pattern = str(folder / f"{split}-%06d.tar")
    with webdataset.ShardWriter(pattern, maxcount=most, maxsize=SHARD_BYTES, verbose=0) as shards:
        for one in samples:
            shards.write(one)
            count += 1
    return count


def read(folder: Path, split: str) -> Iterator[tuple[dict[str, Any], Stream]]:
    """Every sample of a split: what is told of the clip, and its stream.

    Under ``torchrun`` each process reads its own share of the shards. Raises ``DataError`` where
    there is none.
    """
    from webdataset import tariterators  # type: ignore[import-untyped,import-not-found,unused-ignore]

    found = sorted(folder.glob(f"{split}-*.tar"))
    if not found:
        raise DataError(f"{folder}: no {split} shards; make them with edge-quantize prepare")
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    for path in found[rank::world]:
        # Opened here, because webdataset's own opener leaves files open until they are collected.
        with path.open("rb") as file:
            files = tariterators.tar_file_expander([{"url": path.name, "stream": file}])
            for one in tariterators.group_by_keys(files):
                yield json.loads(one["clip.json"]), _stream(one)


def _stream(one: Sample) -> Stream:
    def values(name: str) -> np.ndarray[Any, Any]:
        return np.asarray(np.load(io.BytesIO(one[f"{name}.npy"])))

    moment = values("moment")
    return Stream(
        values("mels").astype(np.float32),
        values("weights").astype(np.float32),
        np.unpackbits(values("mask"), axis=1, count=len(ARKIT_52)).astype(bool),
        values("visemes").astype(np.int64),
        np.ones(len(moment), np.float32),
        np.where(moment < 0, -1, 0).astype(np.int32),
        np.maximum(moment, 0),
    )
