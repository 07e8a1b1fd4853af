"""Nothing is sent but faces to the outputs, and nothing is written that nobody asked for."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from edge.contract import SAMPLE_RATE, Floats, MissingError
from edge.preview.film import film_tools
from tests.fakes import DEMO, ROOT

ONE_PLACE = "edge/inference/onnx_runtime.py"
TO = ("127.0.0.1", "40777")


def imports(path: Path) -> set[str]:
    """The top-level names of the packages that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_onnxruntime_is_imported_in_one_place_which_turns_its_telemetry_off() -> None:
    folders = ("edge", "quantize", "models", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = [str(p.relative_to(ROOT)) for p in files if "onnxruntime" in imports(p)]
    assert found == [ONE_PLACE]


def test_the_newest_onnxruntime_is_one_that_was_tried() -> None:
    assert '"onnxruntime>=1.18,<1.33"' in (ROOT / "pyproject.toml").read_text()


@pytest.fixture
def clip(tmp_path: Path, demo: Floats) -> Path:
    path = tmp_path / "takes" / "clip.wav"
    path.parent.mkdir()
    soundfile.write(path, demo[:SAMPLE_RATE], SAMPLE_RATE)
    return path


def bare(home: Path) -> dict[str, str]:
    """An environment with nothing that ONNX Runtime takes for a refusal: it spares CI and tests."""
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home)}


def runs(clip: Path) -> dict[str, list[str]]:
    """Command lines of everything that loads a network."""
    live = ["-m", "edge.cli", "--mic", f"file:{clip}", "--control", "off"]
    code = f"import edge; print(len(list(edge.faces({str(clip)!r}))))"
    runner = (
        "import onnx; from quantize.export.onnx_runner import OnnxRunner; "
        "from edge.bundle import DEFAULT; OnnxRunner(onnx.load(DEFAULT / 'decoder.onnx'))"
    )
    return {
        "edge-run": [*live, "--to", f"vmc://{TO[0]}:{TO[1]}"],
        "edge-run --offline": [*live, "--offline", "--record", str(clip.with_suffix(".csv"))],
        "edge-batch": ["-m", "edge.batch", str(clip.parent), "--out", str(clip.parent)],
        "edge.faces": ["-c", code],
        "the toolchain": ["-c", runner],
    }


@pytest.mark.parametrize(
    "what", ["edge-run", "edge-run --offline", "edge-batch", "edge.faces", "the toolchain"]
)
def test_a_run_leaves_a_fresh_home_empty(what: str, clip: Path, tmp_path: Path) -> None:
    if what == "the toolchain":
        pytest.importorskip("onnx", reason="the toolchain is not installed")
    home = tmp_path / "home"
    command = [sys.executable, *runs(clip)[what]]
    done = subprocess.run(
        command, cwd=ROOT, env=bare(home), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []


def alone() -> list[str]:
    """What runs a command in a network of its own, watched for whom it calls; else a loud skip."""
    missing = [tool for tool in ("strace", "unshare") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"WHO IS CALLED WAS NOT TRIED: no {' and no '.join(missing)} here")
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("WHO IS CALLED WAS NOT TRIED: no network namespaces here")
    up = ["sh", "-c", 'ip link set lo up 2>/dev/null; exec "$@"', "sh"]
    watch = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o"]
    return ["unshare", "-rn", *up, *watch]


@pytest.mark.slow
def test_the_browser_that_draws_a_film_looks_nobody_up(tmp_path: Path) -> None:
    try:
        browser, _ = film_tools()
    except MissingError as error:
        pytest.skip(f"WHOM THE BROWSER CALLS WAS NOT TRIED: {error}")
    trace, home, profile = (tmp_path / name for name in ("trace", "home", "profile"))
    profile.mkdir()
    code = (
        "import sys, time; from edge.preview.film import flags, running\n"
        "with running([sys.argv[1], *flags(sys.argv[2]), 'about:blank'], home=sys.argv[2]):\n"
        "    time.sleep(10)"
    )
    command = [*alone(), str(trace), sys.executable, "-c", code, browser, str(profile)]
    subprocess.run(command, cwd=ROOT, env=bare(home), check=True, timeout=120)
    text = trace.read_text(errors="replace")
    assert "connect(" in text
    # It also connects a datagram socket to learn whether IPv6 works, and sends nothing there.
    assert "htons(53)" not in text
    assert list(home.rglob("*")) == []


@pytest.mark.slow
def test_nothing_is_looked_up_or_sent_but_to_the_outputs(tmp_path: Path) -> None:
    # The whole clip of 15 s: ONNX Runtime was seen to look its collector up after 9 s.
    trace = tmp_path / "trace"
    done = subprocess.run(
        [*alone(), str(trace), sys.executable, *runs(DEMO)["edge-run"]],
        cwd=ROOT, env=bare(tmp_path / "home"), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    if "ptrace" in done.stderr:
        pytest.skip(f"WHO IS CALLED WAS NOT TRIED: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    calls = [line for line in trace.read_text().splitlines() if "sa_family=" in line]
    ours = re.compile(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([0-9.]+)"\)')
    reached = {(m[2], m[1]) if (m := ours.search(line)) else line for line in calls}
    assert reached == {TO}
