"""Faces to files: names in the header, the face's own time, whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from edge.contract import ARKIT_52, INDEX, BlendshapeFrame, ConfigError, face_end
from edge.recording.face_record import FORMATS, open_record


def face(end: int, **weights: float) -> BlendshapeFrame:
    array = np.zeros(52, np.float32)
    for name, value in weights.items():
        array[INDEX[name]] = value
    return BlendshapeFrame(array, end, 0.0, np.array([0.1, 0.2, -0.3], np.float32))


def record(where: str, *faces: BlendshapeFrame) -> None:
    sink = open_record(where)
    for one in faces:
        sink.send(one)
    sink.close()


def test_the_csv_file_is_these_lines(tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    full = BlendshapeFrame(np.ones(52, np.float32), 800, 0.0)
    record(str(path), face(266, jawOpen=0.5, tongueOut=0.12345), full)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["time_s", *ARKIT_52]
    assert rows[1] == ["0.01663", *["0.0000"] * 17, "0.5000", *["0.0000"] * 33, rows[1][-1]]
    assert float(rows[1][-1]) == pytest.approx(0.12345, abs=6e-5)
    assert rows[2] == ["0.05000", *["1.0000"] * 52]
    assert len(rows) == 3


# As the app writes it; each JawRight and MouthRight comes before its left one.
LIVE_LINK_HEADER = (
    "Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,"
    "EyeLookUpLeft,EyeSquintLeft,EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,"
    "EyeLookOutRight,EyeLookUpRight,EyeSquintRight,EyeWideRight,JawForward,JawRight,JawLeft,"
    "JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,MouthSmileLeft,"
    "MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,"
    "MouthStretchLeft,MouthStretchRight,MouthRollLower,MouthRollUpper,MouthShrugLower,"
    "MouthShrugUpper,MouthPressLeft,MouthPressRight,MouthLowerDownLeft,MouthLowerDownRight,"
    "MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,"
    "BrowOuterUpLeft,BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,"
    "NoseSneerLeft,NoseSneerRight,TongueOut,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,"
    "LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll"
)


def test_the_live_link_file_is_the_one_that_the_app_exports(tmp_path: Path) -> None:
    path = tmp_path / "take.csv"
    late = face_end(3_723 * 60 + 6)  # face 7 of second 2 of minute 2 of hour 1, counted from 1
    record(f"livelink:{path}", face(266, jawLeft=0.25, jawRight=0.5, eyeLookInLeft=1.0), face(late))
    header, first, second = path.read_text().splitlines()
    assert header == LIVE_LINK_HEADER
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert row["Timecode"] == "00:00:00:01.000"
    assert row["BlendShapeCount"] == "61"
    assert (row["JawLeft"], row["JawRight"]) == ("0.2500000000", "0.5000000000")
    assert row["JawOpen"] == "0.0000000000"
    # Head: pitch 0.1, yaw 0.2, roll -0.3; the left eye looks in, to the character's right: 30°.
    head = [float(row[f"Head{turn}"]) for turn in ("Yaw", "Pitch", "Roll")]
    assert head == pytest.approx([0.2, 0.1, -0.3])
    assert float(row["LeftEyeYaw"]) == pytest.approx(np.radians(30))
    assert float(row["RightEyeYaw"]) == 0
    assert second.split(",")[0] == "01:02:03:07.000"


@pytest.mark.parametrize("form", ["csv", "livelink"])
def test_the_toolchain_reads_back_what_was_recorded(form: str, tmp_path: Path) -> None:
    readers = pytest.importorskip("quantize.data.readers")
    path = tmp_path / "take.csv"
    weights = np.random.default_rng(0).random((90, 52)).astype(np.float32)
    record(
        f"{form}:{path}",
        *(BlendshapeFrame(row, face_end(i), 0.0) for i, row in enumerate(weights)),
    )
    capture = readers.read_csv(path)
    assert set(capture.names) == set(ARKIT_52)
    order = [capture.names.index(name) for name in ARKIT_52]
    # The plain sheet's times are those of samples, so a face may lie 1/3 of a sample off the grid.
    np.testing.assert_allclose(capture.values[:, order], weights[: len(capture.values)], atol=5e-3)
    assert len(capture.values) >= 89


def test_the_json_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "face.json"
    happy = BlendshapeFrame(
        np.full(52, 0.25, np.float32), 800, 0.0, level_db=-20.04, emotion="happiness",
        emotion_strength=0.7,
    )  # fmt: skip
    record(str(path), face(266, jawOpen=0.5), happy)
    found = json.loads(path.read_text())
    assert found["format"] == "edgetalk-faces"
    assert (found["version"], found["fps"], found["names"]) == (1, 60, list(ARKIT_52))
    first, second = found["frames"]
    assert first["time"] == 0.01663
    assert first["weights"][INDEX["jawOpen"]] == 0.5
    assert first["head"] == [0.1, 0.2, -0.3]
    assert first["emotion"] is None
    assert second["weights"] == [0.25] * 52
    assert (second["level_db"], second["emotion"], second["emotion_strength"]) == (
        -20.0,
        "happiness",
        0.7,
    )


@pytest.mark.parametrize("form", FORMATS)
def test_an_old_recording_stays_until_the_new_one_is_closed(form: str, tmp_path: Path) -> None:
    path = tmp_path / "face.any"
    path.write_text("old")
    sink = open_record(f"{form}:{path}", force=True)
    sink.send(face(266))
    assert path.read_text() == "old"
    sink.close()
    sink.close()
    assert path.read_bytes() != b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["face.any"]


def test_a_recording_that_is_given_up_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    path.write_text("old")
    sink = open_record(str(path), force=True)
    sink.send(face(266))
    sink.discard()
    sink.close()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["face.csv"]


def test_a_face_that_does_not_go_forward_in_time_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    record(str(path), face(266), face(266), face(800), face(0))
    assert [line.split(",")[0] for line in path.read_text().splitlines()[1:]] == [
        "0.01663",
        "0.05000",
    ]


def test_a_disk_that_fills_stops_the_recording_but_not_the_faces(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system, so no disk can be filled")
    path = tmp_path / "face.csv"
    sink = open_record(str(path))
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), sink._new.file.fileno())
    for i in range(200):  # more than any buffer holds
        sink.send(face(face_end(i)))
    with pytest.raises(ConfigError, match=r"face\.csv: No space left on device; choose another"):
        sink.close()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--record .*nowhere/face\.csv: No such file"):
        open_record(str(tmp_path / "nowhere" / "face.csv"))


def test_an_unknown_suffix_is_told_what_to_write() -> None:
    with pytest.raises(ConfigError, match=r"face\.txt: which format\? Write csv:face\.txt, livel"):
        open_record("face.txt")


def test_an_unknown_format_is_told_the_known_ones_and_a_colon_may_be_in_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="unknown format 'foo'; known: csv, livelink, json, glb"):
        open_record("foo:x.csv")
    for name in ("./foo:x.csv", "take-10:30.csv"):
        open_record(name).close()
    assert {path.name for path in tmp_path.iterdir()} == {"foo:x.csv", "take-10:30.csv"}
