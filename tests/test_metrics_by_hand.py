"""Each metric of the benchmarks, worked by hand."""

import numpy as np

from benchmarks.metrics import jitter, pearson, silent, spread_ratio


def column(*values):
    return np.array(values, np.float64)[:, None]


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
