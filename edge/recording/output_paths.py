"""The files that a run reads and writes, so that no output destroys an input or another output."""

from __future__ import annotations

import os
from pathlib import Path

from edge.bundle import DEFAULT
from edge.config import Config
from edge.contract import UsageError
from edge.recording.audio_record import older
from edge.recording.face_record import split_record


def inputs_of(config: Config, config_file: str | None) -> list[Path | int]:
    """What no output may overwrite: audio, the configuration's file, and those of the bundle.

    Paths, and 0 for standard input, which may be a file.
    """
    folder = Path(config.bundle) if config.bundle else DEFAULT
    found: list[Path | int] = [*folder.glob("*")]
    if config_file:
        found.append(Path(config_file))
    if config.mic == "-":
        found.append(0)
    elif config.mic.startswith("file:"):
        found.append(Path(config.mic.removeprefix("file:")))
    return found


def check_distinct(config: Config, render: str | None = None) -> None:
    """``UsageError`` if two outputs are one file, of which one would be lost."""
    places: list[tuple[str, Path]] = []
    if config.record:
        places.append(("--record", split_record(config.record)[1]))
    if config.record_audio:
        audio = Path(config.record_audio)
        places += [("--record-audio", audio), ("--record-audio (older half)", older(audio))]
    if render:
        places.append(("--render", Path(render)))
    taken: dict[str, str] = {}
    for flag, path in places:
        first = taken.setdefault(os.path.realpath(path), flag)
        if first != flag:
            raise UsageError(f"{first} and {flag} both write {path}; give each its own name")
