"""Folders of recordings to the clips in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quantize.data.clips import Clip, DataError, Skipped, gather
from quantize.data.readers import find_reader


def load(folders: Iterable[Path]) -> tuple[list[Clip], list[Skipped]]:
    """All clips under ``folders``: the sets EdgeTalk knows by name, else CSV files beside audio.

    Raises ``DataError`` if a folder is missing or yields no clip.
    """
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; give the folder that holds the data")
        found, left = gather(find_reader(folder)(folder))
        if not found:
            if any(folder.glob("shards/*.tar")):
                raise DataError(f"{folder}: only a student or a teacher trains from shards alone")
            why = f"; e.g. {left[0].id}: {left[0].reason}" if left else ""
            raise DataError(f"{folder}: no usable clip among {len(left)}{why}")
        clips += found
        skipped += left
    return clips, skipped
