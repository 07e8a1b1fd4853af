"""Mean Temporal Misalignment on curves whose delay is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

from edge.contract import FPS, Floats
from quantize.evaluation.misalignment import temporal_misalignment

pytestmark = pytest.mark.toolchain


def gap(late: float = 0.0, size: float = 1.0, seconds: float = 3.0) -> Floats:
    """Lips that open 2.5 times a second, wider and wider."""
    time = np.arange(int(seconds * FPS)) / FPS - late
    return (size * (1 + time / 6) * (1 - np.cos(2 * np.pi * 2.5 * time))).astype(np.float32)


def test_the_same_lips_are_on_time_and_their_size_does_not_matter() -> None:
    for size in (1.0, 0.1):
        found = temporal_misalignment(gap(size=size), gap())
        assert (found.mean_ms, found.late_ms) == (0, 0)
        assert found.matched == 1


@pytest.mark.parametrize("frames", [-3, 2, 5])
def test_a_delay_is_found_with_its_sign(frames: int) -> None:
    found = temporal_misalignment(gap(frames / FPS), gap())
    assert found.late_ms == pytest.approx(frames * 1000 / FPS, abs=6)
    assert found.mean_ms == pytest.approx(abs(frames) * 1000 / FPS, abs=6)
    assert found.matched > 0.8


def test_early_and_late_do_not_cancel() -> None:
    time = np.arange(3 * FPS) / FPS
    # Between 50 ms early and 50 ms late, once in each second and a half.
    swing = 0.05 * np.sin(2 * np.pi * time / 1.5)
    uneven = (1 - np.cos(2 * np.pi * 2.5 * (time - swing))).astype(np.float32)
    found = temporal_misalignment(uneven, 1 - np.cos(2 * np.pi * 2.5 * time).astype(np.float32))
    assert abs(found.late_ms) < 12
    assert 20 < found.mean_ms < 45  # the mean of |sin| is 2 / pi: 32 ms


def test_lips_that_miss_every_other_opening_are_not_matched_there() -> None:
    slow = (1 - np.cos(2 * np.pi * 1.25 * np.arange(3 * FPS) / FPS)).astype(np.float32)
    assert temporal_misalignment(slow, gap()).matched < 0.7


def test_lips_that_never_move_are_paired_with_nothing() -> None:
    found = temporal_misalignment(np.zeros(180, np.float32), gap())
    assert np.isnan(found.mean_ms)
    assert found.matched == 0
