"""Each metric of the benchmarks, worked by hand."""

import numpy as np
import pytest

from quantize.evaluation.metrics import (
    around,
    auc,
    dynamics_deviation,
    jitter,
    lag_of_minimum,
    pearson,
    rmse,
    silent,
    spread_ratio,
    worst_point,
    worst_point_squared,
)


def column(*values):
    return np.array(values, np.float64)[:, None]


def points(*frames):
    """Offsets (T, V, 1) from one tuple of points a frame."""
    return np.array(frames, np.float64)[:, :, None]


def test_pearson_of_a_line_its_mirror_and_something_between():
    up = column(0, 1, 2, 3)
    assert pearson(2 * up + 5, up)[0] == 1.0
    assert pearson(-up, up)[0] == -1.0
    # Deviations (-1, 0, 1) and (-1, 1, 0): 1 over sqrt(2 * 2).
    assert pearson(column(0, 1, 2), column(0, 2, 1))[0] == 0.5


def test_a_still_prediction_scores_nothing_and_a_still_capture_does_not_count():
    assert pearson(column(1, 1, 1), column(0, 1, 0))[0] == 0.0
    assert np.isnan(pearson(column(0, 1, 0), column(1, 1, 1))[0])


def test_pearson_does_not_forgive_lateness():
    wave = np.sin(np.linspace(0, 20, 200))
    assert pearson(wave[:-10, None], wave[10:, None])[0] < 0.6


def test_rmse_is_of_each_column():
    # Errors (3, 4) and (0, 2): sqrt(25 / 2) and sqrt(4 / 2).
    found = rmse(np.array([[3.0, 0.0], [4.0, 2.0]]), np.zeros((2, 2)))
    np.testing.assert_allclose(found, [12.5**0.5, 2**0.5])


def test_spread_ratio_is_of_standard_deviations():
    assert spread_ratio(column(0, 1), column(0, 4))[0] == 0.25


def test_jitter_ignores_steady_motion_and_sees_trembling():
    assert jitter(column(0, 1, 2, 3))[0] == 0.0
    # Second differences of 0, 1, 0, 1: -2 and 2.
    assert jitter(column(0, 1, 0, 1))[0] == 2.0


def test_silence_is_a_long_quiet_pause_without_its_edges():
    level = np.full(100, -20.0)
    level[30:60] = -70.0  # 30 faces: long enough
    level[80:90] = -70.0  # 10 faces: a stop inside a word
    found = np.flatnonzero(silent(level))
    assert found[0] == 39
    assert found[-1] == 50


def test_the_worst_point_of_each_frame_counts_and_then_the_mean_over_frames():
    meant = points((0, 0), (0, 0))
    predicted = points((1, -3), (2, 1))
    assert worst_point(predicted, meant) == 2.5  # 3 and 2
    assert worst_point_squared(predicted, meant) == 6.5  # 9 and 4


def test_the_distance_of_a_vertex_is_its_length_in_space():
    predicted = np.array([[[3.0, 4.0, 0.0], [1.0, 0.0, 0.0]]])
    assert worst_point(predicted, np.zeros_like(predicted)) == 5.0
    assert worst_point_squared(predicted, np.zeros_like(predicted)) == 25.0


def test_dynamics_deviation_is_signed_and_of_squared_offsets():
    # Squared: captured 0, 4 (std 2) and 1, 1 (std 0); predicted 0, 1 (std 0.5) and 0, 9 (std 4.5).
    captured, predicted = points((0, 1), (2, -1)), points((0, 0), (1, 3))
    np.testing.assert_allclose(dynamics_deviation(predicted, captured), [1.5, -4.5])


def test_dynamics_deviation_adds_the_axes_before_it_looks_at_time():
    # |m|^2 stays 1 while the point moves from x to y: it does not move as FDD sees it.
    turning = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert dynamics_deviation(np.zeros_like(turning), turning)[0] == 0.0


def test_auc_counts_won_pairs_and_half_of_ties():
    # 3 beats 1 and 2, ties 3; 2 beats 1, ties 2, loses to 3: 2.5 + 1.5 of 6.
    assert auc(np.array([3.0, 2.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(4 / 6)
    assert auc(np.array([5.0]), np.array([1.0, 2.0])) == 1.0
    assert auc(np.array([0.0]), np.array([1.0, 2.0])) == 0.0
    assert auc(np.zeros(4), np.zeros(3)) == 0.5


def test_the_face_around_a_moment_is_the_mean_of_three_or_of_those_that_exist():
    rows = column(0, 3, 6, 30)
    assert around(rows, 2)[0] == 13.0
    assert around(rows, 0)[0] == 1.5
    assert around(rows, 3)[0] == 18.0


def test_the_lag_of_a_minimum_is_late_when_positive_and_the_middle_of_a_flat_one():
    assert lag_of_minimum(np.array([9, 8, 7, 6, 1, 8, 9]), at=3, reach=3) == 1.0
    assert lag_of_minimum(np.array([9, 1, 7, 6, 7, 8, 9]), at=3, reach=3) == -2.0
    assert lag_of_minimum(np.array([9, 9, 1, 1, 8, 8, 9]), at=3, reach=3) == -0.5


def test_a_slope_or_a_cut_off_sound_has_no_minimum():
    assert lag_of_minimum(np.array([1, 2, 3, 4, 5, 6, 7]), at=3, reach=3) is None
    assert lag_of_minimum(np.array([9, 1, 8, 7, 9]), at=3, reach=3) is None
    # Flat up to the end of what is looked at: the mouth is simply shut.
    assert lag_of_minimum(np.array([9, 5, 1, 1, 1]), at=2, reach=2) is None
