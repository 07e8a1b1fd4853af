"""Every command of docs/jetson.md and docs/precision.md is run here, or its need is named."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import ROOT

pytestmark = pytest.mark.toolchain

NO_DRIVER = "no NVIDIA driver on this machine (libcuda.so.1: "
BIN = "~/edgetalk/bin"

RUN_HERE = {
    f"{BIN}/edge-build": f"edge-build: {NO_DRIVER}",
    f"sudo env CACHE_DIRECTORY=/var/cache/edgetalk {BIN}/edge-build": f"edge-build: {NO_DRIVER}",
    f"{BIN}/edge-run --engine tensorrt --meter": f"edge-run: {NO_DRIVER}",
    f"{BIN}/python -m benchmarks.runtime.gpu": "benchmarks.runtime.gpu: nothing measured: "
    + NO_DRIVER,
}
"""Up to the point where a GPU is needed: exit status 69 and this sentence."""

INSTALL = [
    "python3 -m venv --system-site-packages ~/edgetalk",
    f"{BIN}/pip install .",
]

NEEDS_A_JETSON = {
    "sudo apt install python3-libnvinfer python3-venv libportaudio2": "JetPack's packages",
    f'{BIN}/python -c "import tensorrt; print(tensorrt.__version__)"': "JetPack's TensorRT",
    "sudo nvpmodel -q": "a tool of Jetsons alone",
}

LINT = "edge-quantize lint edge/bundles/default/*.onnx --nvidia"
PARSED_ALONE = {
    "edge-quantize quantize runs/student/checkpoint.pt --out edge/bundles/default"
    " --report benchmarks/results": "a trained student; test_quantise runs it on a small one",
    "edge-quantize compare edge/bundles/default --data ../shared/data --out benchmarks/results":
        "the recordings of the accuracy benchmark",
}  # fmt: skip
"""What they need; their flags are checked."""


def commands(page: str) -> Iterator[str]:
    """The lines of all code blocks, fenced or indented, without comments."""
    fenced = False
    for line in (ROOT / "docs" / page).read_text().splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield re.sub(r"\s+# .*", "", line).strip()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where the page's install commands were run, in a checkout beside it."""
    home = tmp_path_factory.mktemp("home")
    for part in ("edge", "models", "quantize", "benchmarks"):
        shutil.copytree(ROOT / part, home / "checkout" / part)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, home / "checkout")
    for command in INSTALL:
        words = [word.replace("~", str(home)) for word in command.split()]
        if words[0] == "python3":
            words[0] = sys.executable
        else:  # what it depends on is here already, and seen by PYTHONPATH
            words += ["--no-deps", "-q"]
        done = subprocess.run(words, cwd=home / "checkout", capture_output=True, text=True)
        if "No matching distribution found for setuptools" in done.stderr:
            pytest.skip("no package index can be reached: the commands are NOT run")
        assert done.returncode == 0, done.stderr
    return home


def test_every_command_of_the_pages_is_known_here() -> None:
    jetson = {*INSTALL, *RUN_HERE, *NEEDS_A_JETSON}
    assert set(commands("jetson.md")) == jetson
    assert set(commands("precision.md")) == {LINT, *PARSED_ALONE}


@pytest.mark.skipif(
    any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/nvhost-ctrl-gpu")),
    reason="this machine has an NVIDIA GPU: the commands are not stopped by its absence",
)
@pytest.mark.parametrize("command", RUN_HERE)
def test_a_jetsons_command_comes_as_far_as_the_missing_driver(home: Path, command: str) -> None:
    words = command.removeprefix("sudo env ").replace("~", str(home))
    words = words.replace("/var/cache", str(home))
    site = str(Path(np.__file__).parents[1])
    done = subprocess.run(
        ["env", *shlex.split(words)],
        cwd=home / "checkout",
        env=os.environ | {"HOME": str(home), "PYTHONPATH": site},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 69
    assert done.stderr.startswith(RUN_HERE[command])
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_the_shipped_files_pass_the_linter_and_nvidias_parser(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: the linter is not run")
    pytest.importorskip("tensorrt_rtx", reason="NVIDIA's parser is not installed")
    from quantize.cli import main

    _, verb, pattern, nvidia = LINT.split()
    assert main([verb, *map(str, sorted(ROOT.glob(pattern))), nvidia]) == 0
    assert capsys.readouterr().out == "6 files, 0 with findings\n"


@pytest.mark.parametrize("command", PARSED_ALONE)
def test_the_flags_of_the_long_commands_exist(command: str) -> None:
    from quantize.cli import parser

    assert callable(parser().parse_args(command.split()[1:]).run)
