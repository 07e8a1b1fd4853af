"""What every benchmark's JSON says of where it was measured."""

from __future__ import annotations

import json
import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.files import write_text
from quantize.git import git_commit


def machine() -> dict[str, Any]:
    """Processor, memory and versions; load, because these machines are shared."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
        "kernel": platform.release(),
    }


def write_record(name: str, results: Any, folder: Path, bundle: Path = DEFAULT) -> Path:
    """``FOLDER/NAME.json`` with git hash, bundle hash and machine."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    record = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "git": git_commit(),
        "bundle": read_bundle(bundle).hash,
        "machine": machine(),
        "results": results,
    }
    write_text(path, json.dumps(record, indent=1) + "\n")
    return path
