"""A bundle on this machine's NVIDIA GPU: parity with ONNX Runtime, and microseconds a step.

    python -m benchmarks.runtime.gpu [--bundle DIR] [--clip FILE ...] [--steps 3000]
    python -m benchmarks.runtime.gpu --table

Writes ``benchmarks/records/<device>-<date>.json`` and makes the fastest precision that is close
enough to ONNX Runtime this device's default. TensorRT if installed, else TensorRT-RTX. The table
is that of the README: one row for each row of every record.
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

from benchmarks import DEMO, GPU_RECORDS
from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT, Bundle
from edge.bundle_reader import read_bundle
from edge.contract import EdgeError, Engine, Floats, MissingError
from edge.features import Features
from edge.files import write_text
from edge.inference.build import build
from edge.inference.engine import OnnxEngine
from edge.inference.tensorrt.cuda import load_driver, open_cuda
from edge.inference.tensorrt.engine_cache import keep_precision, read_plan, target_of
from edge.inference.tensorrt.engine_trt import TensorrtEngine, load_tensorrt
from quantize.evaluation.gpu_table import gpu_table
from quantize.export.snr import snr_db

FLOOR_DB = {"fp32": 45.0, "fp16": 45.0, "int8": 30.0}
"""Signal to noise on the weights against ONNX Runtime fp32, below which nothing is recommended."""
EQUAL_DB = 200.0
"""Stands for no difference at all: JSON has no infinity."""

Pair = tuple[Engine, Engine]


def features_of(clips: Sequence[Path]) -> list[Floats]:
    """Features of all clips, end to end."""
    features = Features()
    return [np.array(m) for clip in clips for _, m, _ in features.push(read_audio(clip))]


def run(bundle: Bundle, pair: Pair, mels: Sequence[Floats], steps: int) -> tuple[Floats, Floats]:
    """Weights (faces, 52) of the audio, then seconds (steps,) of generator and decoder."""
    generator, decoder = pair
    control = bundle.conditioning_input(bundle.lookahead)

    def face(i: int) -> Floats:
        latent = generator.step(mels=mels[i % len(mels)], **control)["latent"]
        return np.array(decoder.step(latent=latent)["weights"][0, 0])

    faces = np.stack([face(i) for i in range(len(mels))])
    took = np.empty(steps, np.float32)
    for i in range(steps):
        began = time.perf_counter()
        face(i)
        took[i] = time.perf_counter() - began
    return faces, took


def times(took: Floats) -> dict[str, float]:
    """p50, p99 and max in microseconds."""
    us = took * 1e6
    p50, p99 = np.percentile(us, (50, 99))
    return {"p50_us": float(p50), "p99_us": float(p99), "max_us": float(us.max())}


def measure(bundle: Bundle, clips: Sequence[Path], steps: int) -> dict[str, Any]:
    """Everything the record holds."""
    mels = features_of(clips)
    load_driver()
    trt = _any_tensorrt()
    cuda = open_cuda()
    target, provider = target_of(trt, cuda), cuda.provider
    cuda.close()
    onnx = [OnnxEngine(bundle.folder, network) for network in bundle.networks("fp32")]
    expected, took = run(bundle, (onnx[0], onnx[1]), mels, steps)
    rows: list[dict[str, Any]] = [{"engine": "onnxruntime", "precision": "fp32", **times(took)}]
    for precision in bundle.precisions:
        paths = build(bundle, precision, trt, target)
        notes = [json.loads(path.with_suffix(".json").read_text())["layers"] for path in paths]
        for graph in (True, False):
            faces, took = _on_gpu(bundle, precision, paths, trt, graph, mels, steps)
            row: dict[str, Any] = {"engine": target.tensorrt, "precision": precision}
            row["cuda_graph"] = graph
            row |= {"snr_db": min(snr_db(expected, faces), EQUAL_DB), "layers": notes}
            row["max_error"] = float(np.abs(faces - expected).max())
            rows.append(row | times(took))
    best = fastest(rows)
    if best:
        keep_precision(bundle, target, best)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "bundle": bundle.hash,
        "clips": [clip.name for clip in clips],
        "faces": len(mels),
        "steps": steps,
        "gpu": target.gpu,
        "sm": target.sm,
        "l4t": target.l4t,
        "tensorrt": target.tensorrt,
        "cuda_through": provider,
        "power": power(),
        "fastest": best,
        "rows": rows,
    }


def _any_tensorrt() -> Any:
    """A Jetson's TensorRT, else the one for PCs."""
    try:
        return load_tensorrt()
    except MissingError:
        return load_tensorrt("tensorrt_rtx")


def _on_gpu(
    bundle: Bundle,
    precision: str,
    paths: Sequence[Path],
    trt: Any,
    graph: bool,
    mels: Sequence[Floats],
    steps: int,
) -> tuple[Floats, Floats]:
    """``run`` on engines of one precision, closed afterwards."""
    generator, decoder = (
        TensorrtEngine(read_plan(path) or b"", network, trt, open_cuda(), graph)
        for path, network in zip(paths, bundle.networks(precision), strict=True)
    )
    try:
        return run(bundle, (generator, decoder), mels, steps)
    finally:
        generator.close()
        decoder.close()


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
    answers = {}
    for name, command in asked.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            continue
        answers[name] = (done.stdout or done.stderr).strip()
    return answers


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the record, or print the table; returns the exit status."""
    p = argparse.ArgumentParser(
        "benchmarks.runtime.gpu", description="A bundle on this machine's GPU."
    )
    p.add_argument("--bundle", type=Path, default=DEFAULT, metavar="DIR")
    p.add_argument("--clip", type=Path, action="append", metavar="FILE", help="repeatable (demo)")
    p.add_argument("--steps", type=int, default=3000, metavar="N", help="timed (3000)")
    p.add_argument("--table", action="store_true", help="print the records as Markdown, and exit")
    args = p.parse_args(argv)
    if args.table:
        print(gpu_table(GPU_RECORDS))
        return 0
    try:
        record = measure(read_bundle(args.bundle), args.clip or [DEMO], args.steps)
    except EdgeError as error:
        print(f"benchmarks.runtime.gpu: nothing measured: {error}", file=sys.stderr)
        return error.status
    device = re.sub(r"\W+", "-", record["gpu"]).strip("-").lower()
    GPU_RECORDS.mkdir(exist_ok=True)
    path = GPU_RECORDS / f"{device}-{record['date'][:10]}.json"
    write_text(path, json.dumps(record, indent=1, allow_nan=False) + "\n")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
