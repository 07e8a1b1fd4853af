"""No output destroys its input, a device, another's file, or what another run writes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge import batch
from edge.cli import main
from edge.contract import ARKIT_52, SAMPLE_RATE, BlendshapeFrame, ConfigError, Floats
from edge.files import AtomicFile, check_output
from edge.preview.film import Film
from edge.recording.audio_record import AudioRecord
from edge.recording.face_record import FORMATS, SUFFIXES, is_recording, open_record
from tests.fakes import DEMO

FACE = BlendshapeFrame(np.zeros(52, np.float32), 266, 0.0)
PLAIN = "time_s," + ",".join(reversed(ARKIT_52)) + "\n0.0" + ",0.5" * 52 + "\n"
"""A capture of somebody's: the columns of a recording, in another order."""


@pytest.fixture
def own(tmp_path: Path, demo: Floats) -> Path:
    path = tmp_path / "own.wav"
    soundfile.write(path, demo[: SAMPLE_RATE // 2], SAMPLE_RATE)
    return path


def same(path: Path) -> Path:
    return path


def hard_link(path: Path) -> Path:
    (link := path.with_name("hard.wav")).hardlink_to(path)
    return link


def soft_link(path: Path) -> Path:
    (link := path.with_name("soft.wav")).symlink_to(path)
    return link


@pytest.mark.parametrize("name", [same, hard_link, soft_link])
@pytest.mark.parametrize(
    "flags", [["--offline", "--record", "csv:"], ["--record", "csv:"], ["--record-audio", ""]]
)
def test_a_recording_never_overwrites_its_input(
    flags: list[str],
    name: Callable[[Path], Path],
    own: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, out = own.read_bytes(), name(own)
    command = ["--mic", f"file:{own}", "--control", "off", *flags[:-1], f"{flags[-1]}{out}"]
    assert main(command) == 78
    assert f"{out}: is the input itself; choose another name" in capsys.readouterr().err
    assert own.read_bytes() == before
    assert not list(own.parent.glob(".*"))


@pytest.mark.parametrize("flags", [[], ["--offline"]])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_recording_never_overwrites_its_standard_input(
    flags: list[str], force: list[str], own: Path
) -> None:
    outs = [["--record", f"csv:{own}"], *([] if flags else [["--record-audio", str(own)]])]
    before = own.read_bytes()
    for out in outs:
        command = [sys.executable, "-m", "edge.cli", "--mic", "-", "--control", "off"]
        with own.open("rb") as stdin:
            done = subprocess.run(
                [*command, *flags, *force, *out], cwd=Path(batch.__file__).parents[1],
                stdin=stdin, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        assert done.returncode == 78
        assert f"{own}: is the input itself; choose another name" in done.stderr
        assert own.read_bytes() == before


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize("offline", [[], ["--offline"]])
def test_the_configuration_and_the_bundle_are_inputs_too(
    offline: list[str],
    force: list[str],
    own: Path,
    bundle_copy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = own.with_name("edge.yaml")
    config.write_text(f"bundle: {bundle_copy}\n")
    for path in (config, bundle_copy / "bundle.yaml"):
        before = path.read_bytes()
        command = ["--config", str(config), "--mic", f"file:{own}", "--control", "off"]
        assert main([*command, *offline, *force, "--record", f"csv:{path}"]) == 78
        assert f"{path}: is the input itself" in capsys.readouterr().err
        assert path.read_bytes() == before


@pytest.mark.parametrize("offline", [[], ["--offline"]])
def test_notes_are_overwritten_by_force_alone_and_a_recording_without(
    offline: list[str], own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = own.with_name("notes.csv")
    notes.write_text(PLAIN)
    command = ["--mic", f"file:{own}", "--control", "off", *offline, "--record", f"csv:{notes}"]
    assert main(command) == 78
    stderr = capsys.readouterr().err
    assert f"--record {notes}: there already; choose another name or --force" in stderr
    assert notes.read_text() == PLAIN
    for again in (["--force"], []):
        assert main([*command, *again]) == 0
        assert is_recording(notes.read_bytes()[:4096])


@pytest.mark.parametrize("name", ["heard.wav", "heard.old.wav"])
def test_sound_of_others_is_overwritten_by_force_alone_and_a_record_without(
    name: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = own.with_name(name)
    theirs.write_bytes(own.read_bytes())  # 16 kHz, mono, 16 bit: the header is that of ours
    theirs.chmod(0o644)
    command = ["--mic", f"file:{own}", "--control", "off", "--record-audio"]
    command.append(str(own.with_name("heard.wav")))
    assert main(command) == 78
    stderr = capsys.readouterr().err
    assert f"--record-audio {theirs}: there already; choose another name or --force" in stderr
    assert theirs.read_bytes() == own.read_bytes()
    assert main([*command, "--force"]) == 0
    if name == "heard.wav":
        assert main(command) == 0


PAIRS = [
    ["--record", "csv:same.wav", "--record-audio", "same.wav"],
    ["--record", "csv:./same.wav", "--record-audio", "folder/../same.wav"],
    ["--record", "csv:same.old.wav", "--record-audio", "same.wav"],
    ["--record", "csv:same.mp4", "--render", "same.mp4", "--offline"],
]


@pytest.mark.parametrize("outputs", PAIRS)
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_two_outputs_never_write_one_file(
    outputs: list[str],
    force: list[str],
    own: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(own.parent)
    monkeypatch.setattr("edge.preview.film.film_tools", lambda: ("chromium", "ffmpeg"))
    Path("folder").mkdir()
    assert main(["--mic", f"file:{own}", "--control", "off", *outputs, *force]) == 2
    assert "both write" in capsys.readouterr().err
    assert sorted(os.listdir()) == ["folder", "own.wav"]


def test_recording_the_audio_of_a_file_is_refused_not_ignored(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = own.with_name("q.wav")
    assert main(["--mic", f"file:{own}", "--offline", "--record-audio", str(out)]) == 2
    assert "--record-audio is for a live run" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--record", "--record-audio", "--render"])
@pytest.mark.parametrize("offline", [[], ["--offline"]])
@pytest.mark.parametrize("name", ["", " "])
def test_an_output_without_a_name_is_refused_not_ignored(
    flag: str, offline: list[str], name: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--mic", f"file:{own}", "--control", "off", *offline]
    assert main([*command, flag, name]) == 2
    stderr = capsys.readouterr().err
    assert "an empty name; give a file" in stderr or "--render needs --offline" in stderr


def test_a_film_overwrites_nothing_unless_forced(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.preview.film.film_tools", lambda: ("chromium", "ffmpeg"))
    (out := own.with_name("holidays.mp4")).write_text("theirs")
    with pytest.raises(ConfigError, match=r"--render .*: there already; .* or --force"):
        Film(str(out), str(own))
    Film(str(out), str(own), force=True)
    with pytest.raises(ConfigError, match="is the input itself"):
        Film(str(out), str(own), [out], force=True)


def test_a_film_never_overwrites_its_sound(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.preview.film.film_tools", lambda: ("chromium", "ffmpeg"))
    clip = own.rename(own.with_suffix(".mp4"))
    with pytest.raises(ConfigError, match=r"--render .*is the input itself"):
        Film(str(clip), str(clip))


def node(path: Path) -> None:
    """A device of our own: what happens to /dev/null would be everybody's trouble."""
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except OSError:
        pytest.skip("NO DEVICE WAS TRIED: only root may make one")


PLACES: dict[str, Callable[[Path], None]] = {
    "a FIFO": lambda path: os.mkfifo(path),
    "a device": node,
    "a link to a device": lambda path: path.symlink_to("/dev/null"),
    "a folder": lambda path: path.mkdir(),
    "itself by a link": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("what", PLACES)
def test_what_is_no_regular_file_is_refused_and_stays(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.preview.film.film_tools", lambda: ("chromium", "ffmpeg"))
    path = tmp_path / "out.mp4"
    PLACES[what](path)
    before = path.lstat()
    opens: list[Callable[[], object]] = [
        lambda: open_record(f"csv:{path}"),
        lambda: AudioRecord(str(path)),
        lambda: Film(str(path), str(DEMO)),
    ]
    for open_ in opens:
        with pytest.raises(ConfigError, match=r"out\.mp4: .*; choose another"):
            open_()
    assert path.lstat() == before


def test_two_runs_share_no_file_and_the_last_one_to_end_stays(tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    first, second = open_record(str(path)), open_record(str(path))
    assert len(list(tmp_path.glob(".face.csv.*.part"))) == 2
    first.send(FACE)
    first.close()
    lines = path.read_text().splitlines()
    second.close()
    assert (len(lines), len(path.read_text().splitlines())) == (2, 1)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_where_the_temporary_file_may_lie_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "another's"
    other.write_text("theirs")
    for name in ("face.csv.part", ".face.csv.part"):
        (tmp_path / name).symlink_to(other)
    open_record(str(tmp_path / "face.csv")).close()
    assert other.read_text() == "theirs"


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("\N{PARROT}" * 62 + ".csv")
    open_record(str(path)).close()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_take_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    new = AtomicFile(tmp_path / "face.csv")
    (tmp_path / "face.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        new.commit()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"--out .*Not a directory; choose another place"):
        check_output("--out", tmp_path / "file" / "face.csv")


def test_the_sound_of_a_room_is_private_over_a_public_file(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    AudioRecord(str(path)).close()
    path.chmod(0o644)
    with path.open("rb") as reader:
        record = AudioRecord(str(path), force=True)
        record.put(np.ones(160, np.float32))
        record.close()
        assert path.stat().st_mode & 0o777 == 0o600
        assert len(reader.read()) == 44  # who had it open hears nothing new


@pytest.mark.parametrize("there", [True, False])
def test_a_link_at_the_place_of_an_output_is_refused_and_stays(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.preview.film.film_tools", lambda: ("chromium", "ffmpeg"))
    other = tmp_path / "another's"
    if there:
        other.write_text("theirs")
    (path := tmp_path / "out.mp4").symlink_to(other)
    opens: list[Callable[[], object]] = [
        lambda: open_record(f"csv:{path}"),
        lambda: AudioRecord(str(path)),
        lambda: Film(str(path), str(DEMO)),
        lambda: check_output("--out", path),
    ]
    for open_ in opens:
        with pytest.raises(ConfigError, match=r"out\.mp4: is a symbolic link; choose another name"):
            open_()
    assert path.is_symlink()
    assert not there or other.read_text() == "theirs"


def test_a_link_that_comes_while_it_is_recorded_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    record = open_record(str(path))
    path.symlink_to(tmp_path / "another's")
    with pytest.raises(ConfigError, match="symbolic link"):
        record.close()
    assert list(tmp_path.iterdir()) == [path]
    assert path.is_symlink()


@pytest.mark.parametrize("folder", ["/dev", "/dev/shm", "/proc/self"])
def test_an_output_among_the_systems_own_files_is_refused(folder: str, tmp_path: Path) -> None:
    (link := tmp_path / "link").symlink_to(folder)
    for place in (Path(folder), link):
        with pytest.raises(ConfigError, match="is a place of the system; choose another place"):
            check_output("--record", place / "no such file.csv")


def test_two_runs_do_not_record_sound_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    first = AudioRecord(str(path), half=100)
    for _ in range(2):
        with pytest.raises(ConfigError, match="another run writes it; choose another"):
            AudioRecord(str(path))
        first._write(np.zeros(80, np.float32))  # the second one begins the next file
    first.close()
    AudioRecord(str(path)).close()


def test_recording_sound_to_a_fifo_ends_at_once(tmp_path: Path, own: Path) -> None:
    os.mkfifo(path := tmp_path / "pipe.wav")
    command = [sys.executable, "-m", "edge.cli", "--mic", f"file:{own}", "--control", "off"]
    done = subprocess.run(
        [*command, "--record-audio", str(path)], cwd=Path(batch.__file__).parents[2],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert f"--record-audio {path}: is no regular file; choose another name" in done.stderr


@pytest.mark.parametrize("form", FORMATS)
def test_a_recording_of_ours_is_known_by_its_beginning(form: str, tmp_path: Path) -> None:
    path = tmp_path / "face.any"
    for frames in ((), (FACE,)):
        record = open_record(f"{form}:{path}")
        for frame in frames:
            record.send(frame)
        record.close()
        assert is_recording(path.read_bytes()[:4096])


PHONE = FORMATS["livelink"]().head.decode() + "11:52:08:33.511,61" + ",0.1" * 61 + "\n"
OTHERS = {
    "csv": [PLAIN, "a,b\n1,2\n", "\0\0"],
    "livelink": [PHONE],
    "json": ['{"mine": true}', "[]"],
    "glb": ["glTF\2\0\0\0 by another program"],
}


@pytest.mark.parametrize("age", [-1000, 1000])
@pytest.mark.parametrize(("form", "text"), [(f, t) for f, ts in OTHERS.items() for t in ts])
def test_a_batch_never_overwrites_what_it_did_not_write_unless_forced(
    form: str, text: str, age: int, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = own.with_suffix(SUFFIXES[form])
    goal.write_text(text)
    now = own.stat().st_mtime
    os.utime(goal, (now + age, now + age))
    command = [str(own.parent), "--out", str(own.parent), "--format", form]
    assert batch.main(command) == 78
    stderr = capsys.readouterr().err
    assert f"{goal}: there already, and no recording of edge-run; choose another --out" in stderr
    assert goal.read_text() == text
    assert batch.main([*command, "--force"]) == 0
    assert is_recording(goal.read_bytes()[:4096])


def test_a_batch_fills_a_place_that_is_empty(own: Path) -> None:
    own.with_suffix(".csv").touch()
    os.utime(own.with_suffix(".csv"), (1, 1))
    assert batch.main([str(own.parent), "--out", str(own.parent)]) == 0
    assert is_recording(own.with_suffix(".csv").read_bytes())


def test_a_batch_does_not_wait_for_a_fifo(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(own.with_suffix(".csv"))
    for force in ([], ["--force"]):
        assert batch.main([str(own.parent), "--out", str(own.parent), *force]) == 78
        assert "is no regular file" in capsys.readouterr().err
