"""The table that judges faces: made clips, whose figures can be told beforehand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

import soundfile

from edge.contract import INDEX, SAMPLE_RATE
from quantize.data.clips import DataError
from quantize.data.phones import Phone
from quantize.data.targets import Scale
from quantize.evaluation.head_mesh import HeadMesh
from quantize.evaluation.scoring import captured, loudness, score
from quantize.evaluation.test_clips import MADE_SILENCE, TestClip, load_test_clips, made_silence

pytestmark = pytest.mark.toolchain

JAW, CLOSE, BROW = INDEX["jawOpen"], INDEX["mouthClose"], INDEX["browInnerUp"]
FACES = 180


def make_clip(name: str = "a", live: tuple[int, ...] = (JAW, CLOSE, BROW)) -> TestClip:
    """3 s: a voice that comes and goes once a second, a jaw with it, lips and brow against it."""
    time = (np.arange(FACES) + 1) / 60
    swing = (1 - np.cos(2 * np.pi * time)) / 2
    factor = np.zeros(52, np.float32)
    factor[list(live)] = 2.0
    face = np.zeros((FACES, 52), np.float32)
    face[:, JAW], face[:, CLOSE], face[:, BROW] = 0.4 * swing, 0.2 * (1 - swing), 0.3 * (1 - swing)
    times = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    tone = 0.5 * np.sin(2 * np.pi * 200 * times) * (1 - np.cos(2 * np.pi * times)) / 2
    scale = Scale(np.zeros(52, np.float32), factor)
    return TestClip(f"set/{name}", "set", "her", tone.astype(np.float32), face, 25.0, scale)


def test_the_captured_face_scores_all_there_is() -> None:
    clips = [make_clip("a"), make_clip("b")]
    row = score(captured(clips), clips)["set"]
    assert row["clips"] == 2
    for metric in ("r_jaw", "r_mouth_live", "std_ratio_jaw", "jitter_ratio_jaw"):
        assert row[metric] == pytest.approx(1.0, abs=1e-5)
    for metric in ("rmse_mean", "lve", "lve_squared", "eve", "fdd", "fdd_absolute"):
        assert row[metric] == 0.0
    assert row["r_mouth"] == {"mouthClose": pytest.approx(1.0, abs=1e-5)}
    assert set(row["rmse"]) == {"jawOpen", "mouthClose"}


def test_a_known_offset_gives_known_errors() -> None:
    clip = make_clip()
    predicted = clip.truth.copy()
    assert predicted[:, JAW].max() == pytest.approx(0.8, abs=1e-5)  # brought to the common range
    predicted[:, JAW] = np.minimum(predicted[:, JAW] + 0.1, 1)
    row = score({clip.id: predicted}, [clip])["set"]
    assert row["rmse"]["jawOpen"] == pytest.approx(0.1, abs=1e-5)
    assert row["rmse_mean"] == pytest.approx(0.05, abs=1e-5)
    assert row["lve"] == pytest.approx(0.1, abs=1e-5)
    assert row["lve_squared"] == pytest.approx(0.01, abs=1e-5)
    assert row["eve"] == 0.0


def test_a_dead_upper_face_gives_a_positive_fdd_and_only_the_upper_face_does() -> None:
    clip = make_clip()
    predicted = clip.truth.copy()
    predicted[:, BROW] = 0
    row = score({clip.id: predicted}, [clip])["set"]
    assert row["lve"] == 0.0
    assert row["fdd"] == row["fdd_absolute"] > 0.01
    assert row["eve"] == pytest.approx(float(clip.truth[:, BROW].mean()), abs=1e-5)


def test_a_late_face_loses() -> None:
    clip = make_clip()
    late = {clip.id: np.roll(clip.truth, 9, axis=0)}
    assert score(late, [clip])["set"]["r_jaw"] < 0.7


def test_shapes_that_were_not_captured_do_not_count() -> None:
    clip = make_clip(live=(JAW,))
    predicted = clip.truth.copy()
    predicted[:, CLOSE] = predicted[:, BROW] = np.random.default_rng(0).random(FACES)
    row = score({clip.id: predicted}, [clip])["set"]
    assert row["lve"] == 0.0
    assert set(row["rmse"]) == {"jawOpen"}
    assert "eve" not in row
    assert row["r_mouth_live"] is None
    assert abs(row["r_mouth_all"]) < 0.3


def test_on_a_head_errors_are_in_mm_and_uncaptured_shapes_move_nothing() -> None:
    head = HeadMesh(np.zeros((52, 2, 3), np.float32), np.zeros((52, 1, 3), np.float32))
    head.lips[JAW, 1], head.lips[CLOSE, 0] = (0, -30, 40), (0, 7, 0)
    clip = make_clip(live=(JAW, BROW))
    predicted = clip.truth * np.float32(0)
    predicted[:, CLOSE] = 1.0
    row = score({clip.id: predicted}, [clip], head)["set"]
    assert row["lve_mm"] == pytest.approx(50 * float(clip.truth[:, JAW].mean()), abs=1e-3)
    assert row["eve_mm"] == 0.0


def test_loudness_moves_the_jaw_alone() -> None:
    clip = make_clip()
    faces = loudness([clip])
    others = np.delete(faces[clip.id], JAW, axis=1)
    assert not others.any()
    row = score(faces, [clip])["set"]
    assert row["r_jaw"] == pytest.approx(row["r_jaw_log_energy"], abs=1e-5)
    assert row["r_jaw"] > 0.6


def test_phones_bring_the_contrasts_and_each_talker_is_his_own() -> None:
    phones = tuple(Phone(k / 10, (k + 1) / 10, "aa" if k % 2 else "kk") for k in range(30))
    clips = [replace(make_clip(n), speaker=n, phones=phones) for n in "ab"]
    faces = {c.id: np.zeros((FACES, 52), np.float32) for c in clips}
    for k in range(30):
        faces["set/a"][6 * k : 6 * k + 6, JAW] = 0.4 if k % 2 else 0.2
    # One whose mouth hangs open all the time must not drown what the other shows.
    faces["set/b"] = faces["set/a"] + np.float32(0.5)
    row = score(faces, clips)["set"]
    assert row["contrasts"]["sounds"]["a open"] == 30
    assert row["contrasts"]["auc"]["a open"] == 1.0
    assert row["closure"]["tried"] == 0


def test_nothing_at_all_is_silent_and_a_mouth_that_hangs_open_is_seen() -> None:
    clips = made_silence()
    shut = {c.id: np.zeros((c.faces, 52), np.float32) for c in clips}
    shut[clips[1].id][:, JAW] = 0.25
    shut[clips[0].id][:180, JAW] = 1.0  # in the first 3 s, which do not count
    row = score(shut, clips)[MADE_SILENCE]
    assert row["clips"] == 4
    assert row["digital silence"] == 0.0
    assert row["room hiss at -60 dBFS"] == 0.25


def test_a_pause_between_words_counts_as_silence() -> None:
    clip = make_clip()
    sound = np.concatenate([clip.samples, np.zeros(3 * SAMPLE_RATE, np.float32)])
    clip = TestClip("set/p", "set", "her", sound)
    face = np.zeros((clip.faces, 52), np.float32)
    face[FACES:, JAW] = 0.2
    assert score({clip.id: face}, [clip])["set"]["jaw_in_silence"] == pytest.approx(0.2, abs=1e-6)


def test_a_set_without_faces_is_left_out_and_half_a_set_is_a_mistake() -> None:
    clips = [make_clip("a"), make_clip("b")]
    assert score({}, clips) == {}
    with pytest.raises(DataError, match="set/b: no faces, but set/a of the same set has some"):
        score({"set/a": clips[0].truth}, clips)


def test_a_face_too_few_is_a_mistake_and_not_a_shift() -> None:
    clip = make_clip()
    with pytest.raises(DataError, match=r"set/a: faces \(179, 52\), expected \(180, 52\)"):
        score({clip.id: clip.truth[:-1]}, [clip])


def test_only_test_talkers_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "emodb"
    (folder / "audio").mkdir(parents=True)
    (folder / "lablaut").mkdir()
    rows = ["file,speaker,text,emotion"]
    for name, speaker in (("15a01Na", "15"), ("03a01Na", "03")):
        rows.append(f"{name},{speaker},a01,neutral")
        soundfile.write(folder / "audio" / f"{name}.flac", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
        (folder / "lablaut" / f"{name}.lablaut").write_text("#\n 0.1 -1 a\n 0.5 -1 p\n 0.6 -1 .\n")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    found = load_test_clips(tmp_path, ["EMO-DB, two unseen talkers"])
    voiced = [t for t in found if t.set != MADE_SILENCE]
    assert [t.speaker for t in voiced] == ["emodb_15"]
    assert voiced[0].phones == (Phone(0.1, 0.5, "aa"), Phone(0.5, 0.6, "PP"))
    assert voiced[0].faces == 60
    assert len(found) == 5


def test_a_missing_set_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="emodb: no such folder"):
        load_test_clips(tmp_path, ["EMO-DB, two unseen talkers"])
