"""CONTRIBUTING's rules that no linter checks: lengths, and names that belong to one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.fakes import ROOT

PACKAGES = ("edge", "models", "quantize", "benchmarks")
COMMANDS = {"cli"}
"""A command line is looked for under this name in either half."""
FILE_LINES, FUNCTION_LINES = 250, 40

LONG_FILES = {
    "edge/inference/tensorrt/cuda.py": "two CUDA packages behind one door, to be read side by side",
}
"""Longer files, and why they are one thing."""
LONG_FUNCTIONS: dict[str, str] = {}
"""Longer functions (``path:name``), and why."""


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text("utf-8"))


def test_no_file_is_longer_than_one_can_hold_in_the_head() -> None:
    lines = {str(p): len((ROOT / p).read_text("utf-8").splitlines()) for p, _ in modules()}
    long = {path: count for path, count in lines.items() if count > FILE_LINES}
    assert {p: c for p, c in long.items() if p not in LONG_FILES} == {}
    assert LONG_FILES.keys() <= long.keys(), "an exception that is no longer needed"


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{path}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES
    }
    assert {p: c for p, c in long.items() if p not in LONG_FUNCTIONS} == {}
    assert LONG_FUNCTIONS.keys() <= long.keys(), "an exception that is no longer needed"


def test_no_two_modules_share_a_name() -> None:
    places = defaultdict(list)
    for path, _ in modules():
        if not path.stem.startswith("__") and path.stem not in COMMANDS:
            places[path.stem].append(str(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_two_public_classes_share_a_name() -> None:
    places = defaultdict(list)
    for path, tree in modules():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
