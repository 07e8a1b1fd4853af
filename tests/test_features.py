"""Features: the same for any block size, causal, placed by integers, loudness taken out."""

from __future__ import annotations

import numpy as np
import pytest

from edge.contract import Floats, face_end, faces_within
from edge.features import N_MELS, Features, Loudness, mel_filters
from tests.fakes import cut, noise, silence, tone

Described = list[tuple[int, Floats, float]]


def describe(samples: Floats, size: int | None = None) -> Described:
    features = Features()
    return [face for part in cut(samples, size) for face in features.push(part)]


def same(a: Described, b: Described) -> bool:
    return len(a) == len(b) and all(
        i == j and x == y and np.array_equal(m, n)
        for (i, m, x), (j, n, y) in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("size", [1, 37, 160, 512])
def test_features_are_bit_identical_for_any_block_size(size: int, demo: Floats) -> None:
    sound = demo[8000:24_100]
    assert same(describe(sound, size), describe(sound))


def test_a_face_comes_with_its_last_sample() -> None:
    features = Features()
    assert list(features.push(silence(1)[:265])) == []
    assert [i for i, _, _ in features.push(silence(1)[:1])] == [0]
    assert [i for i, _, _ in features.push(silence(1)[: 800 - 266])] == [1, 2]


def test_all_faces_of_a_clip_are_described(demo: Floats) -> None:
    faces = describe(demo)
    assert [i for i, _, _ in faces] == list(range(faces_within(len(demo))))
    assert faces[0][1].shape == (N_MELS,)
    assert faces[0][1].dtype == np.float32


def test_the_future_never_changes_the_past(demo: Floats) -> None:
    sound = demo[8000:24_000].copy()
    before = describe(sound)
    sound[face_end(30) :] = noise(1)[: len(sound) - face_end(30)]
    after = describe(sound)
    assert same(before[:31], after[:31])
    assert not np.array_equal(before[31][1], after[31][1])


def test_a_face_hears_the_last_25_ms_only() -> None:
    sound = silence(0.5)
    sound[face_end(10) - 401] = 1.0  # one sample too old for face 10
    quiet = [level for _, _, level in describe(sound)]
    assert quiet[10] == pytest.approx(-120)
    sound[face_end(10) - 399] = 1.0
    assert describe(sound)[10][2] > -120 + 60


def test_the_level_is_the_rms_of_the_window() -> None:
    sound = tone(400, 0.1)
    levels = [level for _, _, level in describe(sound)]
    # Face 0 has 266 samples behind it, the other 134 are the silence before the stream.
    assert levels[0] == pytest.approx(10 * np.log10(np.square(sound[:266]).sum() / 400), abs=0.05)
    assert levels[2] == pytest.approx(10 * np.log10(0.5**2 / 2), abs=1e-3)


@pytest.mark.parametrize("offset", [0.02, -0.1])
def test_a_constant_offset_is_neither_level_nor_feature(offset: float) -> None:
    quiet = describe(np.full(16_000, offset, np.float32))
    assert max(level for _, _, level in quiet) < -100
    voice = noise(1, -40)
    pairs = list(zip(describe(voice + np.float32(offset)), describe(voice), strict=True))
    assert all(abs(x - y) < 0.1 for (_, _, x), (_, _, y) in pairs)
    assert max(np.abs(m - n).max() for (_, m, _), (_, n, _) in pairs[2:]) < 0.02


def test_the_lowest_tones_of_a_voice_are_left_whole() -> None:
    for hz in (80, 100, 120):
        levels = [level for _, _, level in describe(tone(hz, 0.5))]
        assert np.mean(levels[3:]) == pytest.approx(10 * np.log10(0.5**2 / 2), abs=0.1)


def test_silence_shows_the_floor_below_a_loudness_that_only_memory_knows() -> None:
    first, second = [mels for _, mels, _ in describe(silence(0.04))]
    # The loudness starts at -45 and creeps towards -120 dB by 1/3600 of the way a face.
    voice = -45 - 75 / 3600
    assert first == pytest.approx(np.full(N_MELS, (-100 - voice) / 20), abs=1e-4)
    voice += (-120 - voice) / 3600
    assert second == pytest.approx(np.full(N_MELS, (-100 - voice) / 20), abs=1e-4)


def test_loudness_rises_fast_falls_slowly_and_rests_in_pauses() -> None:
    loudness = Loudness()
    assert loudness.follow(-15.0) == pytest.approx(-40.0)  # a sixth of 30 dB
    assert loudness.follow(-58.0) == pytest.approx(-40.1)  # 18 dB softer: 1/180 of the way
    assert loudness.follow(-100.1) == pytest.approx(-40.1 - 60 / 3600)  # a pause
    for _ in range(100_000):
        loudness.follow(-100.0)
    assert loudness.db == Loudness.FLOOR_DB


def test_a_tone_lands_in_its_own_band_at_its_own_level() -> None:
    hz = 1000.0
    centres = 700 * (10 ** (np.linspace(*(_mel(60), _mel(7000)), N_MELS + 2)[1:-1] / 2595) - 1)
    features = Features()
    faces = list(features.push(tone(hz, 1.0, amplitude=0.1)))
    mels = faces[-1][1]
    nearest = int(np.abs(centres - hz).argmin())
    assert abs(int(mels.argmax()) - nearest) <= 1
    # RMS -23 dBFS is what the loudness has followed by now; the peak reads -20 dB +- leakage.
    assert mels.max() == pytest.approx((-20 + 23) / 20, abs=0.12)


def _mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))


def test_a_softer_copy_has_the_same_features_after_a_second(demo: Floats) -> None:
    loud, soft = describe(demo), describe(demo * np.float32(0.1))
    levels = np.array([level for _, _, level in loud])
    speech = np.flatnonzero(levels > -35)
    speech = speech[speech > speech[0] + 60]
    a, b = (np.array([mels for _, mels, _ in faces])[speech] for faces in (loud, soft))
    assert np.abs(a - b).mean() < 0.1  # of 20 dB units; unnormalised it would be 1
    assert np.abs(a - b).mean() > 0


def test_features_stay_within_their_range(demo: Floats) -> None:
    mels = np.array([m for _, m, _ in describe(np.concatenate([demo[:8000], noise(1, 0.0)]))])
    assert mels.min() >= -4
    assert mels.max() <= 2


def test_a_reset_forgets_and_counts_on_from_where_it_is_told(demo: Floats) -> None:
    features = Features()
    list(features.push(demo[:20_000]))
    features.reset(800_000)
    again = list(features.push(demo[:4000]))
    fresh = describe(demo[:4000])
    assert [i for i, _, _ in again] == [3000 + i for i, _, _ in fresh]
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(again, fresh, strict=True))


def test_warped_filters_move_every_band_down() -> None:
    plain, warped = mel_filters(), mel_filters(1.2)
    assert plain.shape == (N_MELS, 257)
    assert (warped[20:].argmax(1) < plain[20:].argmax(1)).all()
