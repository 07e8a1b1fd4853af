"""YAML from files that anybody may have written: small, shallow, and without bombs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from edge.contract import cut, one_line, quoted
from edge.files import read_regular

# libyaml, where PyYAML was built with it: ten times faster, so that a reload is over sooner.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MOST_BYTES = 256 * 1024
MOST_VALUES = 20_000
"""Values in a file, each counted as often as aliases repeat it."""
MOST_LEVELS = 20
MOST_LETTERS = 4096
"""Of one value. Longer numbers would take PyYAML seconds."""


class _Strict(LOADER):  # type: ignore[misc]
    """Refuses a key that is written twice, of which YAML would keep the last one silently."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Of PyYAML: the values of a mapping."""
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := [key for key, count in keys.items() if count > 1]:
            raise ValueError(f"{quoted(twice[0])} is there twice; write it once")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds.

    Raises ``OSError`` as ``edge.files.read_regular`` does, with files of more than 256 kB refused,
    and ``ValueError`` with a short line for anything that is not ordinary YAML in UTF-8.
    """
    data = read_regular(path, MOST_BYTES)
    try:
        text = data.decode("utf-8")
        _check_size(text)
        return yaml.load(text, _Strict)
    # PyYAML's constructors raise what Python does: IndexError for `!!int ''`, KeyError for others.
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError("a value that is not of the kind that its tag (!!) says") from error
    except Exception as error:
        raise ValueError(cut(one_line(" ".join(str(error).split())), 200)) from error


def _check_size(text: str) -> None:
    """``ValueError`` if the values of a text are too many, too long, or nested too deeply."""
    count, begun, anchored = 0, list[tuple[str | None, int]](), dict[str | None, int]()
    for event in yaml.parse(text, LOADER):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchored:
                raise ValueError(f"alias *{cut(str(event.anchor))} stands for nothing before it")
            count += anchored[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            if len(event.value) > MOST_LETTERS:
                raise ValueError(f"a value of more than {MOST_LETTERS} letters")
            count += 1
            anchored[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            begun.append((event.anchor, count))
            count += 1
            if len(begun) > MOST_LEVELS:
                raise ValueError(f"values nested more than {MOST_LEVELS} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = begun.pop()
            anchored[anchor] = count - before
        if count > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values, aliases counted")
