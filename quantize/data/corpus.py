"""``--data`` to a training corpus: recordings rendered anew, or the shards of ``prepare``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edge.contract import ARKIT_52, ConfigError
from quantize.data.augment import Rooms
from quantize.data.clips import Clip, DataError
from quantize.data.load import load
from quantize.data.phones import Phone
from quantize.data.renditions import read_rooms
from quantize.data.shards import VERSION, read
from quantize.data.streams import (
    LoadedClip,
    TrainingStream,
    joined,
    load_audio,
    render_all,
    render_as_recorded,
)
from quantize.data.targets import LEARNED, Scale, fit_scales

LEARNED_SHAPES = np.isin(ARKIT_52, LEARNED)
"""(52,) channels learned from speech; shards hold brows and eyes too."""


@dataclass(frozen=True)
class Corpus:
    """Training clips, and those it is validated on."""

    clips: Sequence[LoadedClip]
    """Training clips, as ``TrainingStream.clip`` counts them; clips of shards have no samples."""
    scales: dict[str, Scale]
    """Of each source that pairs a voice with a face."""
    validation: Sequence[TrainingStream]
    """Clips held back, as they are."""
    make: Callable[[int], TrainingStream]
    """The ``k``-th rendition of all training clips in one stream."""
    times: int
    """How many different renditions there are."""


def read_corpus(
    data: Sequence[str],
    out: Path,
    noise: str | None,
    seed: int,
    repeat: dict[str, int],
    times: int,
    upper: bool = False,
    speech: bool = False,
) -> Corpus:
    """The clips under ``data``; ``repeat`` says how often a source is used at one time.

    ``data`` is folders of recordings, or the one folder that ``prepare`` made. Raises ``DataError``
    where nothing can be learned. With ``upper`` the captured upper face is a target too: words may
    move it; from a voice alone ``edge.idle_motion`` draws it better. With ``speech`` streams hold
    features of ``speech_encoder``; shards do where they were prepared so.
    """
    shards = [d for d in data if any(Path(d).glob("shards/*.tar"))]
    if shards and len(data) > 1:
        raise ConfigError(
            f"{shards[0]} holds shards: give it alone, made by edge-quantize prepare from all data"
        )
    if shards and noise:
        raise ConfigError(f"{shards[0]} holds shards: noise is mixed in by prepare --noise")
    if shards:
        if upper:
            raise ConfigError(f"{shards[0]}: shards hold no words' times; train from recordings")
        corpus = _prepared(Path(shards[0]), repeat, times)
    else:
        corpus = _recorded(data, out, read_rooms(noise), seed, repeat, times, upper, speech)
    if not any(scale.live.any() for scale in corpus.scales.values()):
        raise DataError("no clip pairs a voice with a moving face; nothing can be learned")
    return corpus


def _recorded(
    data: Sequence[str],
    out: Path,
    rooms: Rooms,
    seed: int,
    repeat: dict[str, int],
    times: int,
    upper: bool,
    speech: bool,
) -> Corpus:
    clips, _ = load([Path(d) for d in data])
    training = [c for c in clips if c.split == "train"]
    loaded = load_audio(training, out / "phones.json", partial(tqdm, desc="finding phones"))
    learned = fit_scales(training)
    scales = _paired(fit_scales(training, ARKIT_52) if upper else learned, loaded)
    held = [c for c in clips if c.split == "validation" and c.audio and c.capture]
    validation = [
        render_as_recorded(s, learned, speech) for s in load_audio(held, out / "phones.json")
    ]
    make = partial(_render, loaded, scales, rooms, seed, repeat, speech)
    return Corpus(loaded, scales, validation, make, times)


def _render(
    loaded: Sequence[LoadedClip],
    scales: dict[str, Scale],
    rooms: Rooms,
    seed: int,
    repeat: dict[str, int],
    speech: bool,
    k: int,
) -> TrainingStream:
    return render_all(loaded, scales, rooms, seed * 1000 + k, repeat, speech)


def _paired(scales: dict[str, Scale], loaded: Sequence[LoadedClip]) -> dict[str, Scale]:
    """The scales of the sources that have audio, in the order of their names."""
    sources = {s.clip.source for s in loaded}
    return {source: scales[source] for source in sorted(sources & scales.keys())}


def _prepared(folder: Path, repeat: dict[str, int], times: int) -> Corpus:
    record, shards = _note(folder), folder / "shards"
    loaded = [_clip_of(clip) for clip, _ in read(shards, "train")]
    scales = {
        source: Scale(
            *(np.array(scale[k], np.float32) * LEARNED_SHAPES for k in ("zero", "factor"))
        )
        for source, scale in record["scales"].items()
    }
    held = (_learned_only(stream) for _, stream in read(shards, "validation"))
    at = {s.clip.id: k for k, s in enumerate(loaded)}
    return Corpus(
        loaded,
        _paired(scales, loaded),
        [stream for stream in held if stream.live.any()],
        partial(_unpack, shards, at, repeat),
        min(times, record["renditions"]),
    )


def _note(folder: Path) -> dict[str, Any]:
    """What ``prepare`` noted, if all it wrote is there."""
    path = folder / "prepared.json"
    if not path.exists():
        raise DataError(f"{path} is missing; run edge-quantize prepare to its end, or copy it too")
    record: dict[str, Any] = json.loads(path.read_text())
    if record.get("version") != VERSION:
        raise DataError(
            f"{folder}: shards of another version of EdgeTalk; make them again with "
            "edge-quantize prepare"
        )
    if gone := [name for name in record["shards"] if not (folder / "shards" / name).exists()]:
        raise DataError(f"{folder}/shards/{gone[0]} is missing; copy or prepare it again")
    return record


def _clip_of(record: dict[str, Any]) -> LoadedClip:
    """A training clip as far as a shard describes it."""
    known = {k: record[k] for k in ("id", "source", "speaker", "emotion", "level", "text")}
    phones = tuple(Phone(**p) for p in record["phones"])
    clip = Clip(split="train", audio=None, phones=phones, **known)
    return LoadedClip(clip, np.zeros(0, np.int16), phones)


def _unpack(shards: Path, at: dict[str, int], repeat: dict[str, int], k: int) -> TrainingStream:
    parts = []
    for clip, stream in read(shards, "train", k):
        index = np.where(stream.clip < 0, -1, at[clip["id"]]).astype(np.int32)
        parts += [replace(_learned_only(stream), clip=index)] * repeat.get(clip["source"], 1)
    return joined(parts)


def _learned_only(stream: TrainingStream) -> TrainingStream:
    """The stream without what is not learned from speech."""
    return replace(
        stream, targets=stream.targets * LEARNED_SHAPES, live=stream.live & LEARNED_SHAPES
    )
