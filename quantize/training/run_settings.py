"""``run.yaml`` to the settings of a run, and back: what decides a training, kept beside it."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from edge.contract import ConfigError
from edge.files import write_text
from edge.safe_yaml import read_yaml

Run = TypeVar("Run", bound=Any)


def read_settings(kind: type[Run], path: Path | None, **changes: Any) -> Run:
    """A ``run.yaml``, or the defaults, to settings; keyword arguments that are not ``None`` win."""
    try:
        raw = (read_yaml(path) or {}) if path else {}
        raw.pop("train", None)
        settings = build(kind, raw | {k: v for k, v in changes.items() if v is not None})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path or 'settings'}: {error}") from error
    if not settings.data:
        raise ConfigError("no data: give --data DIR, or 'data' in the file of --config")
    return settings


def build(kind: Any, raw: dict[str, Any]) -> Any:
    """A settings dataclass, and those in it, from what YAML gave; ``TypeError`` names a key."""
    hints = get_type_hints(kind)
    if unknown := [key for key in raw if key not in hints]:
        raise TypeError(f"unknown key '{unknown[0]}'; known: {', '.join(hints)}")
    made = {}
    for key, value in raw.items():
        if is_dataclass(hints[key]):
            value = build(hints[key], value)
        elif isinstance(value, list):
            value = tuple(value)
        made[key] = value
    return kind(**({"data": ()} | made) if "data" in hints else made)


def keep_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write ``run.yaml``; refuses a folder that holds a run with other settings."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "run.yaml"
    wanted = yaml.safe_dump(settings, sort_keys=False)
    if path.exists() and path.read_text() != wanted:
        raise ConfigError(f"{path} has other settings; choose another --out or delete it")
    write_text(path, wanted)


def plain_settings(run: Any) -> dict[str, Any]:
    """A settings dataclass as YAML writes it: tuples become lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return list(value) if isinstance(value, tuple) else value

    settings: dict[str, Any] = plain(asdict(run))
    return settings
