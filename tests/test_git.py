"""Which code made a file: changed code is marked, what benchmarks wrote is not."""

from __future__ import annotations

import subprocess
from pathlib import Path

from quantize.git import git_commit


def test_only_changed_code_is_marked(tmp_path: Path) -> None:
    def run(*words: str) -> None:
        name = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)

    for folder in ("quantize", "benchmarks/results"):
        (tmp_path / folder).mkdir(parents=True)
    code, result = tmp_path / "quantize" / "git.py", tmp_path / "benchmarks/results/x.json"
    code.write_text("1\n")
    result.write_text("1\n")
    assert git_commit(tmp_path) == "unknown"
    run("init", "-q")
    run("add", "-A")
    run("commit", "-qm", "first")
    clean = git_commit(tmp_path)
    assert len(clean) == 12
    result.write_text("2\n")
    (result.parent / "new.png").write_text("drawn\n")
    assert git_commit(tmp_path) == clean
    code.write_text("2\n")
    assert git_commit(tmp_path) == clean + "+"
