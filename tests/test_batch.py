"""A folder of audio to a folder of faces: the same faces as one by one, and no file stops it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.audio.audio_folder import find_audio
from edge.batch import main
from edge.contract import SAMPLE_RATE, Floats, InputError
from edge.preview.replay import parser as replay_flags
from tests.fakes import ROOT


@pytest.fixture
def takes(tmp_path: Path, demo: Floats) -> Path:
    """Three short takes, one of them in a folder below."""
    folder = tmp_path / "takes"
    (folder / "day2").mkdir(parents=True)
    for i, name in enumerate(("a.wav", "b.flac", "day2/c.wav")):
        cut = demo[i * SAMPLE_RATE : (i + 1) * SAMPLE_RATE]
        soundfile.write(folder / name, cut, SAMPLE_RATE)
    (folder / "notes.txt").write_text("not audio")
    return folder


def batch(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict, str]:
    """Exit status, summary, and what was said on standard error."""
    status = main([*map(str, arguments), "--json"])
    output = capsys.readouterr()
    return status, json.loads(output.out) if output.out else {}, output.err


def as_nobody(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """``edge-batch`` as another user, on a folder that gets one short file."""
    soundfile.write(folder / "a.wav", np.zeros(8000, np.float32), SAMPLE_RATE)
    code = (
        "import os, sys; from edge.batch import main\n"
        # Loads what is loaded late: another user may not read where this Python lies.
        f"main([{str(folder)!r}, '--out', {str(folder.parent / 'warm')!r}])\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


def test_every_file_becomes_what_edge_run_makes_of_it(takes, tmp_path, capsys) -> None:
    status, summary, _ = batch(capsys, takes, "--out", tmp_path / "faces", "--seed", 3)
    assert status == 0
    assert (summary["done"], summary["up_to_date"], summary["failed"]) == (3, 0, {})
    assert summary["audio_s"] == 3
    made = sorted(str(p.relative_to(tmp_path / "faces")) for p in tmp_path.rglob("faces/**/*.csv"))
    assert made == ["a.csv", "b.csv", "day2/c.csv"]
    alone = tmp_path / "alone.csv"
    command = [sys.executable, "-m", "edge.cli", "--mic", f"file:{takes}/day2/c.wav", "--offline"]
    command += ["--record", str(alone), "--seed", "3"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "faces/day2/c.csv").read_bytes() == alone.read_bytes()


def test_a_tilde_is_replaced_where_no_shell_does(takes, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "edge.yaml").write_text("seed: 3")
    arguments = ["~/takes", "--out=~/faces", "--config=~/edge.yaml"]
    assert main(arguments) == 0
    assert (tmp_path / "faces/a.csv").is_file()
    assert replay_flags().parse_args(["~/a.csv", "~/a.wav"]).clip == tmp_path / "a.wav"


def test_a_bad_file_is_named_and_the_others_are_done(takes, tmp_path, capsys) -> None:
    (takes / "aa.wav").write_bytes(b"RIFF, it says")
    status, summary, stderr = batch(capsys, takes, "--out", tmp_path / "faces")
    assert status == 66
    assert summary["done"] == 3
    assert list(summary["failed"]) == [str(takes / "aa.wav")]
    assert stderr.startswith("edge-batch: ")
    assert "aa.wav: not a readable audio file" in stderr
    assert not list(tmp_path.rglob("aa.*[!v]"))


def test_what_is_done_is_not_done_again_unless_forced_or_older(takes, tmp_path, capsys) -> None:
    out = tmp_path / "faces"
    batch(capsys, takes, "--out", out)
    assert batch(capsys, takes, "--out", out)[1]["up_to_date"] == 3
    assert batch(capsys, takes, "--out", out, "--force")[1]["done"] == 3
    later = time.time() + 10
    os.utime(takes / "a.wav", (later, later))
    summary = batch(capsys, takes, "--out", out)[1]
    assert (summary["done"], summary["up_to_date"]) == (1, 2)


def test_two_takes_of_one_name_do_not_overwrite_each_other(takes, tmp_path, capsys) -> None:
    soundfile.write(takes / "a.ogg", np.zeros(8000, np.float32), SAMPLE_RATE)
    status, summary, stderr = batch(capsys, takes, "--out", tmp_path / "faces")
    assert status == 66
    assert "a.wav: its faces would overwrite those of a.ogg" in stderr
    assert summary["done"] == 3


@pytest.mark.parametrize(
    ("form", "begins"), [("livelink", b"Timecode,"), ("json", b"{"), ("glb", b"glTF")]
)
def test_the_format_is_the_one_asked_for(form, begins, takes, tmp_path, capsys) -> None:
    out = tmp_path / "faces"
    assert batch(capsys, takes, "--out", out, "--format", form)[0] == 0
    files = [p for p in out.rglob("*") if p.is_file()]
    assert len(files) == 3
    assert all(p.read_bytes().startswith(begins) for p in files)


def test_the_emotion_of_a_configuration_is_in_the_recording(takes, tmp_path, capsys) -> None:
    config = tmp_path / "edge.yaml"
    config.write_text("emotion: {name: happiness, blend: 0}\ngains: {jawOpen: 0}\n")
    batch(capsys, takes, "--out", tmp_path / "faces", "--format", "json", "--config", config)
    found = json.loads((tmp_path / "faces/a.json").read_text())
    last = found["frames"][-1]
    assert (last["emotion"], last["emotion_strength"]) == ("happiness", 1.0)
    assert last["weights"][found["names"].index("mouthSmileLeft")] > 0.1
    assert last["weights"][found["names"].index("jawOpen")] == 0


def test_a_folder_without_audio_says_so(tmp_path: Path, capsys) -> None:
    with pytest.raises(InputError, match="no audio in it"):
        find_audio(tmp_path)
    status, _, stderr = batch(capsys, tmp_path / "absent", "--out", tmp_path)
    assert status == 66
    assert "absent: no such folder" in stderr


def test_files_that_are_no_audio_are_named(takes, tmp_path, capsys) -> None:
    (takes / "day2/.hidden").write_text("of no interest")
    (takes / "day2/talk.docx").write_text("not audio either")
    found, left, _ = find_audio(takes)
    assert [p.name for p in found] == ["a.wav", "b.flac", "c.wav"]
    assert [p.name for p in left] == ["talk.docx", "notes.txt"]
    said = batch(capsys, takes, "--out", tmp_path / "faces")[2]
    assert "left out, because no audio that is known: day2/talk.docx, notes.txt\n" in said


def test_other_containers_are_done_like_any_audio(takes, tmp_path, capsys) -> None:
    sound = soundfile.read(takes / "a.wav")[0]
    for name, kind in (("d.caf", "CAF"), ("e.w64", "W64"), ("f.AU", "AU")):
        soundfile.write(takes / name, sound, SAMPLE_RATE, "PCM_16", format=kind)
    summary = batch(capsys, takes, "--out", tmp_path / "faces")[1]
    assert summary["done"] == 6
    faces = [(tmp_path / f"faces/{n}.csv").read_bytes() for n in "adef"]
    assert len(set(faces)) == 1


def test_a_channel_that_is_not_there_fails_that_file_alone(takes, tmp_path, capsys) -> None:
    sound = soundfile.read(takes / "a.wav")[0]
    soundfile.write(takes / "s.wav", np.stack([sound * 0, sound], 1), SAMPLE_RATE, "PCM_16")
    status, summary, said = batch(capsys, takes, "--out", tmp_path / "faces", "--channel", 2)
    assert (status, summary["done"]) == (66, 1)
    assert "a.wav: has no channel 2, only 1; choose another --channel" in said


def test_a_place_that_cannot_be_written_is_named(takes, tmp_path, capsys) -> None:
    (tmp_path / "faces").write_text("a file, not a folder")
    status, _, stderr = batch(capsys, takes, "--out", tmp_path / "faces")
    assert status == 78
    assert "faces: a file, not a folder; choose another place" in stderr


@pytest.mark.parametrize("place", ["x" * 300, "a.txt/faces"])
def test_a_place_that_cannot_be_looked_at_is_one_sentence(place, takes, tmp_path, capsys) -> None:
    (tmp_path / "a.txt").write_text("no folder")
    status, _, stderr = batch(capsys, takes, "--out", tmp_path / place)
    assert status == 78
    assert stderr.splitlines()[-1].startswith(f"edge-batch: --out {tmp_path}")
    assert stderr.endswith("; choose another place\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="ONLY ROOT CAN TRY TO BE SOMEBODY ELSE")
def test_a_place_in_a_closed_folder_is_one_sentence() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        (folder := Path(name)).chmod(0o755)
        (closed := folder / "closed").mkdir(0o700)
        (takes := folder / "takes").mkdir()
        done = as_nobody([str(takes), "--out", str(closed / "x")], takes)
        assert done.stderr == (
            f"edge-batch: --out {closed / 'x'}: Permission denied; choose another place\n"
        )
    assert done.returncode == 78


@pytest.mark.skipif(os.geteuid() != 0, reason="ONLY ROOT CAN TRY TO BE SOMEBODY ELSE")
def test_a_folder_that_cannot_be_read_fails_and_the_others_are_done() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        (folder := Path(name)).chmod(0o755)
        (out := folder / "faces").mkdir()
        out.chmod(0o777)
        (takes := folder / "takes").mkdir()
        (takes / "closed").mkdir(0o700)
        (takes / "half").mkdir()
        soundfile.write(takes / "half/b.wav", np.zeros(8000, np.float32), SAMPLE_RATE)
        (takes / "half").chmod(0o744)  # a list of names, no more
        done = as_nobody([str(takes), "--out", str(out), "--json"], takes)
        summary = json.loads(done.stdout.splitlines()[-1])
        assert (out / "a.csv").is_file()
    assert done.returncode == 66
    assert summary["done"] == 1
    assert sorted(summary["failed"]) == [f"{takes}/closed", f"{takes}/half/b.wav"]
    assert "give this user the right to read the folder" in done.stderr
    assert "no permission to read it" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_other_csv_is_neither_taken_for_this_one_nor_overwritten(
    takes, tmp_path, capsys
) -> None:
    out = tmp_path / "faces"
    batch(capsys, takes, "--out", out)
    before = (out / "a.csv").read_bytes()
    status, summary, stderr = batch(capsys, takes, "--out", out, "--format", "livelink")
    assert (status, summary["up_to_date"], len(summary["failed"])) == (78, 0, 3)
    assert "a.csv: there already, as csv and not livelink; choose another --out" in stderr
    assert (out / "a.csv").read_bytes() == before
    os.utime(out / "a.csv", (1, 1))
    assert batch(capsys, takes, "--out", out, "--format", "livelink")[0] == 78
    again = batch(capsys, takes, "--out", out, "--format", "livelink", "--force")[1]
    assert again["done"] == 3
    assert batch(capsys, takes, "--out", out, "--format", "livelink")[1]["up_to_date"] == 3
    assert batch(capsys, takes, "--out", out)[0] == 78


def test_a_terminal_shows_how_far_it_is(takes: Path, tmp_path: Path) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed, so there is no bar")
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [
        sys.executable,
        "-m",
        "edge.batch",
        str(takes),
        "--out",
        str(tmp_path / "faces"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=60, check=True
    )
    os.close(theirs)
    assert "3/3" in os.read(ours, 65536).decode()
    os.close(ours)
    assert done.stdout == "3 done, 0 up to date, 0 failed\n"


def test_a_batch_that_is_interrupted_leaves_whole_files_only(tmp_path: Path, demo: Floats) -> None:
    (tmp_path / "takes").mkdir()
    for name in "abc":
        soundfile.write(tmp_path / f"takes/{name}.wav", np.tile(demo, 60), SAMPLE_RATE)
    command = [sys.executable, "-m", "edge.batch", str(tmp_path / "takes")]
    # A shell ignores interrupts for what it runs in the background, and children inherit that.
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "faces")],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.02)
    # Python drops an interrupt that falls into a finaliser; a user would press the keys again.
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; the same command goes on from here" in stderr
    assert "Traceback" not in stderr
    assert not list(tmp_path.rglob("*.part"))
    lengths = {len(path.read_text().splitlines()) for path in tmp_path.rglob("*.csv")}
    assert lengths <= {60 * len(demo) * 60 // SAMPLE_RATE + 1}
