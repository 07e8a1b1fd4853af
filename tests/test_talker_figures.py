"""Figures over talkers, worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

from edge.contract import ARKIT_52, INDEX
from quantize.data.clips import Capture, Clip
from quantize.evaluation.talkers import (
    Interval,
    TalkerClip,
    leave_one_talker_out,
    over_talkers,
    score_talker,
    spread,
)

pytestmark = pytest.mark.toolchain
JAW, CLOSE, FUNNEL = (INDEX[n] for n in ("jawOpen", "mouthClose", "mouthFunnel"))
LIVE = np.isin(ARKIT_52, ["jawOpen", "mouthClose", "mouthFunnel"])


def face(**shapes: list[float]) -> np.ndarray:
    out = np.zeros((len(next(iter(shapes.values()))), 52), np.float32)
    for name, values in shapes.items():
        out[:, INDEX[name]] = values
    return out


def test_a_left_out_talker_is_in_no_training_and_test_talkers_are_nowhere(tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    sound.touch()
    capture = Capture(("jawOpen",), np.zeros((2, 1), np.float32), 25)
    clips = [
        Clip("x/1", "x", "ann", "train", sound, capture),
        Clip("x/2", "x", "ann", "train", sound),  # the same person without a face
        Clip("x/3", "x", "bob", "train", sound, capture),
        Clip("x/4", "x", "cem", "train", sound),  # never captured: always to learn from
        Clip("x/5", "x", "dee", "test", sound, capture),
        Clip("x/6", "x", "bob", "validation", sound, capture),
    ]
    found = [
        (talker, [c.id[-1] for c in rest], [c.id[-1] for c in own])
        for talker, rest, own in leave_one_talker_out(clips)
    ]
    assert found == [("ann", ["3", "4"], ["1"]), ("bob", ["1", "2", "4"], ["3"])]


def test_the_interval_is_over_talkers() -> None:
    same = over_talkers({"a": 0.5, "b": 0.5, "c": np.nan})
    assert same == Interval(0.5, 0.5, 0.5, 2)
    # Of two talkers at 0 and 1 a draw is 0, 0.5 or 1 with chances 1/4, 1/2, 1/4.
    two = over_talkers({"a": 0.0, "b": 1.0})
    assert (two.mean, two.low, two.high) == (0.5, 0.0, 1.0)
    half = over_talkers({"a": 0.0, "b": 1.0}, level=0.4)  # 30 % and 70 %
    assert (half.low, half.high) == (0.5, 0.5)
    # Of 100 talkers with variance 1/4 the mean's deviation is .05.
    many = over_talkers({str(k): float(k % 2) for k in range(100)})
    assert many.high - many.low == pytest.approx(2 * 1.96 * 0.05, abs=0.02)
    assert str(two) == "0.500 (0.000 to 1.000, 2 talkers)"
    assert over_talkers({}).talkers == 0


def test_spread_is_within_clips_and_pooled_over_them() -> None:
    captured = [face(jawOpen=[0.0, 0.2], mouthFunnel=[0.1, 0.1]), face(jawOpen=[0.5, 0.9])]
    predicted = [face(jawOpen=[0.4, 0.5]), face(jawOpen=[0.0, 0.2], mouthFunnel=[0.0, 0.4])]
    # Within clips: .1, .1, .2, .2 off the mean captured, .05, .05, .1, .1 predicted. A clip's rest
    # (.1 and .7) does not count, nor does a shape that was captured still.
    assert spread(predicted, captured) == {"jawOpen": pytest.approx(0.5)}


def test_a_talker_s_figures_are_means_over_clips() -> None:
    jaw, other = [0.0, 0.1, 0.2, 0.3], [0.0, 0.3, 0.3, 0.0]
    right = face(jawOpen=jaw, mouthFunnel=other)
    half = face(jawOpen=[v / 2 for v in jaw], mouthFunnel=jaw)
    row = score_talker([TalkerClip(right, right), TalkerClip(half, right)], LIVE)
    assert row["r_jaw"] == pytest.approx(1)
    assert row["r_lips"] == pytest.approx(0.5)  # 1 and 0: a ramp and a bump do not correlate
    # No lip points: the gap of the shapes, 32.8 mm of jaw and 13 mm of funnel. Captured it is 0,
    # 7.18, 10.46 and 9.84; a ramp has r = 1.64 / (.2236 * 8.307) = .883 to that, the other clip 1.
    assert row["r_gap"] == pytest.approx((1 + 0.883) / 2, abs=1e-3)
    # The jaw's variance is 1 and 1/4 of the captured one.
    assert row["spread_jaw"] == pytest.approx(np.sqrt((1 + 1 / 4) / 2))
    # mouthFunnel: variances .0225 captured, .0225 and .0125 predicted; mouthClose is still.
    assert row["spread_lips"] == pytest.approx(np.sqrt((0.0225 + 0.0125) / 2 / 0.0225))


def test_the_gap_is_judged_by_lip_points_where_there_are_some() -> None:
    captured = face(jawOpen=[0.0, 0.1, 0.2, 0.3])
    shut = np.array([0.3, 0.2, 0.1, 0.0], np.float32)  # the jaw opens, the lips close
    row = score_talker([TalkerClip(captured, captured, shut)], LIVE)
    assert row["r_jaw"] == pytest.approx(1)
    assert row["r_gap"] == pytest.approx(-1)
    assert np.isnan(row["r_lips"])  # no lip moves in this clip
