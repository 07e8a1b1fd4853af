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
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import DEMO, RESULTS
from benchmarks.runtime.speed_before_after import before_and_after, plot
from benchmarks.runtime.speed_processes import CHILD, least, measured, one_core, spread
from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT, Bundle
from edge.bundle_reader import read_bundle
from edge.contract import FPS, SAMPLE_RATE
from quantize.evaluation.record import write_record

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


def demo_wav(folder: Path, times: int = 2) -> Path:
    """The demo clip as 16-bit WAV, which is all that some peers read."""
    import soundfile

    path = folder / "clip.wav"
    soundfile.write(path, np.tile(read_audio(DEMO), times), SAMPLE_RATE, subtype="PCM_16")
    return path


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
