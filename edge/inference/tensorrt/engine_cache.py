"""Where built TensorRT engines are kept, and what tells one from another."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.bundle import Bundle, Network
from edge.files import atomic_write
from edge.inference.tensorrt.cuda import Cuda, l4t

WORKSPACE = 256 << 20
"""Bytes the builder may try kernels with; a Jetson shares its memory with everything else."""


@dataclass(frozen=True, slots=True)
class EngineTarget:
    """What an engine depends on besides its ONNX file."""

    tensorrt: str
    """Module and version."""
    gpu: str
    sm: str
    l4t: str
    """Empty where this is no Jetson."""

    def folder(self, root: Path | None = None) -> Path:
        """Where the engines of this target are kept."""
        return (root or cache_folder()) / "engines" / _digest(asdict(self))


def cache_folder() -> Path:
    """systemd's ``CacheDirectory`` or ``StateDirectory`` if set, else the user's cache."""
    for given in ("CACHE_DIRECTORY", "STATE_DIRECTORY"):
        if os.environ.get(given):
            return Path(os.environ[given].split(":")[0])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgetalk"


def target_of(trt: Any, cuda: Cuda) -> EngineTarget:
    """The device and TensorRT at hand."""
    return EngineTarget(f"{trt.__name__} {trt.__version__}", cuda.gpu, cuda.sm, l4t())


def plan_path(network: Network, precision: str, target: EngineTarget, dla: bool = False) -> Path:
    """Where the engine of a network is kept; whatever would change the engine changes the path."""
    key = {"onnx": network.sha256, "precision": precision, "dla": dla, "workspace": WORKSPACE}
    return target.folder() / f"{Path(network.file).stem}-{_digest(key)}.plan"


def read_plan(path: Path) -> bytes | None:
    """A cached engine; ``None`` if there is none or it is damaged: TensorRT may crash on that."""
    try:
        noted = json.loads(path.with_suffix(".json").read_text("utf-8"))["sha256"]
        plan = path.read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return plan if hashlib.sha256(plan).hexdigest() == noted else None


def measured_precision(bundle: Bundle, target: EngineTarget) -> str | None:
    """The fastest precision that ``benchmarks.runtime.gpu`` found here for this bundle."""
    try:
        kept = json.loads((target.folder() / f"fastest-{bundle.hash}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return kept if kept in bundle.precisions else None


def keep_precision(bundle: Bundle, target: EngineTarget, precision: str) -> None:
    """Make ``precision`` the default on this device for this bundle."""
    target.folder().mkdir(parents=True, exist_ok=True)
    write(target.folder() / f"fastest-{bundle.hash}.json", json.dumps(precision).encode())


def read(path: Path) -> bytes:
    """A file's bytes; none if it is not there."""
    return path.read_bytes() if path.is_file() else b""


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with atomic_write(path) as file:
        file.write(data)


def _digest(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
