"""Stereo: the channel with the voice is taken, never a mean, and the one asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.audio.audio_file import read_audio
from edge.audio.capture import open_source
from edge.audio.voice_channel import VoiceChannel
from edge.contract import SAMPLE_RATE, Floats, InputError
from tests.fakes import noise


def stereo(path: Path, left: Floats, right: Floats, rate: int = SAMPLE_RATE) -> Path:
    soundfile.write(path, np.stack([left, right], axis=1), rate, "FLOAT")
    return path


@pytest.fixture
def voice(demo: Floats) -> Floats:
    return demo[: 4 * SAMPLE_RATE] * np.float32(0.5)


def test_voices_out_of_phase_do_not_cancel(tmp_path: Path, voice: Floats) -> None:
    heard = read_audio(stereo(tmp_path / "a.wav", voice, -voice))
    assert np.array_equal(heard, voice)


@pytest.mark.parametrize("other", ["silence", "noise", "hum"])
@pytest.mark.parametrize("side", [0, 1])
def test_the_channel_with_the_voice_is_taken(
    tmp_path: Path, voice: Floats, other: str, side: int
) -> None:
    time = np.arange(len(voice)) / SAMPLE_RATE
    sounds = {
        "silence": np.zeros_like(voice),
        "noise": noise(4, -18),
        "hum": (0.3 * np.sin(2 * np.pi * 50 * time)).astype(np.float32),
    }
    pair = [voice, sounds[other]] if side == 0 else [sounds[other], voice]
    assert np.array_equal(read_audio(stereo(tmp_path / "a.wav", *pair)), voice)


def test_a_voice_that_begins_late_is_waited_for(tmp_path: Path, voice: Floats) -> None:
    late = np.concatenate([np.zeros(10 * SAMPLE_RATE, np.float32), voice])
    heard = read_audio(stereo(tmp_path / "a.wav", noise(14, -50), late))
    assert np.array_equal(heard, late)


def test_of_two_equal_channels_the_first_is_taken(tmp_path: Path, voice: Floats) -> None:
    heard = read_audio(stereo(tmp_path / "a.wav", voice, voice * np.float32(1.05)))
    assert np.array_equal(heard, voice)


def test_the_channel_asked_for_is_heard_and_a_missing_one_refused(
    tmp_path: Path, voice: Floats
) -> None:
    path = stereo(tmp_path / "a.wav", voice, -voice)
    assert np.array_equal(read_audio(path, 2), -voice)
    with pytest.raises(InputError, match=r"a\.wav: has no channel 3, only 2; choose another"):
        read_audio(path, 3)
    with pytest.raises(InputError, match="has no channel 3"):
        open_source(f"file:{path}", 120, channel=3)
    with pytest.raises(InputError, match="has no channel 2"):
        open_source("-", 120, channel=2)


def test_other_rates_and_short_blocks_settle_on_the_same_channel(voice: Floats) -> None:
    for rate, size in ((48_000, 480), (16_000, 16_000)):
        slow = np.repeat(voice, rate // SAMPLE_RATE)
        both = np.stack([np.zeros_like(slow), slow], axis=1)
        found = VoiceChannel(2, rate)
        for start in range(0, len(both), size):
            found.listen(both[start : start + size])
        assert (found.index, found.settled) == (1, True)
