"""What YAML gave to a frozen dataclass; a mistake is one sentence with the key and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from edge.contract import ConfigError, cut, quoted


def read_section(kind: Any, raw: Any, where: str, path: str) -> Any:
    """A dataclass ``kind`` from a mapping; ``path`` is its key in the file ``where``."""
    if not isinstance(raw, Mapping):
        at = f"{where}: {path}" if path else where
        raise ConfigError(f"{at}: expected 'key: value' lines, found {type(raw).__name__}")
    kinds = get_type_hints(kind, include_extras=True)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        full = f"{path}.{_word(key)}" if path else _word(key)
        require_known(key, list(kinds), f"{where}: unknown key", f"known: {', '.join(kinds)}", full)
        values[key] = _fit(value, kinds[key], where, full)
    return kind(**values)


def require_known(key: Any, known: list[str], what: str, otherwise: str, full: str = "") -> None:
    """``ConfigError`` for a key that is not ``known``, with the nearest one that is."""
    if key not in known:
        near = difflib.get_close_matches(_word(key), known, 1)
        hint = f"did you mean '{near[0]}'?" if near else otherwise
        raise ConfigError(f"{what} '{full or _word(key)}'; {hint}")


def _word(key: Any) -> str:
    """A key in a message, without the quotes of a value."""
    return cut(key) if isinstance(key, str) else quoted(key)


def _fit(value: Any, kind: Any, where: str, path: str) -> Any:
    if get_origin(kind) in (Union, UnionType):
        if value is None:
            return None
        kind = next(k for k in get_args(kind) if k is not type(None))
    if is_dataclass(kind):
        return read_section(kind, value, where, path)
    if get_origin(kind) is tuple:
        rows = [value] if isinstance(value, str) else value
        if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
            raise ConfigError(f"{where}: {path}: expected a list of strings, found {quoted(value)}")
        return tuple(_scalar(row, str, f"{where}: {path}") for row in rows)
    if get_origin(kind) not in (Annotated, Literal) and get_origin(kind) is not None:
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"{where}: {path}: expected 'name: number' lines, found {quoted(value)}"
            )
        return {
            k: _fit(v, get_args(kind)[1], where, f"{path}.{_word(k)}") for k, v in value.items()
        }
    return _scalar(value, kind, f"{where}: {path}")


def _scalar(value: Any, kind: Any, where: str) -> Any:
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            choice = ", ".join(get_args(kind))
            raise ConfigError(f"{where}: expected {choice}, found {quoted(value)}")
        return value
    span = None
    if get_origin(kind) is Annotated:
        kind, span = get_args(kind)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ConfigError(f"{where}: expected {kind.__name__}, found {quoted(value)}")
    if kind is str and "\0" in value:  # no file and no device can have it in its name
        raise ConfigError(f"{where}: a zero byte in {quoted(value)}")
    # Written so that NaN is out of range.
    if span and not span.low <= value <= span.high:
        raise ConfigError(f"{where}: expected {span.low} to {span.high}, found {quoted(value)}")
    return kind(value)
