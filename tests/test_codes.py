"""Codes drawn outside the networks: seeded, held, as often as they are likely."""

from __future__ import annotations

import numpy as np

from edge.codes import SPANS, Codes

SLOW = np.arange(8, dtype=np.float32).reshape(4, 2)
FAST = 10 + np.arange(9, dtype=np.float32).reshape(3, 3)
LOGITS = np.log(np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.3, 0.1], np.float32))[None, None]


def drawn(temperature: float, seed: int, faces: int = 32) -> np.ndarray:
    codes = Codes((SLOW, FAST), temperature, seed)
    return np.stack([codes.draw(LOGITS, face)[0, 0].copy() for face in range(faces)])


def test_each_level_holds_one_of_its_vectors_over_its_span() -> None:
    rows = drawn(1.0, 0)
    for part, span, vectors in ((rows[:, :2], SPANS[0], SLOW), (rows[:, 2:], SPANS[1], FAST)):
        assert np.array_equal(part, part[np.arange(32) // span * span])
        assert all((vectors == row).all(1).any() for row in part)
    assert len(np.unique(rows[:, 2])) > 1


def test_the_seed_decides_and_a_low_temperature_takes_the_likeliest() -> None:
    assert np.array_equal(drawn(1.0, 3), drawn(1.0, 3))
    assert not np.array_equal(drawn(1.0, 3), drawn(1.0, 4))
    assert np.array_equal(drawn(1e-6, 3), np.tile([6, 7, 10, 11, 12], (32, 1)))


def test_codes_come_as_often_as_they_are_likely() -> None:
    rows = drawn(1.0, 1, faces=8 * 4000)
    slow, fast = rows[::8, 0] / 2, (rows[::2, 2] - 10) / 3
    assert np.abs(np.bincount(slow.astype(int)) / 4000 - [0.1, 0.2, 0.3, 0.4]).max() < 0.03
    assert np.abs(np.bincount(fast.astype(int)) / 16000 - [0.6, 0.3, 0.1]).max() < 0.02
    hot = drawn(2.0, 1, faces=8 * 4000)[::8, 0] / 2
    # Chances to the power of 1/2, made to sum to one.
    wanted = np.sqrt([0.1, 0.2, 0.3, 0.4])
    assert np.abs(np.bincount(hot.astype(int)) / 4000 - wanted / wanted.sum()).max() < 0.03
