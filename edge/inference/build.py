"""``edge-build``: the networks of a bundle to TensorRT engines for this device, kept in a cache.

Needs TensorRT and CUDA, not torch. An engine only runs on the kind of GPU and with the version of
TensorRT that built it, so the bundle ships ONNX and each device builds its own.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before the libraries are loaded
    from edge.console import edge_build

    sys.exit(edge_build())

import argparse
import hashlib
import json
import logging
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.bundle import DEFAULT, PRECISIONS, Bundle
from edge.bundle_files import read_network
from edge.bundle_reader import read_bundle
from edge.config import at_home
from edge.contract import EdgeError, Engine, MissingError
from edge.inference.tensorrt.cuda import Cuda, load_driver, open_cuda
from edge.inference.tensorrt.engine_cache import (
    WORKSPACE,
    EngineTarget,
    measured_precision,
    plan_path,
    read,
    read_plan,
    target_of,
    write,
)
from edge.inference.tensorrt.engine_trt import TensorrtEngine, TensorrtErrors, load_tensorrt
from edge.inference.tensorrt.layer_report import describe, summarise

log = logging.getLogger("edge")


@dataclass(frozen=True, slots=True)
class Built:
    """What the builder gives."""

    plan: bytes
    layers: str
    """JSON of TensorRT's inspector; empty where no GPU is there to load the engine."""
    timing: bytes
    """Timing cache: the next build of anything similar is faster."""


class UnbuiltError(MissingError):
    """TensorRT is there, its engines are not."""


def open_pair(
    bundle: Bundle, precision: str | None, may_build: bool, dla: bool = False
) -> tuple[Engine, Engine]:
    """Generator and decoder on the GPU from the cache, built first if ``may_build``.

    Without ``precision``: the fastest one measured on this device, else fp16, else fp32.
    """
    load_driver()
    trt = load_tensorrt()
    opened: list[Engine] = []
    try:
        for which in (0, 1):
            cuda = open_cuda()
            try:
                opened.append(_open(which, bundle, precision, trt, cuda, may_build, dla))
            except BaseException:
                cuda.close()
                raise
    except BaseException:
        for one in opened:
            one.close()
        raise
    return opened[0], opened[1]


def _open(
    which: int,
    bundle: Bundle,
    precision: str | None,
    trt: Any,
    cuda: Cuda,
    may_build: bool,
    dla: bool,
) -> TensorrtEngine:
    target = target_of(trt, cuda)
    precision = precision or default_precision(bundle, target)
    network = bundle.networks(precision)[which]
    path = plan_path(network, precision, target, dla)
    plan = read_plan(path)
    if plan is None and may_build:
        build(bundle, precision, trt, target, dla=dla)
        plan = read_plan(path)
    if plan is None:
        raise UnbuiltError(f"no engine built for {network.file} on this device; run edge-build")
    log.info("TensorRT %s on %s: %s, %s", trt.__version__, cuda.gpu, network.file, precision)
    return TensorrtEngine(plan, network, trt, cuda)


def default_precision(bundle: Bundle, target: EngineTarget) -> str:
    """What runs on the GPU unless told otherwise."""
    return measured_precision(bundle, target) or ("fp16" if "fp16" in bundle.precisions else "fp32")


def build(
    bundle: Bundle, precision: str, trt: Any, target: EngineTarget, *, dla: bool = False
) -> list[Path]:
    """Build both networks and keep them; returns the engines' paths."""
    paths = []
    for network in bundle.networks(precision):
        path = plan_path(network, precision, target, dla)
        began = time.monotonic()
        log.info("building %s (%s) for %s, minutes at most", network.file, precision, target.gpu)
        timing = path.parent / "timing.cache"
        built = build_plan(bundle.folder / network.file, trt, dla=dla, timing=read(timing))
        summary = summarise(built.layers)
        if dla and not summary.get("on DLA"):
            raise MissingError(f"{network.file}: DLA took none of its layers; build without --dla")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if built.timing:
                write(timing, built.timing)
            write(path.with_suffix(".layers.json"), built.layers.encode())
            note = asdict(target) | {"onnx": network.sha256, "precision": precision, "dla": dla}
            note |= {"sha256": hashlib.sha256(built.plan).hexdigest(), "layers": summary}
            write(path, built.plan)
            write(path.with_suffix(".json"), json.dumps(note, indent=1).encode())
        except OSError as error:
            raise MissingError(f"{path.parent}: cannot keep engines ({error.strerror})") from error
        took, size = time.monotonic() - began, len(built.plan) / 1e6
        log.info("built in %.1f s, %.1f MB; %s", took, size, describe(summary))
        paths.append(path)
    return paths


