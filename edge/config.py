"""``edge.yaml`` to frozen dataclasses; a misspelt key is an error that names the right one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from edge.contract import ConfigError


@dataclass(frozen=True, slots=True)
class Config:
    """Everything ``edge-run`` can be told; each key has a flag of the same name."""

    mic: str = "default"
    """``default``, a name, an index, ``file:PATH``, or ``-`` for raw s16le 16 kHz on stdin."""
    to: tuple[str, ...] = ("vmc://127.0.0.1:39539",)
    """Where faces go, as ``SCHEME://HOST:PORT``."""
    bundle: str | None = None
    """Folder with ``bundle.yaml``; the one that ships with EdgeTalk if absent."""
    lookahead: int | None = None
    """Milliseconds of future audio a face may hear; the bundle's own choice if absent."""
    seed: int = 0
    """Sets blinks, glances and head motion."""
    record: str | None = None
    """CSV file for the faces."""
    meter: bool = False
    """Live terminal view."""
    engine: str = "auto"
    """``auto``, ``onnxruntime`` or ``tensorrt``."""
    precision: str | None = None
    """``fp32``, ``fp16`` or ``int8``; the engine's own choice if absent."""
    queue_ms: int = 120
    """Audio older than this is dropped, not queued."""


def read_config(path: Path) -> Config:
    """A YAML file to ``Config``; ``ConfigError`` names the file, the key and the way out."""
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; check --config") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    return parse({} if raw is None else raw, str(path))


def parse(raw: Any, where: str) -> Config:
    """Plain data to ``Config``, refusing keys and types that are not its own."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where}: expected 'key: value' lines, found {type(raw).__name__}")
    kinds = get_type_hints(Config)
    known = [f.name for f in fields(Config)]
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"{where}: unknown key '{key}'; {hint}")
        values[key] = _fit(value, kinds[key], f"{where}: {key}")
    return Config(**values)


def _fit(value: Any, kind: Any, where: str) -> Any:
    if get_origin(kind) in (Union, UnionType):
        if value is None:
            return None
        kind = next(k for k in get_args(kind) if k is not type(None))
    if get_origin(kind) is tuple:
        rows = [value] if isinstance(value, str) else value
        if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
            raise ConfigError(f"{where}: expected a list of strings, found {value!r}")
        return tuple(rows)
    if type(value) is not kind:
        raise ConfigError(f"{where}: expected {kind.__name__}, found {value!r}")
    return value
