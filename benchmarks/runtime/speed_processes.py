"""Programs measured one beside another on one core, and what their runs say together."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ROOT

CHILD = ROOT / "benchmarks" / "runtime" / "speed_child.py"


def one_core(core: int | None) -> int:
    """Bind this process, and so every one it starts, to a core; the last one unless told."""
    allowed = os.sched_getaffinity(0)
    chosen = max(allowed) if core is None else core
    os.sched_setaffinity(0, {chosen})
    return chosen


def measured(command: Sequence[str], tree: Path = ROOT) -> dict[str, Any]:
    """Run a program to its last JSON line; ``start_s`` is all its time but the measured loop's."""
    began = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(tree)}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=600,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"not_run": str(error)}
    wall = time.perf_counter() - began
    if done.returncode:
        return {"not_run": (done.stderr.strip() or "no output").splitlines()[-1][:200]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if "wall_s_per_audio_s" in found:  # one peer does not say
        found["start_s"] = wall - found["wall_s_per_audio_s"] * found["audio_s"] * found["reps"]
    return found


def in_turns(players: dict[str, tuple[list[str], Path]], turns: int) -> dict[str, list[float]]:
    """CPU seconds of each player's turns; the first of each, which warms it up, is left out."""
    running = {
        name: subprocess.Popen(
            command, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for name, (command, tree) in players.items()
    }  # fmt: skip
    took: dict[str, list[float]] = {name: [] for name in running}
    for turn in range(turns + 1):
        for name in sorted(running, reverse=bool(turn % 2)):
            player = running[name]
            assert player.stdin is not None
            assert player.stdout is not None
            player.stdin.write("\n")
            player.stdin.flush()
            seconds = float(player.stdout.readline())
            if turn:
                took[name].append(seconds)
    for player in running.values():
        player.communicate()
    return took


def spread(values: Sequence[float], digits: int) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(float(np.median(values)), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def least(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Each stage in the run that was disturbed least."""
    return {stage: round(min(run[stage] for run in runs), 1) for stage in runs[0]}
