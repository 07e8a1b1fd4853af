"""A table over talkers and the offset of a capture system, on made faces."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

from edge.contract import FPS, INDEX, Floats
from quantize.data.clips import Capture, Clip, DataError
from quantize.data.landmarks import Landmarks
from quantize.data.targets import Scale, targets
from quantize.evaluation.capture_offset import capture_offset
from quantize.evaluation.talker_table import talker_table

pytestmark = pytest.mark.toolchain
NAMES = ("jawOpen", "mouthFunnel")
SCALE = Scale(np.zeros(52, np.float32), np.isin(np.arange(52), [INDEX[n] for n in NAMES]) * 1.0)
FRAMES = 3 * FPS


def swing(late: float = 0.0, rate: int = FPS, hz: float = 2.5) -> Floats:
    """Lips that open ``hz`` times a second, at ``rate`` values a second, 0 to 0.6."""
    time = np.arange(3 * rate) / rate - late
    return np.asarray(0.3 - 0.3 * np.cos(2 * np.pi * hz * time), np.float32)


def clip(name: str, talker: str, late: float = 0.0) -> Clip:
    jaw = swing(late)
    return Clip(
        f"x/{name}", "x", talker, "train", None, Capture(NAMES, np.stack([jaw, jaw / 2], 1), 60)
    )


def test_each_talker_has_a_row_and_counts_once() -> None:
    clips = [clip("1", "ann"), clip("2", "ann"), clip("3", "bob")]
    faces = {c.id: targets(c, SCALE, FRAMES) for c in clips}
    faces["x/3"] = faces["x/3"][:, ::-1].copy() * 0  # bob's face does not move
    table = talker_table(clips, faces, {"x": SCALE})
    assert list(table.talkers) == ["ann", "bob"]
    for metric, ann, bob in (("r_jaw", 1, 0), ("r_lips", 1, 0), ("r_gap", 1, 0)):
        assert table.talkers["ann"][metric] == pytest.approx(ann, abs=1e-5)
        assert table.talkers["bob"][metric] == pytest.approx(bob, abs=1e-5)
        # Ann's two clips weigh no more than bob's one.
        assert table.mean[metric].mean == pytest.approx(0.5, abs=1e-5)
    assert table.talkers["ann"]["spread_lips"] == pytest.approx(1)
    assert table.talkers["ann"]["mtm_ms"] == 0
    assert np.isnan(table.talkers["bob"]["mtm_ms"])
    assert table.mean["mtm_ms"].talkers == 1


def test_lip_points_are_the_truth_of_the_gap() -> None:
    one = clip("1", "ann")
    assert one.capture is not None
    points = np.zeros((len(one.capture.values), 4, 3), np.float32)
    points[:, 1, 1] = 1 - one.capture.values[:, 0]  # closes where jawOpen opens
    points[:, 3, 0] = 1
    seen = Landmarks((13, 14, 33, 263), points, np.zeros((len(points), 4, 4), np.float32))
    capture = Capture(NAMES, one.capture.values, 60, landmarks=seen)
    pointed = Clip(one.id, "x", "ann", "train", None, capture)
    faces = {one.id: targets(one, SCALE, FRAMES)}
    assert talker_table([pointed], faces, {"x": SCALE}).talkers["ann"]["r_gap"] == pytest.approx(
        -1, abs=1e-4
    )


def test_a_clip_without_faces_or_scale_is_named() -> None:
    one = clip("1", "ann")
    with pytest.raises(DataError, match="x/1: no faces"):
        talker_table([one], {}, {"x": SCALE})
    with pytest.raises(DataError, match="x/1: no scale"):
        talker_table([one], {one.id: targets(one, SCALE, FRAMES)}, {})


def test_a_capture_system_s_delay_is_found_to_a_fraction_of_a_frame() -> None:
    predicted = [swing(), swing(hz=1.5)]
    for late in (-0.04, 0.0, 0.035):
        captured = [swing(late), swing(late, hz=1.5)]
        found = capture_offset(predicted, captured)
        assert found.late_ms == pytest.approx(late * 1000, abs=1.5)
        assert found.r_at_offset > 0.99
        assert found.r <= found.r_at_offset
    # A quarter of a period late, half of what is compared does not correlate.
    assert capture_offset([swing()], [swing(0.1)]).r == pytest.approx(0, abs=0.05)


def test_the_offset_is_of_the_system_and_not_of_a_clip() -> None:
    # One clip 50 ms early, one 50 ms late: together they are on time.
    found = capture_offset([swing(hz=1.5)] * 2, [swing(0.05, hz=1.5), swing(-0.05, hz=1.5)])
    assert found.late_ms == pytest.approx(0, abs=1)


def test_a_best_lag_at_the_edge_is_no_offset() -> None:
    assert np.isnan(capture_offset([swing(hz=1.0)], [swing(0.3, hz=1.0)]).late_ms)
