"""Features on disk: computed once, another file for another sound, never half a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")

import soundfile

from edge.contract import SAMPLE_RATE, Floats
from quantize.data.clips import Clip, DataError
from quantize.data.feature_cache import FeatureCache, whisper_cache

pytestmark = pytest.mark.toolchain


class Counted:
    """An encoder that says its frame's number times 16384, and how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, samples: Floats, frames: int) -> Floats:
        self.calls += 1
        return np.repeat(np.arange(frames, dtype=np.float32)[:, None] * 16384, 3, axis=1)


def noise(seed: int = 0, seconds: float = 0.5) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * SAMPLE_RATE)).astype(np.float32)


def test_features_are_computed_once_and_kept_in_16_bits(tmp_path: Path) -> None:
    encoder = Counted()
    first = FeatureCache(tmp_path, "a", encoder).features(noise())
    again = FeatureCache(tmp_path, "a", encoder).features(noise())
    assert encoder.calls == 1
    assert first.shape == (30, 3)
    assert first.dtype == again.dtype == np.float16
    np.testing.assert_array_equal(first, again)
    assert first[:5, 0].tolist() == [0, 16384, 32768, 49152, 65504]  # no infinity
    assert [p.suffix for p in tmp_path.iterdir()] == [".npy"]


def test_another_sound_or_another_encoder_is_another_file(tmp_path: Path) -> None:
    encoder = Counted()
    caches = [FeatureCache(tmp_path, name, encoder) for name in ("a", "b")]
    paths = {cache.path(noise(seed)) for cache in caches for seed in (0, 1)}
    paths |= {whisper_cache(tmp_path, groups).path(noise()) for groups in (((3,),), ((3, 4),))}
    assert len(paths) == 6
    # Half a step of 16 bits is the same recording.
    quiet = np.float32(1e-6)
    assert caches[0].path(np.full(9, 0.5, np.float32)) == caches[0].path(np.full(9, 0.5 + quiet))


def test_a_damaged_file_is_named_and_not_used(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "a", Counted())
    path = cache.path(noise())
    path.write_bytes(b"\x93NUMPY half of it")
    with pytest.raises(DataError, match=f"{path.name}: damaged"):
        cache.features(noise())
    np.save(path, np.zeros((29, 3), np.float16))
    with pytest.raises(DataError, match=f"{path.name}: 29 frames of another"):
        cache.features(noise())


def test_nothing_is_left_of_an_encoder_that_fails(tmp_path: Path) -> None:
    def fail(samples: Floats, frames: int) -> Floats:
        raise DataError("no weights")

    with pytest.raises(DataError, match="no weights"):
        FeatureCache(tmp_path, "a", fail).features(noise())
    assert not list(tmp_path.iterdir())


def test_filling_goes_on_where_it_was_left(tmp_path: Path) -> None:
    clips = [Clip("set/mute", "set", "her", "train", None)]
    for k in range(3):
        soundfile.write(tmp_path / f"{k}.wav", noise(k), SAMPLE_RATE)
        clips.append(Clip(f"set/{k}", "set", "her", "train", tmp_path / f"{k}.wav"))
    encoder = Counted()
    cache = FeatureCache(tmp_path / "cache", "a", encoder)
    assert cache.fill(clips[:2]) == 1
    assert cache.fill(clips) == 2
    assert cache.fill(clips) == 0
    assert encoder.calls == 3
