"""What other programs say of a clip, as faces in the same table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

from benchmarks.accuracy import peers
from benchmarks.accuracy.peers import (
    POSES,
    RHUBARB,
    best_delay,
    earlier,
    follow,
    pose,
    to_faces,
)
from edge.contract import INDEX, EdgeError
from quantize.data.phones import VISEMES
from quantize.evaluation.test_clips import PAIRED, TestClip
from quantize.evaluation.viseme_contrasts import lip_gap, tucked

pytestmark = pytest.mark.toolchain
JAW = INDEX["jawOpen"]


def output(names: list[str], frames: list[list[float]], first: float = 1 / 60) -> dict:
    return {"fps": 60, "first": first, "names": names, "frames": frames}


def test_every_viseme_has_a_pose_and_every_pose_an_arkit_name() -> None:
    assert set(POSES) == set(VISEMES)
    assert set(RHUBARB) == set("ABCDEFGHX")
    for shapes in (*POSES.values(), *RHUBARB.values()):
        assert set(shapes) <= set(INDEX)


def test_the_poses_show_what_the_contrasts_look_for() -> None:
    face = {v: to_faces("any", output([v], [[1.0]]), 1) for v in VISEMES}
    assert min(face, key=lambda v: lip_gap(face[v])[0]) == "PP"
    assert max(face, key=lambda v: tucked(face[v])[0]) == "FF"
    assert max(face, key=lambda v: face[v][0, JAW]) == "aa"
    assert max(face, key=lambda v: face[v][0, INDEX["mouthPucker"]]) == "U"
    assert max(face, key=lambda v: face[v][0, INDEX["mouthSmileLeft"]]) == "I"


def test_names_are_understood_whatever_a_peer_calls_them() -> None:
    assert pose("headaudio", "viseme_U") == pose("pylipsync", "ou") == POSES["U"]
    assert pose("wlipsync", "A") == POSES["aa"]
    assert pose("rhubarb", "A") == RHUBARB["A"] != POSES["aa"]
    assert pose("openfacefx", "mouthFunnel") == {"mouthFunnel": 1.0}
    with pytest.raises(KeyError):
        pose("headaudio", "viseme_yawn")


def test_frames_are_placed_by_their_own_time() -> None:
    ramp = [[k / 10] for k in range(10)]
    # Shown from 1/60 s on, frame k is face k; shown from 0 on, it is face k - 1.
    np.testing.assert_allclose(
        to_faces("p", output(["jawOpen"], ramp), 10)[:, JAW], np.arange(10) / 10
    )
    sooner = to_faces("p", output(["jawOpen"], ramp, first=0.0), 9)[:, JAW]
    np.testing.assert_allclose(sooner, np.arange(1, 10) / 10, atol=1e-6)
    # A peer that stops early holds its last face.
    assert to_faces("p", output(["jawOpen"], ramp), 12)[-1, JAW] == pytest.approx(0.9)


def test_weights_add_up_but_not_beyond_one() -> None:
    faces = to_faces("p", output(["aa", "O", "jawOpen"], [[0.5, 0.5, 0.0], [1.0, 1.0, 1.0]]), 2)
    assert faces[0, JAW] == pytest.approx(0.6 * (0.5 + 0.35))
    assert faces[1, JAW] == 1.0


def test_a_delay_is_found_on_the_captured_sets_and_taken_off() -> None:
    curve = np.random.default_rng(0).random(120).astype(np.float32)
    face = np.zeros((120, 52), np.float32)
    face[:, JAW] = curve
    clips = [TestClip(f"{n}/a", n, "x", np.zeros(32_000, np.float32), face) for n in PAIRED]
    late = {t.id: np.roll(face, 4, axis=0) for t in clips}
    assert best_delay(late, clips) == 4
    sooner = earlier(late[clips[0].id], 4)
    np.testing.assert_array_equal(sooner[:-4], face[:-4])
    np.testing.assert_array_equal(sooner[-4:], np.repeat(late[clips[0].id][-1:], 4, axis=0))


def test_a_peer_is_asked_once_and_then_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGETALK_CACHE", str(tmp_path))
    clips = [TestClip("set/a", "set", "x", np.zeros(16_000, np.float32))]
    asked = []

    def ask(peer: str, folder: Path, clips: list[TestClip], kept: Path) -> None:
        asked.append(peer)
        kept.write_text(json.dumps({t.id: output(["aa"], [[1.0]] * 60) for t in clips}))

    monkeypatch.setattr(peers, "_ask", ask)
    first, again = (follow("wawa", tmp_path, clips) for _ in range(2))
    assert asked == ["wawa"]
    assert first["set/a"].shape == (60, 52)
    np.testing.assert_array_equal(first["set/a"], again["set/a"])
    # Other sound under the same name is another question.
    follow("wawa", tmp_path, [TestClip("set/a", "set", "x", np.ones(16_000, np.float32))])
    assert asked == ["wawa", "wawa"]


def test_a_peer_that_fails_is_named_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGETALK_CACHE", str(tmp_path))
    python = tmp_path / "peers" / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho no such voice >&2\nexit 1\n")
    python.chmod(0o755)
    clips = [TestClip("set/a", "set", "x", np.zeros(16_000, np.float32))]
    with pytest.raises(EdgeError, match="pylipsync failed: no such voice"):
        follow("pylipsync", tmp_path / "peers", clips)
    assert not list(tmp_path.glob("said_*"))
