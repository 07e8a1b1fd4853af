"""The resampler: tones come out as they went in, late by at most 4 ms, never shifted."""

from __future__ import annotations

import numpy as np
import pytest

from edge.audio.resample import Resampler
from tests.fakes import cut, noise, tone

RATES = [8000, 11_025, 22_050, 44_100, 48_000, 96_000]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [120.0, 1000.0, 3000.0])
def test_a_tone_keeps_frequency_phase_and_amplitude(rate: int, hz: float) -> None:
    resampler = Resampler(rate)
    out = np.concatenate([resampler.push(tone(hz, 0.5, rate)), resampler.flush()])
    expected = tone(hz, 0.5)
    assert abs(len(out) - len(expected)) <= 2
    middle = slice(400, 7000)
    assert np.abs(out[middle] - expected[middle]).max() < 0.5 * 10 ** (-55 / 20)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("hz", [8200.0, 9500.0, 10_900.0])
def test_what_16_khz_cannot_hold_is_60_db_down(rate: int, hz: float) -> None:
    out = Resampler(rate).push(tone(hz, 0.5, rate, amplitude=1.0))[400:]
    assert np.abs(out).max() < 10 ** (-60 / 20)


@pytest.mark.parametrize("size", [1, 37, 441, 4096])
@pytest.mark.parametrize("rate", [8000, 44_100, 96_000])
def test_samples_are_bit_identical_for_any_block_size(size: int, rate: int) -> None:
    sound = noise(0.6)[:9000]
    whole, parts = Resampler(rate), Resampler(rate)
    out = np.concatenate([parts.push(part) for part in cut(sound, size)])
    assert np.array_equal(out, whole.push(sound))


@pytest.mark.parametrize("rate", RATES)
def test_the_delay_is_what_it_says_and_at_most_4_ms(rate: int) -> None:
    resampler = Resampler(rate)
    got = len(resampler.push(np.zeros(rate, np.float32)))
    assert resampler.delay <= 0.004
    assert 16_000 - got == pytest.approx(resampler.delay * 16_000, abs=1.001)


def test_constant_input_keeps_its_value_in_every_phase() -> None:
    out = Resampler(44_100).push(np.full(4410, 0.25, np.float32))
    assert np.abs(out[200:] - 0.25).max() < 1e-6


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_after_a_gap_the_time_goes_on_where_the_audio_does(rate: int) -> None:
    sound = tone(500, 1.0, rate)
    resampler = Resampler(rate)
    early = resampler.push(sound[: rate // 4])
    assert resampler.skip_to(rate // 4) == len(early)  # no gap: nothing changes
    start = resampler.skip_to(rate // 2)
    late = resampler.push(sound[rate // 2 :])
    assert start == 8000
    expected = tone(500, 1.0)[start : start + len(late)]
    assert np.abs(late[100:] - expected[100:]).max() < 0.5 * 10 ** (-50 / 20)


def test_a_skip_without_a_gap_changes_no_sample() -> None:
    sound = noise(0.3)
    plain, skipping = Resampler(44_100), Resampler(44_100)
    out, at = [], 0
    for part in cut(sound, 441):
        skipping.skip_to(at)
        out.append(skipping.push(part))
        at += len(part)
    assert np.array_equal(np.concatenate(out), plain.push(sound))
