"""What every benchmark writes: a JSON file that says where its figures come from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Processor, cores, kernel, Python and how busy the machine is now."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": [round(x, 2) for x in os.getloadavg()],
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")


def git_hash() -> str:
    """Short commit of this tree, with ``+`` if it was changed since."""
    here = Path(__file__).parent

    def git(*args: str) -> str:
        done = subprocess.run(["git", *args], cwd=here, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def write(name: str, payload: Mapping[str, Any]) -> Path:
    """Write ``results/NAME.json``, whole or not at all, with time, commit and machine."""
    RESULTS.mkdir(exist_ok=True)
    goal = RESULTS / f"{name}.json"
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    head = {"when": when, "git": git_hash(), "machine": machine()}
    partial = goal.with_suffix(".part")
    partial.write_text(json.dumps(head | dict(payload), indent=1) + "\n")
    partial.rename(goal)
    return goal
