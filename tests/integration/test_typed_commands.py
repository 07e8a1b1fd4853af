"""Every command and every Python example in the pages is executed, or listed with its reason."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.bundle import DEFAULT
from edge.contract import ARKIT_52, SAMPLE_RATE, Floats
from tests.fakes import ROOT
from tests.test_docs import BLOCKS, PAGES, adapted, is_command, reason_not_to

STATUS = {r"^edge-run .*--doctor": (0, 69)}
"""Exit statuses that are fine, besides 0; the doctor may find something missing."""


@pytest.fixture
def sandbox(tmp_path: Path, demo: Floats) -> dict[str, str]:
    """A folder with a clip, takes and a bundle, where the programs are those of this checkout."""
    here = tmp_path / "reader"
    (here / "takes").mkdir(parents=True)
    speech = demo[SAMPLE_RATE : 2 * SAMPLE_RATE + SAMPLE_RATE // 2]
    soundfile.write(here / "speech.wav", speech, SAMPLE_RATE)
    for i in range(3):
        take = np.roll(demo, 50_000 * i)[: 4 * SAMPLE_RATE]
        soundfile.write(here / f"takes/take{i}.wav", take, SAMPLE_RATE)
        rows = [f"{t / 60:.5f}" + f",{t % 20 / 20:.2f}" * 52 for t in range(240)]
        sheet = "\n".join(["time_s," + ",".join(ARKIT_52), *rows])
        (here / f"takes/take{i}.csv").write_text(sheet)
    (here / "small.yaml").write_text("{epochs: 1, batch: 2, window: 60, renditions: 1}")
    (here / "teacher.yaml").write_text("{epochs: 1, batch: 1, renditions: 1}")
    shutil.copytree(DEFAULT, here / "mybundle")
    for folder in ("edge", "benchmarks"):
        (here / folder).symlink_to(ROOT / folder)
    programs = tmp_path / "bin"
    programs.mkdir()
    modules = {
        "edge-run": "edge.cli",
        "edge-batch": "edge.batch",
        "edge-quantize": "quantize.cli",
    }
    for name, run in {**{n: f"-m {m}" for n, m in modules.items()}, "python": ""}.items():
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {run} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(here),
        "PWD": str(here),
        # On a busy machine torch's threads wait for one another for minutes.
        "OMP_NUM_THREADS": "1",
    }


def run(command: list[str], sandbox: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=sandbox["PWD"], env=os.environ | sandbox, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_reader_can_type_all_of_it(page: Path, sandbox: dict[str, str]) -> None:
    for block in (block for block in BLOCKS if block.page == page):
        if block.python:
            done = run([sys.executable, "-c", adapted("\n".join(block.lines))], sandbox)
            assert done.returncode == 0, f"{block}\n{done.stderr}"
            continue
        for line in block.lines:
            if reason_not_to(line) is None:
                type_in(line, sandbox)


def type_in(line: str, sandbox: dict[str, str]) -> None:
    assert is_command(line), f"not a program that this test knows: {line}"
    program = line.split()[0]
    if program == "edge-quantize":
        pytest.importorskip("torch", reason="the toolchain is not installed")
    if program == "oscsend" and not shutil.which(program):
        pytest.skip("oscsend is not installed: apt install liblo-tools")
    fine = next((s for p, s in STATUS.items() if re.search(p, line)), (0,))
    done = run(["sh", "-c", adapted(line)], sandbox)
    assert done.returncode in fine, f"{adapted(line)}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
