"""What a face costs in an older commit of this repository and in this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import DEMO, ROOT
from benchmarks.runtime.speed_processes import CHILD, in_turns, least, measured, spread
from edge.audio.audio_file import read_audio
from edge.contract import SAMPLE_RATE
from quantize.plotting import pyplot


def before_and_after(commit: str, folder: Path, rounds: int) -> dict[str, Any]:
    """The demo clip through an older commit and this one, turn by turn; then the stages of both.

    A turn takes a tenth of a second, so whatever else the machine does hits both alike.
    """
    old = folder / "old"
    old.mkdir()
    tree = subprocess.run(["git", "archive", commit, "edge"], cwd=ROOT, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(old)], input=tree.stdout, check=True)
    places = {"before": old, "after": ROOT}
    command = [sys.executable, str(CHILD), str(DEMO), "3", "160", "fp32"]
    took = in_turns({k: ([*command, "--turns"], place) for k, place in places.items()}, 40 * rounds)
    ratios = np.array(took["after"]) / np.array(took["before"])
    quartiles = np.percentile(ratios, (25, 50, 75)).round(3).tolist()
    result: dict[str, Any] = {"commit": commit, "turns": len(ratios)}
    result["after_over_before"] = dict(zip(("q25", "median", "q75"), quartiles, strict=True))
    seconds = len(read_audio(DEMO)) / SAMPLE_RATE
    command += ["vmc://127.0.0.1:9", "--stages"]
    runs = [
        {name: measured(command, place) for name, place in places.items()} for _ in range(rounds)
    ]
    for name in places:
        result[name] = {
            "cpu_s_per_audio_s": spread([cpu / seconds for cpu in took[name]], 5),
            "stages_us": least([run[name]["stages_us"] for run in runs]),
            "calls_a_face": runs[0][name]["calls_a_face"],
        }
    return result


def plot(before: dict[str, Any], path: Path) -> None:
    """Where a face's time went, before and after."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(9, 2.8), layout="constrained")
    for row, when in enumerate(("after", "before")):
        left = 0.0
        for i, (name, took) in enumerate(before[when]["stages_us"].items()):
            axes.barh(row, took, left=left, color=f"C{i}", label=name if row else None)
            if took > 4:
                axes.text(left + took / 2, row, f"{took:.0f}", ha="center", va="center")
            left += took
    axes.set_yticks([0, 1], ["after", f"before ({before['commit']})"])
    axes.set_xlabel("µs a face (least of the rounds), one core of a shared machine")
    figure.legend(ncol=7, fontsize="small", loc="outside upper center")
    figure.savefig(path, dpi=110)
    plt.close(figure)
