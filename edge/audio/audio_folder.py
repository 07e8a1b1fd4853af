"""A folder to the audio files in it."""

from __future__ import annotations

import os
from pathlib import Path

from edge.audio import audio_file as audio
from edge.contract import InputError


def find_audio(folder: Path) -> tuple[list[Path], list[Path], dict[Path, InputError]]:
    """The audio files in a folder and below, by name, the other files, and why folders below were
    not searched.

    Hidden files are neither. Raises ``InputError`` if there is no audio, or no permission to look.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder; for a file use edge-run --offline --record")
    closed: dict[Path, InputError] = {}

    def note(error: OSError) -> None:
        closed[Path(error.filename)] = InputError(
            f"{error.filename}: {(error.strerror or 'cannot be read').lower()}; give this user "
            "the right to read the folder"
        )

    files = [
        Path(place, name)
        for place, _, names in os.walk(folder, onerror=note)
        for name in sorted(names)
        if not name.startswith(".")
    ]
    found = sorted(p for p in files if p.suffix.lower() in audio.SUFFIXES and _may_be_file(p))
    if not found:
        raise next(
            iter(closed.values()),
            InputError(f"{folder}: no audio in it ({', '.join(audio.SUFFIXES)})"),
        )
    return found, sorted(p for p in files if p.suffix.lower() not in audio.SUFFIXES), closed


def _may_be_file(path: Path) -> bool:
    """Also true where permission is missing: whoever reads it then says so."""
    try:
        return path.is_file()
    except OSError:
        return True
