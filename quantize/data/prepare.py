"""Recordings, takes and videos to shards of features: ``edge-quantize prepare``.

The folder holds ``takes/`` (what videos were turned into: train from it like from any recording),
``shards/``, ``phones.json`` and ``prepared.json`` (what went in, what was left out and why, the
scale of each source). A student or a teacher trains from it, also where the recordings are not.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edge.contract import ARKIT_52, SAMPLE_RATE
from edge.files import write_text
from quantize.data.augment import Rooms
from quantize.data.clips import Clip, ClipReader, DataError, Skipped, UnfitClipError, gather
from quantize.data.load import load
from quantize.data.readers import READERS, find_videos, read_folder, read_pairs
from quantize.data.shards import VERSION, Sample, sample, write
from quantize.data.streams import LoadedClip, load_audio, render_as_recorded, render_clip
from quantize.data.targets import Scale, fit_scales
from quantize.data.video import Look, film_take, landmarker, phone_take

log = logging.getLogger(__name__)


@dataclass
class PreparedClips:
    """Clips, and those left out."""

    clips: list[Clip] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, found: tuple[list[Clip], list[Skipped]]) -> None:
        """Take in what was read."""
        self.clips += found[0]
        self.skipped += found[1]


def prepare(
    data: Sequence[Path],
    out: Path,
    *,
    model: Path | None = None,
    rooms: Rooms | None = None,
    renditions: int = 1,
    seed: int = 0,
    speech: bool = False,
) -> dict[str, int]:
    """Make ``out``; how many samples each split holds.

    Training clips are rendered once in their own voice and ``renditions - 1`` times in others;
    validation and test clips once, as they are. With ``speech`` for teachers that read
    ``quantize.data.speech_encoder`` too: shards grow eightfold.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = _read_all(data, out, model)
    # A source without a training clip is scaled by what it has, such as a single video.
    scales = fit_scales(found.clips, ARKIT_52)
    scales |= fit_scales([c for c in found.clips if c.split == "train"], ARKIT_52)
    shards = _empty(out)
    counts = {}
    for split in ("train", "validation", "test"):
        clips = [c for c in found.clips if c.split == split and c.audio]
        if not clips:
            continue
        bar = partial(tqdm, desc=f"{split}: finding phones")
        loaded = load_audio(clips, out / "phones.json", bar)
        minutes = sum(len(s.samples) for s in loaded) / SAMPLE_RATE / 60
        log.info("%s: %d clips, %.1f min", split, len(loaded), minutes)
        counts[split] = 0
        for k in range(renditions if split == "train" else 1):
            samples = _render(loaded, scales, rooms or Rooms(), k, seed, speech)
            bar_text = f"{split}: writing rendition {k + 1}"
            counts[split] += write(tqdm(samples, bar_text, len(loaded)), shards, split, k)
    _note(out, data, found.skipped, scales, counts, renditions, seed)
    return counts


def _read_all(data: Sequence[Path], out: Path, model: Path | None) -> PreparedClips:
    """The clips of all folders; ``DataError`` where there is none."""
    found = PreparedClips()
    for folder in data:
        found.add(_read(folder, out / "takes" / folder.name, model))
    if not found.clips:
        why = f"; e.g. {found.skipped[0].reason}" if found.skipped else ""
        raise DataError(f"{', '.join(map(str, data))}: no usable clip{why}")
    return found


def _empty(out: Path) -> Path:
    """The folder for shards, without old ones and their note."""
    (out / "prepared.json").unlink(missing_ok=True)
    folder = out / "shards"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.tar"):
        old.unlink()
    return folder


def _render(
    clips: Sequence[LoadedClip],
    scales: dict[str, Scale],
    rooms: Rooms,
    rendition: int,
    seed: int,
    speech: bool,
) -> Iterator[Sample]:
    """Every clip once, the first time in its own voice; each time in another order."""
    rng = np.random.default_rng((seed, rendition))
    for at in rng.permutation(len(clips)):
        loaded = clips[at]
        if rendition == 0:
            stream = render_as_recorded(loaded, scales, speech)
        else:
            stream = render_clip(loaded, 0, scales, rooms, rng, speech)
        yield sample(loaded, stream, rendition)


def _read(folder: Path, takes: Path, model: Path | None) -> tuple[list[Clip], list[Skipped]]:
    """The clips of one folder; its videos become takes first."""
    videos = find_videos(folder) if folder.is_dir() and folder.name not in READERS else []
    if not videos:
        return load([folder])
    takes.mkdir(parents=True, exist_ok=True)
    found = PreparedClips()
    with ExitStack() as stack:
        begin: Callable[[], Look] | None = None
        for video in videos:
            sheet = video.with_suffix(".csv")
            if not sheet.exists() and begin is None:
                begin = stack.enter_context(landmarker(model))
            clip_id = f"{folder.name}/{video.stem}"
            try:
                _take(video, sheet, takes / video.stem, begin)
            except UnfitClipError as error:
                log.warning("skipped %s: %s", clip_id, error)
                found.skipped.append(Skipped(clip_id, str(error)))
    makes: list[ClipReader] = [*read_pairs(folder), *read_folder(takes)]
    found.add(gather(makes))
    return found.clips, found.skipped


def _take(video: Path, sheet: Path, out: Path, begin: Callable[[], Look] | None) -> None:
    """Make a take, unless it was made after the video was."""
    made = [out.with_suffix(s) for s in (".csv", ".wav")]
    if all(m.exists() and m.stat().st_mtime > video.stat().st_mtime for m in made):
        log.info("%s: its take is kept", video.name)
    elif sheet.exists():
        phone_take(video, sheet, out)
        log.info("%s: sound for %s", video.name, sheet.name)
    else:
        assert begin is not None
        share = film_take(video, out, begin(), partial(tqdm, desc=video.name))
        log.info("%s: a face in %.0f %% of the frames", video.name, share * 100)


def _note(
    out: Path,
    data: Sequence[Path],
    skipped: Sequence[Skipped],
    scales: dict[str, Scale],
    counts: dict[str, int],
    renditions: int,
    seed: int,
) -> None:
    record: dict[str, Any] = {
        "version": VERSION,
        "shards": sorted(path.name for path in (out / "shards").glob("*.tar")),
        "data": [str(d) for d in data],
        "renditions": renditions,
        "seed": seed,
        "samples": counts,
        "skipped": [asdict(s) for s in skipped],
        "scales": {
            source: {"zero": scale.zero.tolist(), "factor": scale.factor.tolist()}
            for source, scale in scales.items()
        },
    }
    write_text(out / "prepared.json", json.dumps(record, indent=1) + "\n")
