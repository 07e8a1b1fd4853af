"""Audio files: every format becomes 16 kHz mono, everything else one clear sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.audio.audio_file import clean, read_audio
from edge.contract import InputError
from tests.fakes import DEMO, tone

SOUND = tone(440, 0.5)


@pytest.mark.parametrize(
    ("subtype", "error"),
    [("PCM_U8", 0.01), ("PCM_16", 1e-4), ("PCM_24", 1e-6), ("PCM_32", 1e-7), ("FLOAT", 0.0)],
)
def test_every_wav_depth_reads_the_same(tmp_path: Path, subtype: str, error: float) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, SOUND, 16_000, subtype)
    out = read_audio(path)
    assert out.dtype == np.float32
    assert out.shape == SOUND.shape
    assert np.abs(out - SOUND).max() <= error


def test_flac_reads_like_wav(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", SOUND, 16_000, "PCM_24")
    assert read_audio(tmp_path / "a.flac") == pytest.approx(SOUND, abs=1e-6)


def test_stereo_is_never_averaged(tmp_path: Path) -> None:
    both = np.stack([SOUND, -0.5 * SOUND], axis=1)
    soundfile.write(tmp_path / "a.wav", both, 16_000, "FLOAT")
    assert np.array_equal(read_audio(tmp_path / "a.wav"), SOUND)


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_other_rates_are_resampled_to_the_end(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 2.5, rate), rate, "FLOAT")
    out = read_audio(tmp_path / "a.wav")
    assert abs(len(out) - 40_000) <= 2
    assert np.abs(out[200:39_000] - tone(440, 2.5)[200:39_000]).max() < 1e-3


def test_nan_and_infinity_in_a_file_become_silence(tmp_path: Path) -> None:
    broken = SOUND.copy()
    broken[[10, 20, 30]] = np.nan, np.inf, -np.inf
    broken[40] = 7.0
    soundfile.write(tmp_path / "a.wav", broken, 16_000, "FLOAT")
    out = read_audio(tmp_path / "a.wav")
    assert out[[10, 20, 30, 40]].tolist() == [0, 0, 0, 1]


def test_clean_leaves_good_samples_alone() -> None:
    assert np.array_equal(clean(SOUND), SOUND)


def test_a_truncated_wav_gives_what_is_left_of_it(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SOUND, 16_000, "PCM_16")
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: 44 + 2000])
    assert read_audio(tmp_path / "a.wav") == pytest.approx(SOUND[:1000], abs=1e-4)


def test_a_file_without_samples_says_so(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SOUND[:0], 16_000)
    with pytest.raises(InputError, match=r"a\.wav: holds no samples"):
        read_audio(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.wav", SOUND[:0], 44_100)
    with pytest.raises(InputError, match=r"b\.wav: holds no samples"):
        read_audio(tmp_path / "b.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.txt", "a", "a.raw", "a.mp3"])
@pytest.mark.parametrize("content", [b"", b"RIFF", b"this is no audio, but some text\n" * 50])
def test_what_is_no_audio_is_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_audio(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_flac_cut_in_the_middle_never_shows_a_traceback(tmp_path: Path) -> None:
    whole = DEMO.read_bytes()
    path = tmp_path / "a.flac"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.flac: not a readable audio file"):
        read_audio(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "nowhere.wav", "no such audio file"), (tmp_path, "a folder")):
        with pytest.raises(InputError, match=words) as caught:
            read_audio(path)
        assert str(path) in str(caught.value)
