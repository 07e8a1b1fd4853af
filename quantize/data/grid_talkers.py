"""Fifteen GRID talkers beside s1, with lip points and head pose; split by talker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quantize.data.clips import Capture, Clip, ClipReader, UnfitClipError
from quantize.data.landmarks import Landmarks

TEST_TALKERS = ("s10", "s14", "s15", "s16", "s17", "s20", "s23", "s31")
"""Never trained on, nor used to choose anything; s20 and a clip of s23 are in another set."""

OTHER_TALKERS = {
    "brbk7n": "s20",
    "lrwp9a": "s23",
    "lbax4n": "s5",
    "id2_vcd_swwp2s": "s2",
    "pwij3p": "s2",
}
"""Who speaks in the clips of ``grid_other_speakers``."""


def read_grid_talkers(folder: Path) -> Iterator[ClipReader]:
    """The training talkers' clips are ``train``, the others' ``test``, as the file says.

    Each talker is a source, with a scale and a style of his own, as s1 is: MediaPipe's shapes rest
    and spread differently from face to face, and no voice tells how.
    """
    stored = dict(np.load(folder / "blendshapes.npz"))
    columns = zip(stored["ids"], stored["talkers"], stored["splits"], strict=True)

    def make(at: int, name: str, talker: str, split: str) -> Clip:
        if (split == "test") != (talker in TEST_TALKERS):
            raise UnfitClipError(f"talker {talker} is marked {split}; a talker has one split")
        align = folder / "align" / f"{name}.align"
        text = read_align(align) if align.exists() else None
        audio = folder / "audio" / f"{name}.flac"
        capture = grid_capture(stored, at)
        return Clip(
            f"grid_talkers/{name}",
            f"grid_{talker}",
            f"grid_{talker}",
            split,
            audio,
            capture,
            text=text or None,
        )

    for at, row in enumerate(columns):
        name, talker, split = (str(value) for value in row)
        yield f"grid_talkers/{name}", partial(make, at, name, talker, split)


def grid_capture(stored: Mapping[str, Any], at: int) -> Capture:
    """Face of clip number ``at`` of a GRID file, with its landmarks where the file has some."""
    frames = slice(*stored["offsets"][at : at + 2])
    landmarks = None
    if "lip_points" in stored:
        ids = tuple(int(i) for i in stored["lip_point_ids"])
        points, head = (stored[k][frames].astype(np.float32) for k in ("lip_points", "head_matrix"))
        landmarks = Landmarks(ids, points, head)
    names = tuple(str(n) for n in stored["arkit_names"])
    values = stored["arkit52"][frames].astype(np.float32)
    return Capture(names, values, float(stored["fps"]), landmarks=landmarks)


def read_align(path: Path) -> str:
    """The words of a GRID ``.align`` file, without its silences."""
    return " ".join(word for _, _, word in read_words(path))


def read_words(path: Path) -> list[tuple[float, float, str]]:
    """(start, end, word) of a GRID ``.align`` file, in seconds, without its silences."""
    rows = (line.split() for line in path.read_text().splitlines() if line.strip())
    aligned = ((int(start) / 25_000, int(end) / 25_000, word) for start, end, word in rows)
    return [row for row in aligned if row[2] not in ("sil", "sp")]