def build_plan(path: Path, trt: Any, *, dla: bool = False, timing: bytes = b"") -> Built:
    """One ONNX file to an engine. Precision is the file's own: the network is strongly typed."""
    complaints = TensorrtErrors(trt)
    builder = trt.Builder(complaints.logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, complaints.logger)
    if not parser.parse(read_network(path)):
        complaint = parser.get_error(0)
        raise MissingError(
            f"{path}: TensorRT cannot read it ({' '.join(complaint.desc().split())})"
        )
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if dla:
        if not builder.num_DLA_cores:
            raise MissingError("this device or this TensorRT has no DLA; build without --dla")
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = 0
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    cache = config.create_timing_cache(timing)
    if cache is None:  # of another version
        cache = config.create_timing_cache(b"")
    if cache is not None:
        config.set_timing_cache(cache, False)
    complaints.errors.clear()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise MissingError(f"{path}: TensorRT cannot build it ({complaints.first()})")
    return Built(bytes(plan), _inspect(bytes(plan), trt, complaints), _timings(config))


def _timings(config: Any) -> bytes:
    cache = config.get_timing_cache()
    return b"" if cache is None else bytes(cache.serialize())


def _inspect(plan: bytes, trt: Any, complaints: TensorrtErrors) -> str:
    runtime = trt.Runtime(complaints.logger)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        return ""
    inspector = engine.create_engine_inspector()
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def arguments(p: argparse.ArgumentParser) -> None:
    """Flags of ``edge-build`` and of ``edge-quantize build``."""
    p.add_argument(
        "--bundle", type=at_home, default=DEFAULT, metavar="DIR", help="default: shipped"
    )
    p.add_argument(
        "--precision", action="append", choices=PRECISIONS, help="repeatable (default: all there)"
    )
    p.add_argument("--dla", action="store_true", help="for edge-run --engine tensorrt-dla")
    p.add_argument("--force", action="store_true", help="build again what is in the cache")


def build_asked(args: argparse.Namespace) -> None:
    """Build what the command line asks for."""
    bundle = read_bundle(args.bundle)
    cuda = open_cuda()
    try:
        trt = load_tensorrt()
        target = target_of(trt, cuda)
        for precision in args.precision or bundle.precisions:
            paths = [plan_path(n, precision, target, args.dla) for n in bundle.networks(precision)]
            if args.force or not all(map(read_plan, paths)):
                build(bundle, precision, trt, target, dla=args.dla)
            print(*paths, sep="\n")
    finally:
        cuda.close()


def build_meanwhile(bundle: Bundle, precision: str | None) -> subprocess.Popen[bytes]:
    """Start ``edge-build`` at the least priority; its engines are used from the next start on."""
    log.warning("Building engines in the background, for the next start.")
    words = [
        "nice",
        "-n",
        "19",
        sys.executable,
        "-m",
        "edge.inference.build",
        "--bundle",
        str(bundle.folder),
    ]
    return subprocess.Popen([*words, "--precision", precision] if precision else words)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``edge-build``; returns the exit status."""
    p = argparse.ArgumentParser("edge-build", description="TensorRT engines for this device.")
    arguments(p)
    args = p.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="edge-build: %(message)s", stream=sys.stderr)
    try:
        build_asked(args)
    except EdgeError as error:
        print(f"edge-build: {error}", file=sys.stderr)
        return error.status
    return 0
