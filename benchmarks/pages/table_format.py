"""What every table of ``make figures`` is written with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Record = dict[str, Any]
"""A JSON file as ``write_record`` made it: git, bundle, machine, results."""


def rows(head: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def measured(record: Record) -> str:
    """The line under a table that says what was measured where."""
    machine = record["machine"]
    return (
        f"\nBundle `{record['bundle']}`, commit `{record['git']}`, {machine['cpu']}, "
        f"{machine['cores']} shared cores, load {machine['load']:.1f}.\n"
    )


def number(value: float | None, digits: int = 2) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
