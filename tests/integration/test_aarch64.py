"""A Jetson can install the runtime without a compiler: every dependency has a wheel for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import ROOT

pytestmark = pytest.mark.toolchain  # once, not on each Python

SCRIPT = ROOT / "benchmarks" / "runtime" / "aarch64.sh"


def test_every_dependency_has_a_wheel_for_both_pythons_of_jetpack(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(tmp_path)]
    if subprocess.run([*pip, "packaging"], capture_output=True).returncode:
        pytest.skip("no package index can be reached: wheels for aarch64 are NOT checked")
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("aarch64, Python "):
            files = found[line.split()[-1].rstrip(":")] = []
        else:
            files.append(line.strip())
    assert set(found) == {"3.10", "3.12"}
    for version, files in found.items():
        tag = f"cp{version.replace('.', '')}"
        names = {file.split("-")[0] for file in files}
        assert {"numpy", "onnxruntime", "pyyaml", "sounddevice", "soundfile"} <= names
        assert "cuda_bindings" in names
        assert all(file.endswith(("aarch64.whl", "-any.whl")) for file in files)
        assert any(file.startswith("numpy-") and tag in file for file in files)
