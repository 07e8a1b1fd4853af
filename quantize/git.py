"""Which code made a file."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git_commit(folder: Path = Path(__file__).parents[1]) -> str:
    """The commit of the code in ``folder``, with ``+`` if it was changed since.

    ``unknown`` outside git. What benchmarks write does not count as changed code.
    """
    commands = (
        ["git", "rev-parse", "--short=12", "HEAD"],
        ["git", "status", "--porcelain", "--", ".", ":!benchmarks/results"],
    )
    try:
        head, changed = (
            subprocess.run(c, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
            for c in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")
