"""A folder to the audio files in it."""

from __future__ import annotations

import os
from pathlib import Path

from edge.audio import audio_file as audio
from edge.contract import InputError


def find_audio(folder: Path) -> tuple[list[Path], list[Path]]:
    """The audio files in a folder and below, by name, and the other files.

    Hidden files are neither. Raises ``InputError`` if there is no audio, or no permission to look.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder; for a file use edge-run --offline --record")
    files = [
        Path(place, name)
        for place, _, names in os.walk(folder, onerror=_not_permitted)
        for name in sorted(names)
        if not name.startswith(".")
    ]
    found = sorted(p for p in files if p.suffix.lower() in audio.SUFFIXES and p.is_file())
    if not found:
        raise InputError(f"{folder}: no audio in it ({', '.join(audio.SUFFIXES)})")
    return found, sorted(p for p in files if p.suffix.lower() not in audio.SUFFIXES)


def _not_permitted(error: OSError) -> None:
    raise InputError(
        f"{error.filename}: {(error.strerror or 'cannot be read').lower()}; give this user the "
        "right to read the folder"
    ) from error
