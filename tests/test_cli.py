"""``edge-run`` as people and scripts meet it: a process with arguments and an exit status."""

from __future__ import annotations

import csv
import json
import signal
import socket
import struct
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from edge.contract import ARKIT_52, INDEX, SAMPLE_RATE
from tests.fakes import DEMO, ROOT


def edge_run(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge.cli", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **more
    )  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], np.ndarray]:
    """Header and rows of the demo clip's recording."""
    path = tmp_path_factory.mktemp("record") / "face.csv"
    done = edge_run("--mic", f"file:{DEMO}", "--offline", "--json", "--record", str(path))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["faces"] == int(result["audio_s"] * 60)
    assert result["delay_ms"] > 16
    with path.open() as file:
        rows = list(csv.reader(file))
    assert len(rows) == result["faces"] + 1
    return rows[0], np.array(rows[1:], float)


def test_a_recording_has_a_row_a_face_and_a_column_a_shape(recorded) -> None:
    header, rows = recorded
    assert header == ["time_s", *ARKIT_52]
    np.testing.assert_allclose(rows[:, 0], (np.arange(len(rows)) + 1) / 60, atol=1e-4)
    assert rows[:, 1:].min() >= 0
    assert rows[:, 1:].max() <= 1


def test_the_demo_clip_opens_the_mouth_in_speech_and_shuts_it_in_silence(recorded) -> None:
    jaw = recorded[1][:, 1 + INDEX["jawOpen"]]
    assert np.percentile(jaw, 90) > 0.1
    # The longest silence, after the sentence before "Big blue bubbles", has a fifth of a second.
    assert jaw.min() < 0.025
    assert jaw.std() > 0.03


def test_the_same_seed_gives_the_same_face(tmp_path: Path) -> None:
    texts = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        path = tmp_path / f"{name}.csv"
        edge_run("--mic", f"file:{DEMO}", "--offline", "--seed", seed, "--record", str(path))
        texts.append(path.read_text())
    assert texts[0] == texts[1] != texts[2]


def fails(status: int, words: str, *arguments: str) -> None:
    done = edge_run(*arguments)
    assert done.returncode == status, done.stderr
    lines = done.stderr.strip().splitlines()
    assert words in lines[-1]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if status != 2:
        assert len(lines) == 1


@pytest.mark.parametrize(
    ("status", "words", "arguments"),
    [
        (2, "unrecognized arguments: --nonsense", "--nonsense"),
        (2, "this bundle offers", "--mic DEMO --offline --lookahead 5"),
        (2, "--offline needs audio that ends", "--offline"),
        (66, "no such audio file", "--mic file:HERE/none.wav --offline"),
        (69, "no bundle.yaml there", "--bundle HERE --mic DEMO"),
        (69, "cannot find host", "--mic DEMO --to vmc://no.such.host.invalid:1"),
        (78, "unknown scheme", "--mic DEMO --to carrier-pigeon://here"),
        (78, "did you mean 'mic'?", "--config HERE/wrong.yaml"),
        (78, "check --config", "--config HERE/absent.yaml"),
    ],
)
def test_a_failure_is_one_sentence_with_the_documented_status(
    tmp_path: Path, status: int, words: str, arguments: str
) -> None:
    (tmp_path / "wrong.yaml").write_text("mik: default\n")
    line = arguments.replace("HERE", str(tmp_path)).replace("DEMO", f"file:{DEMO}")
    fails(status, words, *line.split())


def test_the_shapes_are_listed_in_order() -> None:
    assert edge_run("--list-shapes").stdout.split() == list(ARKIT_52)
    assert json.loads(edge_run("--list-shapes", "--json").stdout) == list(ARKIT_52)


def test_help_shows_examples() -> None:
    assert "examples:" in edge_run("--help").stdout


def vmc_values(datagram: bytes) -> dict[str, float]:
    """Shape to value, read without the code under test."""
    values, at = {}, 16
    while at < len(datagram):
        (size,) = struct.unpack_from(">i", datagram, at)
        content = datagram[at + 4 : at + 4 + size]
        if content.startswith(b"/VMC/Ext/Blend/Val\0"):
            name = content[24:].split(b"\0")[0].decode()
            values[name] = struct.unpack(">f", content[-4:])[0]
        at += 4 + size
    return values


def test_a_signal_ends_a_live_run_with_a_neutral_face(tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    speech = np.tile(np.random.default_rng(0).normal(0, 3000, SAMPLE_RATE), 30).astype("<i2")
    with wave.open(str(long), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(speech.tobytes())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        to = f"vmc://127.0.0.1:{receiver.getsockname()[1]}"
        command = [sys.executable, "-m", "edge.cli", "--mic", f"file:{long}", "--to", to]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        for _ in range(120):
            receiver.recv(2000)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        receiver.settimeout(0.2)
        last: list[bytes] = []
        while True:
            try:
                last = [*last[-2:], receiver.recv(2000)]
            except TimeoutError:
                break
    values = vmc_values(last[0]) | vmc_values(last[1]) | vmc_values(last[2])
    assert len(values) == 52
    assert set(values.values()) == {0.0}


def test_raw_samples_on_standard_input_move_a_face(tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    noise = np.random.default_rng(0).normal(0, 3000, SAMPLE_RATE // 2).astype("<i2").tobytes()
    command = [sys.executable, "-m", "edge.cli", "--mic", "-", "--record", str(path)]
    command += ["--to", "vmc://127.0.0.1:9", "--config", str(tmp_path / "edge.yaml")]
    # The pipe is faster than real time, so the queue must be allowed to hold all of it.
    (tmp_path / "edge.yaml").write_text("queue_ms: 10000\n")
    done = subprocess.run(command, cwd=ROOT, input=noise, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(path.read_text().splitlines()) >= 20
