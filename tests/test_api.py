"""``edge.faces``: three lines of Python, with types, that let the microphone go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import edge
import edge.api
from edge.api import live_faces
from edge.audio.capture import file_blocks
from edge.config import Config
from edge.contract import ARKIT_52, INDEX, SAMPLE_RATE, AudioBlock, ConfigError, Floats, InputError
from edge.pipeline import Pipeline
from edge.recording.offline_record import record_faces
from edge.wiring import open_pipeline
from tests.fakes import (
    ROOT,
    FakeClock,
    FakeDecoder,
    FakeGenerator,
    FakeSource,
    blocks,
    fake_bundle,
    noise,
)


@pytest.fixture
def clip(tmp_path: Path, demo: Floats) -> Path:
    path = tmp_path / "speech.wav"
    soundfile.write(path, demo[: 2 * SAMPLE_RATE], SAMPLE_RATE)
    return path


def test_a_file_gives_the_faces_that_an_offline_run_records(clip: Path, tmp_path: Path) -> None:
    found = list(edge.faces(clip))
    record_faces(file_blocks(str(clip)), str(tmp_path / "face.csv"), open_pipeline(Config())[1])
    rows = np.loadtxt(tmp_path / "face.csv", delimiter=",", skiprows=1)
    assert len(found) == 120
    np.testing.assert_allclose([f.time for f in found], rows[:, 0], atol=1e-5)
    np.testing.assert_allclose([f.weights for f in found], rows[:, 1:], atol=1e-4)


def test_a_face_is_read_by_name(clip: Path) -> None:
    frame = list(edge.faces(str(clip), emotion="happy"))[-1]
    assert frame["jawOpen"] == frame.weights[INDEX["jawOpen"]]
    assert list(frame.named()) == list(edge.ARKIT_52) == list(ARKIT_52)
    assert frame.named()["mouthSmileLeft"] == frame["mouthSmileLeft"] > 0.1
    assert (frame.emotion, frame.emotion_strength) == ("happiness", 1.0)
    assert -121 < frame.level_db < 0
    with pytest.raises(KeyError, match="jawopen"):
        frame["jawopen"]


def test_the_lookahead_and_the_seed_are_those_asked_for(clip: Path) -> None:
    def weights(**options: int) -> Floats:
        return np.array([f.weights for f in edge.faces(clip, **options)])

    assert not np.array_equal(weights(lookahead=0), weights(lookahead=133))
    assert not np.array_equal(weights(seed=0), weights(seed=1))


@pytest.mark.parametrize("name", ["none.wav", "NONE.FLAC", "file:none", Path("none")])
def test_what_is_named_like_a_file_is_never_taken_for_a_microphone(
    name: str | Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(edge.api, "open_source")
    with pytest.raises(InputError, match=r"(?i)none.*: no such audio file"):
        next(edge.faces(name))


@pytest.mark.parametrize("source", [Path.cwd(), str(Path.cwd())])
def test_a_folder_is_told_apart_from_a_microphone(source: str | Path) -> None:
    with pytest.raises(InputError, match=r"is a folder: give a file in it \(edge-batch takes"):
        next(edge.faces(source))


def test_a_bare_name_that_no_microphone_has_may_be_a_folder_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_source(mic: str, queue_ms: int, channel: int | None) -> None:
        raise InputError(f"no microphone '{mic}'")

    monkeypatch.setattr(edge.api, "open_source", open_source)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "takes").mkdir()
    with pytest.raises(InputError, match="takes is a folder: give a file in it"):
        next(edge.faces("takes"))
    with pytest.raises(InputError, match="no microphone 'desk'"):
        next(edge.faces("desk"))


@pytest.mark.parametrize("source", [None, 1])
def test_what_is_neither_a_path_nor_a_name_is_refused(source: object) -> None:
    with pytest.raises(InputError, match=rf"edge.faces\({source}\): give a path, or a microphone"):
        next(edge.faces(source))  # type: ignore[arg-type]


def test_a_mistake_is_one_sentence(clip: Path) -> None:
    with pytest.raises(ConfigError, match="unknown emotion 'hapy'; did you mean 'happy'"):
        next(edge.faces(clip, emotion="hapy"))
    with pytest.raises(edge.EdgeError, match="this bundle offers 0, 33, 67, 133"):
        next(edge.faces(clip, lookahead=5))
    with pytest.raises(AttributeError, match="no attribute 'phases'"):
        edge.phases  # noqa: B018


class FakeMicrophone(FakeSource):
    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def microphone(monkeypatch: pytest.MonkeyPatch) -> FakeMicrophone:
    """One that is opened by the name ``desk``."""
    made = FakeMicrophone(FakeClock(), blocks(noise(2), 160))

    def open_source(mic: str, queue_ms: int, channel: int | None) -> FakeMicrophone:
        assert (mic, queue_ms, channel) == ("desk", 120, None)
        return made

    monkeypatch.setattr(edge.api, "open_source", open_source)
    return made


def test_a_bare_name_is_a_microphone_s_even_where_a_folder_has_it(
    microphone: FakeMicrophone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk").mkdir()
    assert len(list(edge.faces("desk"))) == 116


def test_leaving_the_loop_closes_the_microphone(microphone: FakeMicrophone) -> None:
    seen = 0
    for frame in edge.faces("desk"):
        seen += 1
        if frame.time > 0.5:
            break
    assert seen > 20
    assert microphone.closed == 1


def test_an_error_in_the_loop_closes_the_microphone(microphone: FakeMicrophone) -> None:
    def fail() -> None:
        for _ in edge.faces("desk"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert microphone.closed == 1


def test_a_microphone_that_ends_ends_the_loop(microphone: FakeMicrophone) -> None:
    assert len(list(edge.faces("desk"))) == 120 - 4  # but for the look-ahead
    assert microphone.closed == 1


def test_faces_rest_60_times_a_second_while_nothing_is_heard() -> None:
    clock = FakeClock()
    pipeline = Pipeline(fake_bundle(0), (FakeGenerator(), FakeDecoder()))
    source = FakeSource(clock, [AudioBlock(noise(0.1), 0, 100.0), 1.07])
    times = []
    for frame in live_faces(source, pipeline, clock):
        times.append((clock.now - 100, frame.captured_at - 100))
    assert len(times) == 6 + 61
    assert times[6] == (pytest.approx(0.07), pytest.approx(0.07))
    np.testing.assert_allclose(np.diff([at for at, _ in times[6:]]), 1 / 60, atol=1e-6)


def test_faces_at_rest_that_a_slow_loop_missed_are_left_out() -> None:
    clock = FakeClock()
    pipeline = Pipeline(fake_bundle(0), (FakeGenerator(), FakeDecoder()))
    at = []
    for frame in live_faces(FakeSource(clock, [0.07 + 6.5 / 60]), pipeline, clock):
        at.append(frame.captured_at - 100)
        if len(at) == 3:
            clock.now += 1.0  # the reader's own work
    # Three faces in 0.07 s and 2/60 s; after the stall one at once and four in 4/60 s.
    assert len(at) == 8
    assert np.diff(at) == pytest.approx([1 / 60] * 2 + [1] + [1 / 60] * 4, abs=1e-6)


USER = """\
import edge
for frame in edge.faces("speech.wav"):
    reveal_type(frame)
    reveal_type(frame.time)
    reveal_type(frame["jawOpen"])
    reveal_type(frame.named())
    reveal_type(frame.emotion)
    reveal_type(frame.level_db)
edge.faces(1)
"""


def test_a_type_checker_knows_what_comes(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed: pip install 'edgetalk[dev]'")
    (tmp_path / "mine.py").write_text(USER)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    revealed = [
        line.split("Revealed type is ")[1].strip('"').replace("builtins.", "")
        for line in done.stdout.splitlines()
        if "Revealed" in line
    ]
    assert revealed == [
        "edge.contract.BlendshapeFrame", "float", "float", "dict[str, float]", "str | None",
        "float",
    ]  # fmt: skip
    assert 'mine.py:9: error: Argument 1 to "faces" has incompatible type "int"' in done.stdout
