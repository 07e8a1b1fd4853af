"""A sheet of blendshapes (CSV) to a capture and back: Live Link Face's own, or one with seconds."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterable, Mapping
from io import TextIOWrapper
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract import ARKIT_52, FPS, INDEX
from edge.files import atomic_write
from quantize.data.clips import LONGEST_GAP, Capture, UnfitClipError


def read_csv(path: Path) -> Capture:
    """ARKit columns of a Live Link Face CSV or of a plain sheet with a ``time_s`` column.

    A row with times but no weights says that no face was seen.
    """
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = [row for row in csv.reader(file) if row]
    if len(rows) < 3:
        raise UnfitClipError(f"{path.name} holds fewer than two frames")
    header = [name.strip() for name in rows[0]]
    rows = [row for row in rows[1:] if len(row) == len(header)]
    arkit = [(i, name[:1].lower() + name[1:]) for i, name in enumerate(header)]
    columns = [(i, name) for i, name in arkit if name in INDEX]
    if not columns:
        raise UnfitClipError(f"{path.name} has no ARKit column; expected e.g. '{ARKIT_52[17]}'")
    strange = [n for _, n in arkit if n not in INDEX and not NOT_A_SHAPE.match(n)]
    if strange:
        raise UnfitClipError(f"{path.name}: unknown channel '{strange[0]}'; use the ARKit names")
    try:
        values = np.array([[float(row[i] or "nan") for i, _ in columns] for row in rows])
    except ValueError as error:
        raise UnfitClipError(f"{path.name}: {error}") from error
    seen = np.array([any(row[i].strip() for i, _ in columns) for row in rows])
    times = _times(path, header, rows)
    # Phones drop frames, so the rows are placed by their own times, not by counting.
    new = np.concatenate([[True], np.diff(np.maximum.accumulate(times)) > 0])
    times, values, seen = times[new] - times[0], values[new], seen[new]
    if len(times) < 2:
        raise UnfitClipError(f"{path.name}: time does not advance")
    if not seen.any():
        raise UnfitClipError(f"{path.name}: no face was seen in any frame")
    even = np.arange(0, times[-1], 1 / FPS)
    after = np.searchsorted(times, even)
    before = np.maximum(0, np.searchsorted(times, even, "right") - 1)
    known = seen[before] & seen[after] & (times[after] - times[before] <= LONGEST_GAP)
    values = np.stack([np.interp(even, times[seen], column) for column in values[seen].T], axis=1)
    names = tuple(n for _, n in columns)
    return Capture(names, values.astype(np.float32), float(FPS), None if known.all() else known)


NOT_A_SHAPE = re.compile(r"(?i)time|blendshapecount|frame|head(yaw|pitch|roll)|(left|right)eye")


def _times(path: Path, header: list[str], rows: list[list[str]]) -> NDArray[np.float64]:
    """Seconds of each row."""
    lower = [name.lower() for name in header]
    try:
        if "time_s" in lower:
            at = lower.index("time_s")
            return np.array([float(row[at]) for row in rows])
        at = lower.index("timecode")
        return np.array([timecode(row[at]) for row in rows])
    except ValueError as error:
        raise UnfitClipError(
            f"{path.name}: no usable time; expected a 'time_s' or 'Timecode' column ({error})"
        ) from error


def timecode(text: str, fps: float = 60.0) -> float:
    """Seconds of ``hh:mm:ss:ff.fff``; Live Link counts frames of 1/60 s."""
    hours, minutes, seconds, frames = text.replace(";", ":").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(frames) / fps


def first_timecode(path: Path) -> float | None:
    """Seconds of the ``Timecode`` of a sheet's first row; ``None`` where it has none."""
    with path.open() as file:
        rows = csv.DictReader(file)
        first = next(rows, None)
    stamp = (first or {}).get("Timecode")
    try:
        return timecode(stamp) if stamp else None
    except ValueError:
        return None


def write_sheet(path: Path, rows: Iterable[tuple[float, Mapping[str, float] | None]]) -> int:
    """Rows of (seconds, weights by ARKit name, ``None`` where no face was seen); how many saw one.

    Begins with second 0, which is where the sound begins.
    """
    seen = 0
    with atomic_write(path) as binary, TextIOWrapper(binary, "utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time_s", *ARKIT_52])
        empty = [""] * len(ARKIT_52)
        for k, (seconds, weights) in enumerate(rows):
            if k == 0 and seconds > 0:
                writer.writerow(["0", *empty])
            known = [f"{weights.get(n, 0.0):.5f}" for n in ARKIT_52] if weights else empty
            writer.writerow([f"{seconds:.5f}", *known])
            seen += bool(weights)
    return seen
