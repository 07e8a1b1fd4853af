"""Every file that libsndfile or ffmpeg reads, and one sentence for every other."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.audio.audio_file import read_audio
from edge.audio.decode import FFMPEG, SNDFILE
from edge.contract import InputError, MissingError
from tests.fakes import DEMO, tone

ROOT = Path(__file__).parents[1]
SOUND = tone(440, 0.5)
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")


def wav_claiming(rate: int) -> bytes:
    """32 kB of WAV, 16-bit mono, whose header says some rate."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate % 2**32, 2, 16)
    data = struct.pack("<4sI", b"data", 32_000) + bytes(32_000)
    return struct.pack("<4sI", b"RIFF", 36 + 32_000) + b"WAVEfmt " + form + data


@pytest.mark.parametrize("rate", [1, 3999, 384_001, 2_000_003, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused_at_once(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav_claiming(rate))
    with pytest.raises(InputError, match=rf"a\.wav: claims {rate} samples a second, outside 4000"):
        read_audio(path)


@pytest.mark.parametrize("rate", [4000, 384_000])
def test_the_lowest_and_the_highest_rate_are_read(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 1, rate), rate)
    assert len(read_audio(tmp_path / "a.wav")) == pytest.approx(16_000, abs=2)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(".caf", "CAF"), (".w64", "W64"), (".au", "AU"), (".rf64", "RF64"), (".aiff", "AIFF"),
     (".voc", "VOC"), (".nist", "NIST"), (".avr", "AVR"), (".pvf", "PVF"), (".paf", "PAF"),
     (".svx", "SVX")],
)  # fmt: skip
def test_every_format_of_libsndfile_is_audio(tmp_path: Path, suffix: str, kind: str) -> None:
    assert suffix in SNDFILE
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, SOUND, 16_000, "PCM_16", format=kind)
    assert read_audio(path) == pytest.approx(SOUND, abs=1e-4)


@needs_ffmpeg
@pytest.mark.parametrize("suffix", [".m4a", ".mp4", ".aac", ".webm", ".mka"])
def test_what_ffmpeg_reads_is_read_through_it(tmp_path: Path, suffix: str) -> None:
    assert suffix in FFMPEG
    path = tmp_path / f"-it's a {suffix}"
    command = ["ffmpeg", "-v", "error", "-i", str(DEMO), "-t", "2", f"file:{path}"]
    subprocess.run(command, check=True, timeout=60)
    heard, demo = read_audio(path), read_audio(DEMO)[:32_000]
    assert len(heard) == pytest.approx(32_000, abs=4000)  # encoders pad
    # The same sound, wherever the encoder's padding puts it.
    size = 1 << 17
    spectra = np.fft.rfft(heard, size) * np.fft.rfft(demo, size).conj()
    together = np.fft.irfft(spectra).max() / np.linalg.norm(heard) / np.linalg.norm(demo)
    assert together > 0.95


@needs_ffmpeg
def test_a_channel_of_a_film_is_chosen_like_any_other(tmp_path: Path) -> None:
    both = np.stack([np.zeros_like(SOUND), SOUND], axis=1)
    soundfile.write(tmp_path / "a.wav", both, 16_000)
    path = tmp_path / "a.mka"
    command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.wav"), "-c:a", "pcm_s16le", path]
    subprocess.run(command, check=True, timeout=60)
    assert read_audio(path, 2) == pytest.approx(SOUND, abs=1e-4)
    assert not read_audio(path, 1).any()
    with pytest.raises(InputError, match="has no channel 3, only 2"):
        read_audio(path, 3)


@needs_ffmpeg
@pytest.mark.parametrize("content", [b"", b"this is no film\n" * 50])
def test_what_ffmpeg_cannot_read_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.m4a").write_bytes(content)
    with pytest.raises(
        InputError, match=r"a\.m4a: ffmpeg cannot read it \(.*\); is it an"
    ) as found:
        read_audio(tmp_path / "a.m4a")
    assert "\n" not in str(found.value)


def test_an_ffmpeg_that_says_nothing_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("edge.audio.decode.STALLED", 0.1)
    (tmp_path / "a.m4a").write_bytes(b"film")
    with pytest.raises(InputError, match=r"a\.m4a: ffmpeg cannot read it \(nothing came for"):
        read_audio(tmp_path / "a.m4a")


def test_without_ffmpeg_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.m4a").write_bytes(b"film")
    with pytest.raises(
        MissingError, match=r"a\.m4a: .* through ffmpeg: apt install ffmpeg, or con"
    ):
        read_audio(tmp_path / "a.m4a")


LATIN = b"f\xefle"
"""No UTF-8: i with diaeresis, in Latin-1."""


@pytest.fixture
def latin(tmp_path: Path) -> Path:
    path = tmp_path / os.fsdecode(LATIN + b".wav")
    try:
        shutil.copy(DEMO, path.with_suffix(".flac"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    soundfile.write(os.fsencode(path), SOUND, 16_000, format="WAV")
    return path


def test_a_name_that_is_no_utf_8_is_read(latin: Path) -> None:
    assert read_audio(latin) == pytest.approx(SOUND, abs=1e-4)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("edge.cli", ["--mic", "file:{clip}", "--offline", "--record", "{folder}/\udcef.csv"]),
        ("edge.cli", ["--mic", "file:{clip}x", "--offline"]),
        ("edge.cli", ["--mic", "file:{clip}", "--offline", "--to", "vmc://127.0.0.1:9", "--json"]),
        ("edge.batch", ["{folder}", "--out", "{folder}/f\udcefces"]),
        ("edge.batch", ["{folder}", "--out", "{folder}/faces", "--json"]),
        ("edge.batch", ["{folder}/\udcef", "--out", "{folder}/faces"]),
        ("edge.preview.replay", ["{clip}x", "{clip}"]),
    ],
)
def test_no_name_ends_in_a_traceback(latin: Path, module: str, arguments: list[str]) -> None:
    command = [a.format(clip=latin, folder=latin.parent) for a in arguments]
    done = subprocess.run(
        [sys.executable, "-m", module, *command],
        cwd=ROOT, capture_output=True, timeout=120, check=False,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 66)


def test_a_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    soundfile.write(tmp_path / "a.wav", SOUND, 16_000)
    assert read_audio("~/a.wav") == pytest.approx(SOUND, abs=1e-4)


@pytest.mark.skipif(os.getuid() != 0, reason="takes root to become somebody else")
def test_without_permission_the_sentence_says_permission(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SOUND, 16_000)
    (tmp_path / "hidden").mkdir(mode=0o700)
    (tmp_path / "a.wav").chmod(0o600)
    program = f"""
import os, sys
from pathlib import Path
from edge.audio.audio_file import read_audio
from edge.contract import InputError
os.chdir({str(tmp_path)!r})
os.setgid(65534); os.setuid(65534)
for name in ("a.wav", "hidden/b.wav"):
    try:
        read_audio(name)
    except InputError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "a.wav: no permission to read it; see ls -l, or chmod +r",
        "hidden/b.wav: no permission to read it; see ls -l, or chmod +r",
    ]


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(InputError, match=r"a\.wav: no regular file; for a pipe use --mic -"):
        read_audio(tmp_path / "a.wav")
