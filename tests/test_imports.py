"""The wall between the runtime and the toolchain."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
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


def test_edge_names_no_module_of_the_toolchain() -> None:
    named = {
        (path.name, name.split(".")[0])
        for path in (ROOT / "edge").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert ("features.py", "numpy") in named  # the walk finds imports at all
    assert not [(file, name) for file, name in named if name in ("torch", "models", "quantize")]
