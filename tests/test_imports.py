"""The wall between the runtime and the toolchain, and arrows that point one way."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import ROOT

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "edge").rglob("*.py")
)
GUESTS = [
    *("torch", "onnx", "onnxruntime", "sounddevice", "soundfile", "tensorrt", "pycuda", "cuda"),
    *("scipy", "quantize", "models", "prometheus_client", "pythonosc", "websockets"),
]


def test_edge_imports_with_nothing_but_numpy_and_yaml() -> None:
    script = (
        "import sys\n"
        "class Wall:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name.split('.')[0] in {GUESTS}: raise ImportError(name)\n"
        "sys.meta_path.insert(0, Wall())\n"
        f"import {', '.join(MODULES)}\n"
        "print('all in')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "all in\n", done.stderr


LINT = Path(sys.executable).with_name("lint-imports")
needs_linter = pytest.mark.skipif(
    not LINT.exists(), reason="import-linter is not installed: pip install 'edgetalk[dev]'"
)


def lint_imports(folder: Path) -> tuple[int, str]:
    """The contracts of pyproject.toml, held against the packages in ``folder``."""
    command = [str(LINT), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@needs_linter
def test_imports_point_one_way_and_never_in_a_circle() -> None:
    status, found = lint_imports(ROOT)
    assert status == 0, found


@needs_linter
@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("edge/contract.py", "import models.layers", "Imports point one way"),
        ("quantize/data/clips.py", "import quantize.training.loop", "Imports point one way"),
        ("edge/contract.py", "def f(): import torch", "The runtime names no package"),
        ("edge/contract.py", "import edge.bundle", "No circle"),
        ("quantize/data/clips.py", "import quantize.data.streams", "No circle"),
    ],
)
def test_an_arrow_back_is_noticed(tmp_path: Path, file: str, line: str, contract: str) -> None:
    for part in ("benchmarks", "edge", "models", "quantize"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=only_code)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as module:
        module.write(f"\n{line}\n")
    status, found = lint_imports(tmp_path)
    assert status == 1
    assert re.search(rf"^{contract}.* BROKEN", found, re.MULTILINE), found


def only_code(folder: str, names: list[str]) -> list[str]:
    """What of a folder is no module and no folder of some."""
    return [n for n in names if ("." in n and not n.endswith(".py")) or n == "__pycache__"]
