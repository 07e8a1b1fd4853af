"""How commands end when their streams, their limits or a signal say so: real processes."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.contract import SAMPLE_RATE
from tests.fakes import DEMO, ROOT

ENVIRON = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
RUN = f"{sys.executable} -m edge.cli"
QUIET = "--to vmc://127.0.0.1:9 --control off"
FILE = f"--mic file:{DEMO} --offline"


def shell(script: str, **more: object) -> subprocess.CompletedProcess[str]:
    """A script with ``$RUN`` for the program; the exit status of its last command."""
    script = script.replace("$RUN", RUN)
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, timeout=60, check=False, env=ENVIRON,
        **more,
    )  # fmt: skip  # type: ignore[call-overload]
    text = [raw.decode(errors="replace") for raw in (done.stdout, done.stderr)]
    assert "Traceback" not in text[1]
    assert "Exception" not in text[1]
    return subprocess.CompletedProcess(script, done.returncode, *text)


@pytest.mark.parametrize(
    ("script", "status", "sentence"),
    [
        (f"$RUN --mic - {QUIET} <&-", 66, "standard input is closed"),
        (f"$RUN --mic - {QUIET} 0>/dev/null", 66, "standard input cannot be read (Bad file"),
        (f"$RUN {FILE} --record csv:", 78, "write csv:OUT"),
        (f"$RUN {FILE} --record json:/", 78, "write json:OUT"),
        ("$RUN --list-shapes >/dev/full", 69, "standard output cannot be written (No space"),
        ("$RUN --list-shapes >&-", 69, "standard output cannot be written (Bad file"),
        ("$RUN --print-config >/dev/full", 69, "standard output cannot be written (No space"),
        ("$RUN --version >/dev/full", 69, "standard output cannot be written (No space"),
        (f"$RUN {FILE} >/dev/full", 69, "standard output cannot be written (No space"),
    ],
)
def test_what_cannot_go_on_is_one_sentence(script: str, status: int, sentence: str) -> None:
    done = shell(script)
    assert done.returncode == status, done.stderr
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("$RUN --list-shapes 2>&-", 0),
        ("$RUN --list-shapes 2>/dev/full", 0),
        (f"$RUN --mic - {QUIET} </dev/null 2>&-", 0),
        (f"$RUN --mic - {QUIET} </dev/null 2>/dev/full", 0),
        (f"$RUN --mic - {QUIET} </dev/null >&- 2>&-", 0),
        ("$RUN --nonsense 2>&-", 2),
        ("$RUN --mic file:none.wav --offline 2>&-", 66),
        ("$RUN --mic file:none.wav --offline >&- 2>&- <&-", 66),
        ("$RUN --list-shapes | true; exit ${PIPESTATUS[0]}", 0),
        ("$RUN --help | true; exit ${PIPESTATUS[0]}", 0),
        (f"$RUN {FILE} --json | true; exit ${{PIPESTATUS[0]}}", 0),
    ],
)
def test_without_a_reader_the_end_is_quiet(script: str, status: int) -> None:
    done = shell(script)
    assert done.returncode == status, done.stderr
    assert done.stderr == "" or status == 2


def test_too_few_open_files_are_one_sentence_or_no_trouble() -> None:
    # With fewer Python itself does not start.
    for most in (7, 8, 9, 11, 14):
        done = shell(f"ulimit -n {most}; $RUN --mic - --meter --to vmc://127.0.0.1:9 </dev/null")
        assert done.returncode in (0, 69), (most, done.stderr)
        assert done.returncode == 0 or "too many open files" in done.stderr.lower(), done.stderr


def test_too_few_open_files_for_a_page_are_one_sentence_too(tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    assert shell(f"$RUN {FILE} --record {path}").returncode == 0
    replay = f"{sys.executable} -m edge.preview.replay {path} {DEMO} --port 0"
    for most in (5, 6):
        done = shell(f"ulimit -n {most}; timeout -s INT 20 {replay}")
        assert done.returncode == 69, (most, done.stderr)
        assert "too many open files" in done.stderr.lower()
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_recording_is_never_taken_for_a_closed_stream(tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    done = shell(f"$RUN {FILE} --record {path} >&- 2>&- <&-")
    assert done.returncode == 69  # the figures had nowhere to go
    lines = path.read_text().splitlines()
    assert lines[0].startswith("time_s,eyeBlinkLeft")
    assert all(line.count(",") == 52 for line in lines)


SPEECH = f"for i in $(seq 20); do head -c {SAMPLE_RATE // 2} /dev/zero; sleep .25; done"


def test_a_meter_whose_reader_leaves_ends_and_the_faces_go_on() -> None:
    done = shell(f"({SPEECH}) | $RUN --mic - --meter {QUIET} | head -1; exit ${{PIPESTATUS[1]}}")
    assert done.returncode == 0
    assert done.stdout.startswith("jaw 0.")
    assert done.stderr.count("the meter ends, its output is gone (") == 1
    assert "at rest; latency" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_shows_bars_in_the_letters_it_has(encoding: str) -> None:
    reader, terminal = pty.openpty()
    environ = {**ENVIRON, "PYTHONIOENCODING": encoding}
    command = [*RUN.split(), "--mic", f"file:{DEMO}", "--meter", *QUIET.split()]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=terminal, stderr=subprocess.PIPE, env=environ
    ) as running:
        os.close(terminal)
        output = b""
        while output.count(b"blink") < 3:
            output += os.read(reader, 4096)
        running.terminate()
        assert running.stderr is not None
        errors = running.stderr.read().decode()
        assert running.wait(10) == 0
    os.close(reader)
    assert "Traceback" not in errors
    text = output.decode(encoding)
    assert ("····" in text) == (encoding == "utf-8")
    assert ("...." in text) == (encoding != "utf-8")
    assert "\\u" not in text


def interrupted(after: float, *arguments: str) -> tuple[list[str], list[str], int]:
    """Ctrl-C so many seconds after edge.console begins: modules before it, errors, exit status."""
    # -X importtime says when our first module is in; the interpreter's own start is not ours.
    command, before = [sys.executable, "-X", "importtime", "-m", *arguments], []
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            before.append(line)
            if "edge.console" in line:
                break
        next(running.stderr)  # the first import that it makes itself
        time.sleep(after)  # another process: no clock to pass
        running.send_signal(signal.SIGINT)
        lines = running.stderr.read().splitlines()
        status = running.wait(10)
    return before, [line for line in lines if not line.startswith("import time:")], status


@pytest.mark.parametrize("after", [0, 0.03, 0.08, 0.15, 0.25, 0.35, 0.5, 0.7])
def test_ctrl_c_in_the_first_half_second_ends_quietly(after: float) -> None:
    _, errors, status = interrupted(after, "edge.cli", "--mic", f"file:{DEMO}", *QUIET.split())
    assert not [line for line in errors if not line.startswith("edge-run: ")]
    # Killed while the libraries load, stopped before the first face, or ended as a live run does.
    assert status in (-signal.SIGINT, 130, 0), errors


@pytest.mark.parametrize("module", ["edge.batch", "edge.preview.replay", "edge.inference.build"])
@pytest.mark.parametrize("after", [0, 0.1, 0.2])
def test_ctrl_c_while_the_others_load_ends_quietly(module: str, after: float) -> None:
    before, errors, status = interrupted(after, module, "--help")
    assert not [line for line in before if "numpy" in line]  # loaded, with Ctrl-C not seen to yet
    assert not errors
    assert status in (-signal.SIGINT, 130, 0)


def test_ctrl_c_is_left_alone_where_a_shell_ignores_it() -> None:
    script = "trap '' INT; $RUN --list-shapes & p=$!; sleep .3; kill -INT $p; wait $p"
    done = shell(script)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 52


@pytest.mark.parametrize("module", ["edge.batch", "edge.preview.replay", "edge.inference.build"])
def test_the_other_commands_end_as_quietly(module: str) -> None:
    assert shell(f"{sys.executable} -m {module} --help | true").returncode == 0
    assert shell(f"{sys.executable} -m {module} --nonsense 2>&-").returncode == 2


def test_a_microphone_with_a_strange_name_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import sys, edge.cli, edge.console
name = "Mikrofon \\u00fc \\udcfc"
edge.cli.list_microphones = lambda: [dict(index=0, name=name, channels=1, rate=1, default=True)]
sys.argv[1:] = ["--list-mics"]
sys.exit(edge.console.edge_run())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**ENVIRON, "PYTHONIOENCODING": "ascii"}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Mikrofon \\xfc \\udcfc" in done.stdout
