"""What a face costs on one core, beside what a user would pick instead, in one run.

``python -m benchmarks.runtime.speed [--peers DIR] [--before COMMIT]``. All systems take turns,
several rounds, because the machine is shared; what counts is the ratio within a round. Peers are
the programs in DIR (its README says how to install them); one that does not run gets a row that
says so. ``--before`` also measures an older commit of this repository and says where the time went.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import DEMO, RESULTS, ROOT
from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT, Bundle, read_bundle
from edge.contract import FPS, SAMPLE_RATE
from quantize.evaluation.record import write_record
from quantize.plotting import pyplot

CHILD = ROOT / "benchmarks" / "runtime" / "speed_child.py"
OURS, SENT = "EdgeTalk", "EdgeTalk, VMC sent"

# Row -> (arguments of the child: reps, samples a block, precision, where to send).
EDGE = {
    OURS: ("3", "160", "fp32"),
    "EdgeTalk, int8": ("3", "160", "int8"),
    SENT: ("3", "160", "fp32", "vmc://127.0.0.1:9"),
}
# Row -> (program in the peers' folder, reps or mode, what it puts out).
PEERS = {
    "HeadAudio 0.1.0": ("headaudio.mjs", "5", "15 visemes, streaming"),
    "wLipSync 1.3.1": ("wlipsync.mjs", "5", "6 phonemes, streaming"),
    "wawa-lipsync 0.0.2": ("wawa.mjs", "5", "1 of 15 visemes, streaming"),
    "Rhubarb 0.1.8 (wasm)": ("rhubarb.mjs", "1", "9 mouth shapes, whole file"),
    "pylipsync 0.2.1": ("pylipsync_bench.py", "2", "5 vowels, whole file"),
    "OpenFaceFX 0.24.0, energy": ("openfacefx_bench.py", "energy", "15 visemes, whole file"),
}


def one_core(core: int | None) -> int:
    """Bind this process, and so every one it starts, to a core; the last one unless told."""
    allowed = os.sched_getaffinity(0)
    chosen = max(allowed) if core is None else core
    os.sched_setaffinity(0, {chosen})
    return chosen


def demo_wav(folder: Path, times: int = 2) -> Path:
    """The demo clip as 16-bit WAV, which is all that some peers read."""
    import soundfile

    path = folder / "clip.wav"
    soundfile.write(path, np.tile(read_audio(DEMO), times), SAMPLE_RATE, subtype="PCM_16")
    return path


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


def commands(clip: Path, peers: Path | None, scratch: Path) -> dict[str, list[str]]:
    """Row to command line."""
    rows = {
        name: [sys.executable, str(CHILD), str(clip), *arguments]
        for name, arguments in EDGE.items()
    }
    for name, (program, argument, _) in PEERS.items():
        if peers is not None:
            own = peers / ".venv" / "bin" / "python"
            python = str(own) if own.exists() else sys.executable
            runner = "node" if program.endswith(".mjs") else python
            out = scratch / f"{program}.json"
            rows[name] = [runner, str(peers / program), str(clip), str(out), argument]
    return rows


def spread(values: Sequence[float], digits: int) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(float(np.median(values)), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def networks(bundle: Bundle) -> dict[str, float]:
    """What both fp32 networks of a bundle hold and do, counted in their ONNX files.

    A product of one frame with a matrix of n weights is 2 n floating-point operations; the rest
    (activations, sums) is not counted.
    """
    import onnx

    weights = operations = state = 0
    for network in bundle.networks("fp32"):
        graph = onnx.load(bundle.folder / network.file).graph
        sizes = {one.name: int(np.prod(one.dims)) for one in graph.initializer}
        weights += sum(int(np.prod(one.dims)) for one in graph.initializer if one.data_type == 1)
        for node in graph.node:
            if node.op_type in ("Gemm", "MatMul"):
                operations += 2 * max(sizes.get(name, 0) for name in node.input[:2])
        shapes = [s for name, s in network.inputs.items() if name.startswith("state.")]
        state += 4 * sum(int(np.prod(shape)) for shape in shapes)
    return {
        "parameters": weights,
        "gflop_per_10_s": round(operations * FPS * 10 / 1e9, 3),
        "state_kb": round(state / 1000, 1),
    }


def take_turns(rows: dict[str, list[str]], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Each row once a round, in turning order."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in rows}
    names = list(rows)
    for turn in range(rounds):
        for name in [*names[turn % len(names) :], *names[: turn % len(names)]]:
            if not (found[name] and "not_run" in found[name][-1]):
                found[name].append(measured(rows[name]))
        print(f"round {turn + 1} of {rounds}", file=sys.stderr)
    return found


def summed(found: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """A row's cost, its ratio to ours within each round, memory and start."""
    ours = [one["cpu_s_per_audio_s"] for one in found[OURS]]
    rows: dict[str, dict[str, Any]] = {}
    for name, runs in found.items():
        if "not_run" in runs[-1]:
            rows[name] = {"not_run": runs[-1]["not_run"]}
            continue
        cpu = [one["cpu_s_per_audio_s"] for one in runs]
        rows[name] = {
            "cpu_s_per_audio_s": spread(cpu, 5),
            "ratio_to_edgetalk": spread([a / b for a, b in zip(cpu, ours, strict=True)], 3),
            "peak_mb": round(max(one["peak_rss_mb"] for one in runs), 1),
        }
        if "start_s" in runs[0]:
            rows[name]["start_s"] = spread([one["start_s"] for one in runs], 2)
    for name, (_, _, output) in PEERS.items():
        rows.setdefault(name, {"not_run": "no folder of peers was given"})["outputs"] = output
    return rows


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


def least(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Each stage in the run that was disturbed least."""
    return {stage: round(min(run[stage] for run in runs), 1) for stage in runs[0]}


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


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    p = argparse.ArgumentParser("benchmarks.runtime.speed", description=__doc__)
    p.add_argument("--peers", type=Path, metavar="DIR", help="the peers' programs, installed")
    p.add_argument("--before", metavar="COMMIT", help="also measure this commit of edge/")
    p.add_argument("--rounds", type=int, default=7, metavar="N", help="(default: %(default)s)")
    p.add_argument("--core", type=int, metavar="N", help="the one to run on (default: the last)")
    p.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    args = p.parse_args(argv)
    core = one_core(args.core)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = demo_wav(folder)
        results: dict[str, Any] = {"rounds": args.rounds, "core": core, "load": os.getloadavg()[0]}
        results["networks"] = networks(read_bundle(DEFAULT))
        peers = args.peers.resolve() if args.peers else None
        results["rows"] = summed(take_turns(commands(clip, peers, folder), args.rounds))
        stages = [*commands(clip, None, folder)[SENT], "--stages"]
        results["stages_us"] = least([measured(stages)["stages_us"] for _ in range(args.rounds)])
        if args.before:
            found = before_and_after(args.before, folder, args.rounds)
            results["before_and_after"] = found
            plot(found, args.out / "speed_stages.png")
    print(json.dumps(results, indent=1))
    print(write_record("speed", results, args.out))


if __name__ == "__main__":
    main()
