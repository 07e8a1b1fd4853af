"""What the benchmarks' command lines share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from edge.contract import EdgeError

P = ParamSpec("P")

DATA = Path("../shared/data")
"""Where the test sets lie unless ``--data`` says otherwise; ``docs/data.md`` tells of them."""


def options(
    name: str, about: str, *, checkpoint: str | None = None, data: bool = False
) -> argparse.ArgumentParser:
    """A parser for ``python -m benchmarks.NAME``, described by the first line of its module.

    With a ``checkpoint`` (help: where it is from) as its argument, and ``--data``, where asked for.
    """
    parser = argparse.ArgumentParser(f"benchmarks.{name}", description=about.split("\n")[0])
    if checkpoint:
        parser.add_argument("checkpoint", type=Path, help=checkpoint)
    if data:
        parser.add_argument(
            "--data", type=Path, default=DATA, metavar="DIR", help="the test sets (%(default)s)"
        )
    return parser


def exit_status(name: str) -> Callable[[Callable[P, None]], Callable[P, int]]:
    """Decorate a ``main``: an ``EdgeError`` becomes one line on stderr and its exit status."""

    def decorate(main: Callable[P, None]) -> Callable[P, int]:
        @wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                main(*args, **kwargs)
            except EdgeError as error:
                print(f"benchmarks.{name}: {error}", file=sys.stderr)
                return error.status
            return 0

        return run

    return decorate
