"""More talkers and more voices: nobody is trained on and tested, and points tell of lips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

import soundfile

from edge.contract import SAMPLE_RATE
from quantize.data.clips import Capture, UnfitClipError
from quantize.data.grid_talkers import TEST_TALKERS, read_words
from quantize.data.landmarks import Landmarks, resample
from quantize.data.load import load
from quantize.data.streams import load_audio

pytestmark = pytest.mark.toolchain
IDS = (13, 14, 61, 291, 33, 263)


def points(gap: float, width: float, size: float = 1.0) -> np.ndarray:
    """(6, 3) pixels of a face whose eyes are 60 apart, times ``size``."""
    shape = [
        (100, 200, 0),
        (100, 200 + gap, 0),
        (100 - width / 2, 205, 0),
        (100 + width / 2, 205, 0),
        (70, 100, 0),
        (130, 100, 0),
    ]
    return np.array(shape, np.float32) * size


def turned(face: np.ndarray, angle: float) -> np.ndarray:
    """The same head, turned to the side."""
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(face @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]), np.float32)


def landmarks(*faces: np.ndarray) -> Landmarks:
    head = np.repeat(np.eye(4, dtype=np.float32)[None], len(faces), axis=0)
    return Landmarks(IDS, np.stack(faces), head)


def test_gap_and_width_are_in_eye_distances_whatever_the_camera_sees() -> None:
    face = points(gap=6, width=48)
    seen = landmarks(face, points(6, 48, size=2.5), turned(face, 0.6), points(0, 30))
    np.testing.assert_allclose(seen.lip_gap(), [0.1, 0.1, 0.1, 0], atol=1e-5)
    np.testing.assert_allclose(seen.lip_width(), [0.8, 0.8, 0.8, 0.5], atol=1e-5)


def test_captured_values_become_frames_at_their_own_time() -> None:
    # The value is the time in seconds, so frame i has (i + 1) / 60; held after the last at 1 s.
    ramp = np.arange(26, dtype=np.float32) / 25
    wanted = np.minimum((np.arange(70) + 1) / 60, 1)
    np.testing.assert_allclose(resample(ramp, 25, 70), wanted, atol=1e-6)


def test_points_of_another_length_are_refused() -> None:
    with pytest.raises(UnfitClipError, match="1 frames of points beside 2 of shapes"):
        Capture(("jawOpen",), np.zeros((2, 1), np.float32), 25, landmarks=landmarks(points(1, 40)))


def write_talkers(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    """A ``grid_talkers`` folder with three frames a clip; clip k has gaps of k pixels."""
    root = folder / "grid_talkers"
    for sub in ("audio", "align"):
        (root / sub).mkdir(parents=True)
    for name, _, _ in rows:
        (root / "audio" / f"{name}.flac").touch()
        if "unknown" not in name:
            align = "0 12000 sil\n12000 16500 bin\n16500 21250 blue\n21250 74500 sil\n"
            (root / "align" / f"{name}.align").write_text(align)
    names, talkers, splits = zip(*rows, strict=True)
    count = len(rows)
    np.savez(
        root / "blendshapes.npz",
        ids=names,
        talkers=talkers,
        splits=splits,
        offsets=np.arange(count + 1) * 3,
        arkit52=np.repeat(np.arange(count), 3)[:, None].repeat(2, 1).astype(np.float16) / 10,
        arkit_names=["jawOpen", "mouthClose"],
        lip_points=np.stack([points(k, 48) for k in range(count) for _ in range(3)]),
        lip_point_ids=IDS,
        head_matrix=np.repeat(np.eye(4)[None], 3 * count, axis=0).astype(np.float16),
        fps=25.0,
    )
    return root


def test_talkers_are_split_as_a_whole_and_keep_points_and_head(tmp_path: Path) -> None:
    rows = [
        ("bbaf1n", "s2", "train"),
        ("bbaf2n", "s2", "train"),
        ("lrwq7p", "s14", "test"),
        ("s15unknown1", "s15", "test"),
    ]
    clips, skipped = load([write_talkers(tmp_path, rows)])
    assert not skipped
    assert [c.source for c in clips] == [c.speaker for c in clips]  # a scale of his own
    assert [(c.id, c.speaker, c.split, c.text) for c in clips] == [
        ("grid_talkers/bbaf1n", "grid_s2", "train", "bin blue"),
        ("grid_talkers/bbaf2n", "grid_s2", "train", "bin blue"),
        ("grid_talkers/lrwq7p", "grid_s14", "test", "bin blue"),
        ("grid_talkers/s15unknown1", "grid_s15", "test", None),
    ]
    for k, clip in enumerate(clips):
        assert clip.capture is not None
        assert clip.capture.landmarks is not None
        np.testing.assert_allclose(clip.capture.values, k / 10, atol=1e-3)
        np.testing.assert_allclose(clip.capture.landmarks.lip_gap(), k / 60, atol=1e-4)
        assert clip.capture.landmarks.head.shape == (3, 4, 4)


def test_a_test_talker_marked_for_training_is_refused(tmp_path: Path) -> None:
    rows = [("bbaf1n", "s2", "train"), ("lrwq7p", TEST_TALKERS[0], "train")]
    clips, skipped = load([write_talkers(tmp_path, rows)])
    assert [c.speaker for c in clips] == ["grid_s2"]
    assert [s.reason for s in skipped] == ["talker s10 is marked train; a talker has one split"]


def test_words_have_the_times_of_grid_s_alignment(tmp_path: Path) -> None:
    (tmp_path / "a.align").write_text("0 12000 sil\n12000 16500 bin\n16500 17000 sp\n17000 18500 u")
    assert read_words(tmp_path / "a.align") == [(0.48, 0.66, "bin"), (0.68, 0.74, "u")]


def write_languages(folder: Path, rows: dict[str, list[list[str]]]) -> Path:
    root = folder / "speech_60_languages"
    for name, lines in rows.items():
        for file, *_ in lines:
            path = root / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path.with_suffix(".wav"), np.zeros(1600), SAMPLE_RATE)
            path.with_suffix(".wav").rename(path)
        table = ["file,speaker,language,seconds,text,extra", *(",".join(r) for r in lines)]
        (root / name / "index.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    return root


def test_a_speaker_of_many_languages_set_is_in_one_split(tmp_path: Path) -> None:
    people = [f"en_{k:03}" for k in range(60)]
    rows = {
        name: [[f"{p}/{name}_{k}.wav", p, "en", "1", "hi", ""] for p in people for k in range(2)]
        for name in ("commonvoice_en", "commonvoice61_59languages")
    }
    clips, skipped = load([write_languages(tmp_path, rows)])
    assert not skipped
    assert len({c.id for c in clips}) == len(clips) == 240
    # Both sets name a person alike; each of them has four clips and one split.
    splits: dict[str, set[str]] = {}
    for clip in clips:
        splits.setdefault(clip.speaker, set()).add(clip.split)
    assert len(splits) == 60
    assert all(len(found) == 1 for found in splits.values())
    assert {c.split for c in clips} == {"train", "validation", "test"}


def test_only_english_is_given_to_the_english_recogniser(tmp_path: Path) -> None:
    rows = {
        "commonvoice_bits": [
            ["a/one.wav", "fa_1", "fa", "1", "mān", ""],
            ["b/two.wav", "tw_1", "tw (Twi)", "1", "", ""],
        ],
        "speechocean762": [["1/three.wav", "0001", "en (L1 Mandarin)", "1", "HI / YOU", ""]],
    }
    clips, _ = load([write_languages(tmp_path, rows)])
    assert [(c.id, c.speaker, c.language, c.text) for c in clips] == [
        ("commonvoice_bits/a/one", "commonvoice_fa_1", "fa", "mān"),
        ("commonvoice_bits/b/two", "commonvoice_tw_1", "tw", None),
        ("speechocean762/1/three", "speechocean_0001", "en", "HI YOU"),
    ]
    assert [c.maybe_english for c in clips] == [False, False, True]
    assert replace(clips[0], language=None).maybe_english
    # Would import pocketsphinx and invent English phones.
    loaded = load_audio(clips[:2], tmp_path / "phones.json")
    assert [s.phones for s in loaded] == [(), ()]
    assert (tmp_path / "phones.json").read_text() == "{}"
