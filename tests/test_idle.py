"""Blinks, glances and the head: at human rates, by chance, and yet repeatable."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract import ARKIT_52, INDEX, Floats
from edge.idle_motion import CHUNK, HEAD_STD, IdleMotion

MINUTES = 10


@pytest.fixture(scope="module")
def life() -> tuple[Floats, Floats]:
    """Ten minutes: (36000, 52) weights, (36000, 3) head."""
    idle = IdleMotion(seed=3)
    pairs = [idle.next() for _ in range(MINUTES * 3600)]
    return np.array([w for w, _ in pairs]), np.array([h for _, h in pairs])


def runs(mask: np.ndarray) -> list[int]:
    """Lengths of the stretches where ``mask`` holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_the_eyes_blink_about_20_times_a_minute(life: tuple[Floats, Floats]) -> None:
    lids = life[0][:, INDEX["eyeBlinkLeft"]]
    blinks = runs(lids > 0.9)
    assert 15 <= len(blinks) / MINUTES <= 24
    # Closed for about 100 ms.
    assert set(blinks) <= {6, 7, 8}


def test_two_blinks_are_never_closer_than_0_8_s(life: tuple[Floats, Floats]) -> None:
    closed = life[0][:, INDEX["eyeBlinkLeft"]] > 0.9
    starts = np.flatnonzero(np.diff(closed.astype(int)) == 1)
    assert np.diff(starts).min() >= 0.8 * 60 - 1


def test_lids_move_without_jumps_even_across_chunks(life: tuple[Floats, Floats]) -> None:
    lids = life[0][:, INDEX["eyeBlinkLeft"]]
    assert np.abs(np.diff(lids)).max() < 0.6
    seams = np.arange(CHUNK, len(lids), CHUNK)
    head = np.abs(np.diff(life[1], axis=0))
    assert head[seams - 1].max() < 0.003
    assert head.max() < 0.006


def test_both_lids_move_together(life: tuple[Floats, Floats]) -> None:
    weights = life[0]
    left, right = weights[:, INDEX["eyeBlinkLeft"]], weights[:, INDEX["eyeBlinkRight"]]
    assert np.array_equal(left, right)


def test_both_eyes_turn_together(life: tuple[Floats, Floats]) -> None:
    look = {name: life[0][:, INDEX[name]] for name in ARKIT_52 if name.startswith("eyeLook")}
    # To the character's left: out for the left eye, in for the right one.
    assert np.array_equal(look["eyeLookOutLeft"], look["eyeLookInRight"])
    assert np.array_equal(look["eyeLookInLeft"], look["eyeLookOutRight"])
    assert np.array_equal(look["eyeLookUpLeft"], look["eyeLookUpRight"])
    assert np.array_equal(look["eyeLookDownLeft"], look["eyeLookDownRight"])
    # Never to both sides at once.
    assert (look["eyeLookOutLeft"] * look["eyeLookInLeft"] == 0).all()
    assert (look["eyeLookUpLeft"] * look["eyeLookDownLeft"] == 0).all()
    for shown in look.values():
        assert 0 < shown.max() <= 0.5


def test_a_lowered_gaze_takes_the_lids_along(life: tuple[Floats, Floats]) -> None:
    down = life[0][:, INDEX["eyeLookDownLeft"]]
    lids = life[0][:, INDEX["eyeBlinkLeft"]]
    assert (lids >= 0.4 * down - 1e-6).all()


def test_gaze_rests_between_glances(life: tuple[Floats, Floats]) -> None:
    side = life[0][:, INDEX["eyeLookOutLeft"]] - life[0][:, INDEX["eyeLookInLeft"]]
    still = np.diff(side) == 0
    assert still.mean() > 0.9
    fixations = [n for n in runs(still) if n > 5]
    assert 0.8 * 60 < np.mean(fixations) < 2.5 * 60


def test_the_head_moves_as_much_as_filmed_people(life: tuple[Floats, Floats]) -> None:
    # Eased between knots, a walk of unit spread shows about 0.85 of it.
    assert life[1].std(axis=0) == pytest.approx(0.85 * HEAD_STD, rel=0.15)
    assert np.abs(life[1]).max() < 0.15


def test_only_eyes_and_brows_move(life: tuple[Floats, Floats]) -> None:
    moving = {ARKIT_52[i] for i in np.flatnonzero(np.ptp(life[0], axis=0))}
    assert all(name.startswith(("eyeBlink", "eyeLook", "brow")) for name in moving)
    assert len(moving) == 13


def test_everything_is_in_range(life: tuple[Floats, Floats]) -> None:
    assert life[0].min() >= 0
    assert life[0].max() <= 1


def test_a_seed_repeats_it_and_another_does_not() -> None:
    def look(seed: int) -> Floats:
        idle = IdleMotion(seed)
        return np.array([np.concatenate(idle.next()) for _ in range(1500)])

    assert np.array_equal(look(7), look(7))
    assert not np.array_equal(look(7), look(8))
