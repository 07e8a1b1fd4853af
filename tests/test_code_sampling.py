"""Slow codes drawn outside the networks: seeded, held, as often as they are likely."""

from __future__ import annotations

import numpy as np

from edge.code_sampling import SPAN, CodeSampler

VECTORS = np.arange(8, dtype=np.float32).reshape(4, 2)
CHANCES = np.array([0.1, 0.2, 0.3, 0.4])
LOGITS = np.log(np.concatenate([CHANCES, CHANCES[::-1]]).astype(np.float32))[None, None]


def drawn(temperature: float, seed: int, faces: int = 32) -> np.ndarray:
    codes = CodeSampler(VECTORS, temperature, seed)
    latent = np.full((1, 1, 5), -1, np.float32)
    return np.stack([codes.sample(latent, LOGITS, face)[0, 0].copy() for face in range(faces)])


def test_a_code_is_held_over_its_span_and_the_fast_level_is_left_alone() -> None:
    rows = drawn(1.0, 0, faces=800)
    assert np.array_equal(rows, rows[np.arange(800) // SPAN * SPAN])
    assert all((row[:2] == VECTORS).all(1).any() for row in rows)
    assert len(np.unique(rows[:, 0])) == 4
    assert (rows[:, 2:] == -1).all()


def test_the_seed_decides_and_a_low_temperature_takes_the_likeliest() -> None:
    assert np.array_equal(drawn(1.0, 3), drawn(1.0, 3))
    assert not np.array_equal(drawn(1.0, 3), drawn(1.0, 4))
    assert np.array_equal(drawn(1e-6, 3)[:, :2], np.tile([6, 7], (32, 1)))


def test_codes_come_as_often_as_they_are_likely() -> None:
    for temperature in (1.0, 2.0):
        wanted = CHANCES ** (1 / temperature)
        rows = drawn(temperature, 1, faces=SPAN * 4000)[::SPAN, 0] / 2
        found = np.bincount(rows.astype(int)) / 4000
        assert np.abs(found - wanted / wanted.sum()).max() < 0.03
