"""Recordings to clips to targets: names decide, what does not fit is said, nothing leaks."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

import soundfile

from edge.contract import ARKIT_52, INDEX, SAMPLE_RATE
from quantize.data.clips import Capture, Clip, DataError, UnfitClipError, split_by_id
from quantize.data.load import load
from quantize.data.phones import Phone, arpabet_viseme, per_face, read_emodb
from quantize.data.readers import grid_sentence
from quantize.data.targets import arkit_spread, fit_scale, seen_at_sixty, targets, to_sixty

pytestmark = pytest.mark.toolchain
FRAMES = 90


def sheet(folder: Path, name: str, header: list[str], rows: list[list[object]]) -> None:
    folder.mkdir(exist_ok=True)
    lines = [",".join(map(str, row)) for row in [header, *rows]]
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def voice(folder: Path, name: str, seconds: float = 1.5, rate: int = 44_100) -> None:
    folder.mkdir(exist_ok=True)
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * rate))
    soundfile.write(folder / f"{name}.wav", samples, rate)


def live_link(name: str) -> str:
    return name[0].upper() + name[1:]


def test_a_live_link_face_take_beside_its_sound_is_read_by_name(tmp_path: Path) -> None:
    takes = tmp_path / "takes"
    # The order of a real file: JawRight before JawLeft, unlike in the UDP packet.
    names = ["JawForward", "JawRight", "JawLeft", "JawOpen"]
    rows = [
        [f"10:00:0{i // 60}:{i % 60:02}.000", 61, 0, 0.25, 0.75, i / FRAMES] for i in range(FRAMES)
    ]
    sheet(takes, "take1", ["Timecode", "BlendShapeCount", *names], rows)
    voice(takes, "take1")
    clips, skipped = load([takes])
    assert not skipped
    (clip,) = clips
    assert (clip.id, clip.source) == ("takes/take1", "takes")
    assert clip.capture is not None
    assert clip.capture.fps == 60
    captured = to_sixty(clip.capture, 30)
    assert np.all(captured[:, INDEX["jawRight"]] == 0.25)
    assert np.all(captured[:, INDEX["jawLeft"]] == 0.75)
    # Face i is shown at (i + 1) / 60 s, and here row k is at k / 60 s.
    np.testing.assert_allclose(captured[:, INDEX["jawOpen"]], np.arange(1, 31) / FRAMES, atol=1e-4)


def test_the_order_of_the_columns_does_not_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.random((FRAMES, 52)).round(4)
    order = rng.permutation(52)
    for name, columns in (("a", np.arange(52)), ("b", order)):
        rows = [[i / 60, *values[i, columns]] for i in range(FRAMES)]
        sheet(tmp_path / "set", name, ["time_s", *(ARKIT_52[c] for c in columns)], rows)
        voice(tmp_path / "set", name)
    (a, b), _ = load([tmp_path / "set"])
    assert a.capture is not None
    assert b.capture is not None
    assert a.capture.names != b.capture.names
    np.testing.assert_array_equal(to_sixty(a.capture, 60), to_sixty(b.capture, 60))


def test_each_clip_that_does_not_fit_is_named_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "mixed"
    good = [[i / 60, 0.1] for i in range(FRAMES)]
    sheet(folder, "good", ["time_s", "jawOpen"], good)
    sheet(folder, "mute", ["time_s", "jawOpen"], good)
    sheet(folder, "holes", ["time_s", "jawOpen"], [*good, [2.0, "nan"]])
    sheet(folder, "odd", ["time_s", "jawOpen", "earWiggle"], [[*r, 0] for r in good])
    sheet(folder, "still", ["time_s", "jawOpen"], [[0.0, 0.1]] * 5)
    sheet(folder, "bare", ["time_s", "nothing"], good)
    sheet(folder, "words", ["time_s", "jawOpen"], [[i / 60, "open"] for i in range(FRAMES)])
    for name in ("good", "holes", "odd", "still", "bare", "words"):
        voice(folder, name)
    with caplog.at_level(logging.WARNING):
        clips, skipped = load([folder])
    assert [c.id for c in clips] == ["mixed/good"]
    reasons = {s.id.split("/")[1]: s.reason for s in skipped}
    assert "no audio beside mute.csv" in reasons["mute"]
    assert "NaN" in reasons["holes"]
    assert "unknown channel 'earWiggle'" in reasons["odd"]
    assert "time does not advance" in reasons["still"]
    assert "no ARKit column" in reasons["bare"]
    assert "could not convert" in reasons["words"]
    assert all(s.id in caplog.text for s in skipped)


def test_an_empty_or_missing_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no usable clip among 0"):
        load([tmp_path / "empty"])
    sheet(tmp_path / "mute", "a", ["time_s", "jawOpen"], [[i / 60, 0] for i in range(9)])
    with pytest.raises(DataError, match="no audio beside"):
        load([tmp_path / "mute"])


def test_captures_of_the_wrong_kind_are_refused() -> None:
    values = np.zeros((5, 1), np.float32)
    with pytest.raises(UnfitClipError, match="unknown channel 'chin'"):
        Capture(("chin",), values, 60)
    with pytest.raises(UnfitClipError, match="expected 10 to 240"):
        Capture(("jawOpen",), values, 5)
    with pytest.raises(UnfitClipError, match="do not match"):
        Capture(("jawOpen", "jawLeft"), values, 60)
    with pytest.raises(UnfitClipError, match="missing audio"):
        Clip("a/b", "a", "b", "train", Path("none.wav"))


def test_grid_keeps_its_test_sentences_and_talkers_out_of_training(tmp_path: Path) -> None:
    ids = [f"s{i:03}" for i in range(120)]
    names = ["jawOpen", "mouthClose"]
    for folder, known in (("grid_s1_video_blendshapes", True), ("grid_other_speakers", False)):
        root = tmp_path / folder
        (root / "audio").mkdir(parents=True)
        (root / "align").mkdir()
        for i in ids:
            (root / "audio" / f"{i}.flac").touch()
            (root / "align" / f"{i}.align").write_text("0 500 sil\n500 900 bin\n900 999 sil\n")
        np.savez(
            root / "blendshapes.npz",
            ids=ids,
            offsets=np.arange(121) * 3,
            arkit52=np.zeros((360, 2), np.float16),
            fps=25.0,
            arkit_names=names,
        )
        splits = {c.id: c.split for c in load([root])[0]}
        counts = {s: list(splits.values()).count(s) for s in ("train", "validation", "test")}
        wanted = {"train": 20, "validation": 50, "test": 50} if known else {"test": 120}
        assert counts == {"train": 0, "validation": 0, "test": 0} | wanted
        assert {c.text for c in load([root])[0]} == ({"bin"} if known else {None})


def test_a_grid_file_s_name_says_its_sentence() -> None:
    assert grid_sentence("brbk7n") == "bin red by k seven now"
    assert grid_sentence("id2_vcd_swwp2s") == "set white with p two soon"
    assert grid_sentence("brbkzn") == "bin red by k zero now"
    assert grid_sentence("brbw7n") is None  # no talker says W
    assert grid_sentence("now") is None


def test_facegood_maps_its_own_names_and_holds_back_its_last_clip(tmp_path: Path) -> None:
    root = tmp_path / "facegood_paired"
    (root / "audio").mkdir(parents=True)
    (root / "names.json").write_text(json.dumps({"arkit52": ["mouthPucker", "jawOpen"]}))
    values = np.array([[0.1, 0.9]] * 4, np.float32)
    np.savez(root / "blendshapes.npz", arkit52_a_2_01=values, arkit52_a_3_16=values)
    for name in ("a_2_01", "a_3_16"):
        (root / "audio" / f"{name}.flac").touch()
    clips, _ = load([root])
    assert {c.id: c.split for c in clips} == {
        "facegood/a_2_01": "train",
        "facegood/a_3_16": "test",
    }
    assert clips[0].capture is not None
    predicted = to_sixty(clips[0].capture, 2)
    assert predicted[0, INDEX["jawOpen"]] == pytest.approx(0.9)
    assert predicted[0, INDEX["mouthPucker"]] == pytest.approx(0.1)


def test_a_split_depends_on_the_id_alone() -> None:
    splits = [split_by_id(f"x/{i}", 0.1, 0.2) for i in range(2000)]
    assert splits == [split_by_id(f"x/{i}", 0.1, 0.2) for i in range(2000)]
    assert splits.count("test") / 2000 == pytest.approx(0.2, abs=0.03)
    assert splits.count("validation") / 2000 == pytest.approx(0.1, abs=0.03)


def test_twenty_five_frames_become_sixty_faces_in_the_right_place() -> None:
    ramp = Capture(("jawOpen",), (np.arange(26, dtype=np.float32) / 25)[:, None], 25)
    jaw = to_sixty(ramp, 60)[:, INDEX["jawOpen"]]
    # Value equals time in seconds, so face i shows (i + 1) / 60.
    np.testing.assert_allclose(jaw, (np.arange(60) + 1) / 60, atol=1e-6)
    faster = to_sixty(ramp, 30, tempo=2.0)[:, INDEX["jawOpen"]]
    np.testing.assert_allclose(faster, 2 * (np.arange(30) + 1) / 60, atol=1e-6)
    assert not to_sixty(ramp, 60)[:, INDEX["mouthClose"]].any()


def test_a_face_is_known_where_the_frames_before_and_after_it_are() -> None:
    seen = np.ones(25, bool)
    seen[10] = False
    capture = Capture(("jawOpen",), np.zeros((25, 1), np.float32), 25, seen)
    # Frame 10 is shown at 0.4 s, its neighbours at 0.36 and 0.44: faces 21 to 25 lie between.
    assert list(np.flatnonzero(~seen_at_sixty(capture, 55))) == [21, 22, 23, 24, 25]
    assert not seen_at_sixty(capture, 20, tempo=1.2)[18]
    assert seen_at_sixty(Capture(("jawOpen",), np.zeros((25, 1), np.float32), 25), 55).all()


def test_sound_that_outlasts_its_capture_has_no_face() -> None:
    capture = Capture(("jawOpen",), np.zeros((26, 1), np.float32), 25)
    known = seen_at_sixty(capture, 90)
    # The last frame is shown at 1 s (face 59); it is held for 0.12 s.
    assert known[:66].all()
    assert not known[67:].any()


def test_what_a_lost_face_holds_has_no_part_in_the_scale() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.4, 0.05, (4000, 1)).astype(np.float32)
    seen = np.ones(4000, bool)
    alone = fit_scale([Capture(("jawOpen",), values[:2000], 60)])
    values[2000:], seen[2000:] = 9.0, False
    masked = fit_scale([Capture(("jawOpen",), values, 60, seen)])
    np.testing.assert_array_equal(masked.factor, alone.factor)
    np.testing.assert_array_equal(masked.zero, alone.zero)


def test_a_capture_that_never_saw_a_face_is_refused() -> None:
    with pytest.raises(UnfitClipError, match="no face was seen in any frame"):
        Capture(("jawOpen",), np.zeros((5, 1), np.float32), 60, np.zeros(5, bool))


def test_sources_come_to_one_scale_and_dead_channels_stay_out() -> None:
    rng = np.random.default_rng(0)
    jaw = rng.normal(0.4, 0.05, 4000)
    values = np.stack([jaw, np.full(4000, 0.3), rng.random(4000)], axis=1).astype(np.float32)
    capture = Capture(("jawOpen", "mouthClose", "eyeBlinkLeft"), values, 60)
    scale = fit_scale([capture])
    assert scale.live[INDEX["jawOpen"]]
    assert not scale.live[INDEX["mouthClose"]]  # does not move
    assert not scale.live[INDEX["eyeBlinkLeft"]]  # not learned from speech
    clip = Clip("a/b", "a", "b", "train", None, capture)
    predicted = targets(clip, scale, 3999)
    jaw_predicted = predicted[:, INDEX["jawOpen"]]
    assert jaw_predicted.std() == pytest.approx(arkit_spread()[INDEX["jawOpen"]], rel=0.03)
    assert np.mean(jaw_predicted < 0) == pytest.approx(0.05, abs=0.01)
    assert not predicted[:, INDEX["mouthClose"]].any()


def test_phones_become_visemes_at_the_faces_that_hear_them() -> None:
    assert arpabet_viseme("AH0") == "aa"
    assert arpabet_viseme("+NOISE+") is None
    phones = (Phone(0.1, 0.2, "PP"), Phone(0.3, 9.0, "aa"))
    labels = per_face(phones, 30)
    # 0.1 s is the time of face 5, 0.2 s of face 11.
    assert list(np.flatnonzero(labels == 1)) == [5, 6, 7, 8, 9, 10]
    assert labels[4] == -1
    assert labels[29] == 10
    assert list(np.flatnonzero(per_face(phones, 30, tempo=2.0) == 1)) == [2, 3, 4]


def test_emodb_times_are_where_segments_begin(tmp_path: Path) -> None:
    path = tmp_path / "x.lablaut"
    path.write_text(
        "signal x\n#\n 0.10 -1 p\n 0.20 -1 !p\t+asp\n 0.25 -1 a\t2\n 0.40 -1 \t+hoe\n 0.45 -1 .\n"
    )
    assert read_emodb(path) == (
        Phone(0.10, 0.20, "PP"),
        Phone(0.20, 0.25, "PP"),
        Phone(0.25, 0.40, "aa"),
    )


def test_audio_of_any_rate_is_heard_at_sixteen_kilohertz(tmp_path: Path) -> None:
    from quantize.data.streams import load_audio

    voice(tmp_path / "set", "a", seconds=1.0, rate=44_100)
    sheet(tmp_path / "set", "a", ["time_s", "jawOpen"], [[i / 60, 0] for i in range(60)])
    clips, _ = load([tmp_path / "set"])
    found = tmp_path / "phones.json"
    found.write_text(json.dumps({"set/a": [{"start": 0.0, "end": 0.5, "viseme": "sil"}]}))
    (loaded,) = load_audio(clips, found)
    assert len(loaded.samples) == SAMPLE_RATE
    assert loaded.phones == (Phone(0.0, 0.5, "sil"),)
