"""Speech in about 60 languages without faces, from five sets; split by speaker."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from quantize.data.clips import Clip, ClipReader, split_by_id

VALIDATION, TEST = 0.05, 0.05
"""Share of the speakers."""


def read_speech_60_languages(folder: Path) -> Iterator[ClipReader]:
    """Each ``index.csv`` under ``folder``; a speaker is in one split, whatever set has him.

    Folders of several people (``mixed_…``, ``unknown_…``) count as one speaker.
    """
    for index in sorted(folder.glob("*/index.csv")):
        with index.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            name = f"{index.parent.name}/{Path(row['file']).with_suffix('').as_posix()}"
            yield name, partial(_make, index.parent, name, row)


def _make(folder: Path, name: str, row: dict[str, str]) -> Clip:
    # Common Voice's people are named by language and a hash, the same in each of its sets.
    family = folder.name.split("_")[0].rstrip("0123456789")
    speaker = f"{family}_{row['speaker']}"
    return Clip(
        name,
        folder.name,
        speaker,
        split_by_id(speaker, VALIDATION, TEST),
        folder / row["file"],
        text=row["text"].replace(" / ", " ").strip() or None,
        # "en (L1 Mandarin)", "tw (Twi)"
        language=row["language"].split(" ")[0],
    )
