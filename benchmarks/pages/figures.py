"""The benchmarks' JSON files to the tables in README.md and docs/, and to plots: ``make figures``.

A table stands between ``<!-- table:NAME -->`` and ``<!-- /table -->``; a function here of that name
writes it from ``results/FILE.json``. Nothing measured is typed in by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import RESULTS, ROOT
from benchmarks.pages import accuracy_tables, runtime_tables, teacher_tables
from benchmarks.pages.readme_table import summary
from benchmarks.pages.table_format import Record
from benchmarks.runtime import scale, speed_before_after
from edge.files import write_text

MARKED = re.compile(r"(<!-- table:(\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)


# Table -> (its JSON, its function).
TABLES: dict[str, tuple[str, Callable[[Record], str]]] = {
    "accuracy": ("accuracy", accuracy_tables.accuracy),
    "students": ("accuracy", accuracy_tables.students),
    "ablation": ("ablation", accuracy_tables.ablation),
    "steering": ("steering", accuracy_tables.steering),
    "card": ("accuracy", accuracy_tables.card),
    "summary": ("peers", summary),
    "systems": ("peers", accuracy_tables.systems),
    "latency": ("latency", runtime_tables.latency),
    "reconnects": ("reconnects", runtime_tables.reconnects),
    "codebook": ("codebook", teacher_tables.codebook),
    "emotion": ("emotion", teacher_tables.emotion),
    "probes": ("probes", teacher_tables.probes),
    "diversity": ("diversity", teacher_tables.diversity),
    "text": ("text", teacher_tables.text),
    "cost": ("speed", runtime_tables.cost),
    "stages": ("speed", runtime_tables.stages),
    "streams": ("scale", runtime_tables.streams),
    "precision": ("quantisation", runtime_tables.precision),
    "encode": ("encode", runtime_tables.encode),
}


def _plot_stages(record: Record, folder: Path) -> None:
    if then := record["results"].get("before_and_after"):
        speed_before_after.plot(then, folder / "speed_stages.png")


def _plot_streams(record: Record, folder: Path) -> None:
    scale.plot(record["results"]["rows"], folder / "scale.png")


def _plot_diversity(record: Record, folder: Path) -> None:
    from benchmarks.teachers import diversity  # needs torch, which the tables do not

    diversity.plot(record["results"]["ways"], folder / "diversity.png")


# JSON -> what draws from it alone; the other plots need faces and are drawn as they are measured.
PLOTS: dict[str, Callable[[Record, Path], None]] = {
    "speed": _plot_stages,
    "scale": _plot_streams,
    "diversity": _plot_diversity,
}


def read(name: str, folder: Path = RESULTS) -> Record:
    """One benchmark's record."""
    record: Record = json.loads((folder / f"{name}.json").read_text())
    return record


def filled(text: str, folder: Path = RESULTS) -> str:
    """The same text with every marked table written anew; ``KeyError`` names an unknown one."""

    def table(found: re.Match[str]) -> str:
        file, write = TABLES[found[2]]
        return found[1] + write(read(file, folder)) + found[3]

    return MARKED.sub(table, text)


def pages(root: Path = ROOT) -> list[Path]:
    """The files of a checkout that may hold tables."""
    card = root / "edge" / "bundles" / "default" / "README.md"
    found = [root / "README.md", *sorted((root / "docs").glob("*.md")), card]
    return [page for page in found if page.exists()]


def stale(root: Path = ROOT) -> list[Path]:
    """Pages whose tables are not what the JSON files say."""
    read = ((page, page.read_text("utf-8")) for page in pages(root))
    return [page for page, text in read if filled(text) != text]


def main(
    argv: Sequence[str] | None = None,
    root: Path = ROOT,
    plots: Mapping[str, Callable[[Record, Path], None]] = PLOTS,
) -> int:
    """Write tables and plots; with ``--check`` only say which pages differ."""
    p = argparse.ArgumentParser("benchmarks.pages.figures", description=__doc__)
    p.add_argument("--check", action="store_true", help="change nothing; status 1 if stale")
    if p.parse_args(argv).check:
        differ = stale(root)
        for page in differ:
            print(f"{page.relative_to(root)}: tables differ from the JSON files; make figures")
        return int(bool(differ))
    for name, draw in plots.items():
        if (RESULTS / f"{name}.json").exists():
            draw(read(name), RESULTS)
    for page in stale(root):
        write_text(page, filled(page.read_text("utf-8")))
        print(f"{page.relative_to(root)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
