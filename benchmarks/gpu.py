"""A bundle on this machine's NVIDIA GPU: parity with ONNX Runtime, and microseconds a step.

    python -m benchmarks.gpu [--bundle DIR] [--steps 3000]

Writes ``benchmarks/records/<device>-<date>.json`` and makes the fastest precision that is close
enough to ONNX Runtime this device's default. TensorRT if installed, else TensorRT-RTX.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.audio import read_audio
from edge.build import build
from edge.bundle import DEFAULT, Bundle, read_bundle
from edge.contract import EdgeError, Engine, Floats, MissingError
from edge.cuda import load_driver, open_cuda
from edge.engine import OnnxEngine
from edge.engine_trt import TensorrtEngine, load_tensorrt
from edge.features import Features
from edge.plans import keep_precision, read_plan, target_of

DEMO = Path(__file__).parents[1] / "edge" / "assets" / "demo.flac"
RECORDS = Path(__file__).parent / "records"
FLOOR_DB = {"fp32": 45.0, "fp16": 45.0, "int8": 30.0}
"""Signal to noise on the weights against ONNX Runtime fp32, below which nothing is recommended."""

Pair = tuple[Engine, Engine]


def run(bundle: Bundle, pair: Pair, steps: int) -> tuple[Floats, Floats]:
    """Weights (faces, 52) of the demo clip, then seconds (steps,) of generator and decoder."""
    generator, decoder = pair
    choice = np.zeros((1, len(bundle.lookaheads)), np.float32)
    choice[0, bundle.lookaheads.index(bundle.lookahead)] = 1
    mels = [np.array(m) for _, m, _ in Features().push(read_audio(DEMO))]

    def face(i: int) -> Floats:
        latent = generator.step(mels=mels[i % len(mels)], lookahead=choice)["latent"]
        return np.array(decoder.step(latent=latent)["weights"][0, 0])

    generator.reset()
    decoder.reset()
    faces = np.stack([face(i) for i in range(len(mels))])
    took = np.empty(steps, np.float32)
    for i in range(steps):
        began = time.perf_counter()
        face(i)
        took[i] = time.perf_counter() - began
    return faces, took


def snr_db(faces: Floats, expected: Floats) -> float:
    """Signal to noise in dB; 200 where both are equal."""
    noise = float(np.square(faces - expected).sum())
    return 10 * float(np.log10(np.square(expected).sum() / noise)) if noise else 200.0


def times(took: Floats) -> dict[str, float]:
    """p50, p99 and max in microseconds."""
    us = took * 1e6
    p50, p99 = np.percentile(us, (50, 99))
    return {"p50_us": float(p50), "p99_us": float(p99), "max_us": float(us.max())}


def measure(bundle: Bundle, steps: int) -> dict[str, Any]:
    """Everything the record holds."""
    load_driver()
    try:
        trt = load_tensorrt()
    except MissingError:
        trt = load_tensorrt("tensorrt_rtx")
    cuda = open_cuda()
    target, provider = target_of(trt, cuda), cuda.provider
    cuda.close()
    onnx = [OnnxEngine(bundle.folder, network) for network in bundle.networks("fp32")]
    expected, took = run(bundle, (onnx[0], onnx[1]), steps)
    rows: list[dict[str, Any]] = [{"engine": "onnxruntime", "precision": "fp32", **times(took)}]
    for precision in bundle.precisions:
        paths = build(bundle, precision, trt, target)
        notes = [json.loads(path.with_suffix(".json").read_text())["layers"] for path in paths]
        for graph in (True, False):
            pair = [
                TensorrtEngine(read_plan(path) or b"", network, trt, open_cuda(), graph)
                for path, network in zip(paths, bundle.networks(precision), strict=True)
            ]
            faces, took = run(bundle, (pair[0], pair[1]), steps)
            for engine in pair:
                engine.close()
            row: dict[str, Any] = {
                "engine": target.tensorrt,
                "precision": precision,
                "cuda_graph": graph,
            }
            row |= {"snr_db": snr_db(faces, expected), "layers": notes}
            row["max_error"] = float(np.abs(faces - expected).max())
            rows.append(row | times(took))
    best = fastest(rows)
    if best:
        keep_precision(bundle, target, best)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "bundle": bundle.hash,
        "gpu": target.gpu,
        "sm": target.sm,
        "l4t": target.l4t,
        "tensorrt": target.tensorrt,
        "cuda_through": provider,
        "power": power(),
        "fastest": best,
        "rows": rows,
    }


def fastest(rows: Sequence[dict[str, Any]]) -> str | None:
    """Precision of the GPU row with the shortest p99 among those close enough; ``None``: none."""
    near = [r for r in rows if r.get("cuda_graph") and r["snr_db"] >= FLOOR_DB[r["precision"]]]
    return str(min(near, key=lambda r: r["p99_us"])["precision"]) if near else None


def power() -> dict[str, str]:
    """What the machine says about its power mode and clocks; empty where it has no such tool."""
    asked = {
        "nvpmodel": ["nvpmodel", "-q"],
        "jetson_clocks": ["jetson_clocks", "--show"],
        "nvidia-smi": ["nvidia-smi", "--query-gpu=driver_version,pstate,power.limit,clocks.sm",
                       "--format=csv,noheader"],
    }  # fmt: skip
    said = {}
    for name, command in asked.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            continue
        said[name] = (done.stdout or done.stderr).strip()
    return said


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the record; returns the exit status."""
    p = argparse.ArgumentParser("benchmarks.gpu", description="A bundle on this machine's GPU.")
    p.add_argument("--bundle", type=Path, default=DEFAULT, metavar="DIR")
    p.add_argument("--steps", type=int, default=3000, metavar="N", help="timed (3000)")
    args = p.parse_args(argv)
    try:
        record = measure(read_bundle(args.bundle), args.steps)
    except EdgeError as error:
        print(f"benchmarks.gpu: nothing measured: {error}", file=sys.stderr)
        return error.status
    device = re.sub(r"\W+", "-", record["gpu"]).strip("-").lower()
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{device}-{record['date'][:10]}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
