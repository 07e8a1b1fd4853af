"""An audio file to its samples at its own rate: by libsndfile, or through ffmpeg."""

from __future__ import annotations

import os
import select
import shutil
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from edge.contract import Floats, InputError, MissingError

SNDFILE = (
    ".wav", ".wave", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff",
    ".aifc", ".au", ".snd", ".caf", ".voc", ".nist", ".sph", ".avr", ".pvf", ".paf", ".svx",
)  # fmt: skip
FFMPEG = (
    ".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".aac", ".webm", ".mka", ".mkv", ".wma", ".3gp",
    ".amr", ".ac3",
)  # fmt: skip
"""Read through the program ffmpeg, where it is installed."""

LOWEST, HIGHEST = 4_000, 384_000
"""Hz. A file that claims another rate is damaged, and resampling it would take for ever."""

STALLED = 10.0
"""Seconds without a sample from ffmpeg after which it is ended."""

AU_FLOAT = 6
"""Samples of 32-bit floating point, in the header of Sun's AU format."""


@dataclass(frozen=True, slots=True)
class OpenAudio:
    """A file that is being read."""

    rate: int
    """Hz, from ``LOWEST`` to ``HIGHEST``."""
    channels: int
    blocks: Iterator[Floats]
    """(n, channels) in [-1, 1] as far as the file keeps to it, about a second each."""


def open_audio(path: Path) -> AbstractContextManager[OpenAudio]:
    """Open a file; ``InputError`` says what it lacks, ``MissingError`` what is not installed."""
    _look(path)
    if path.suffix.lower() in FFMPEG:
        return _through_ffmpeg(path)
    return _by_libsndfile(path)


def readable_rate(path: Path, rate: int) -> int:
    """The rate, or ``InputError`` if no recording has it."""
    if not LOWEST <= rate <= HIGHEST:
        raise InputError(
            f"{path}: claims {rate} samples a second, outside {LOWEST} to {HIGHEST}; the file is "
            "damaged, or its rate was set wrongly"
        )
    return rate


def _look(path: Path) -> None:
    """``InputError`` for what is no file that may be read."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
            return
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:  # a zero byte in the name
        raise InputError(f"{path!r}: no file name") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: a folder, not an audio file; edge-batch does whole folders")
    raise InputError(f"{path}: no regular file; for a pipe use --mic -")


def _unreadable(path: Path, error: OSError) -> InputError:
    if isinstance(error, PermissionError):
        return InputError(f"{path}: no permission to read it; see ls -l, or chmod +r")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return InputError(f"{path}: no such audio file; check the path")
    return InputError(f"{path}: cannot be read ({error.strerror})")


@contextmanager
def _by_libsndfile(path: Path) -> Iterator[OpenAudio]:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise MissingError(f"cannot read audio files: {error}; pip install soundfile") from error
    try:
        # As bytes: a name need not be UTF-8.
        with soundfile.SoundFile(os.fsencode(path)) as file:
            rate = readable_rate(path, file.samplerate)
            blocks = file.blocks(rate, dtype="float32", always_2d=True)
            yield OpenAudio(rate, file.channels, blocks)
    # TypeError: a name that ends in .raw, whose rate nobody knows.
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        why = str(error).replace(repr(os.fsencode(path)), "it")
        raise InputError(
            f"{path}: not a readable audio file ({why}); convert it, e.g. ffmpeg -i IN out.wav"
        ) from error


@contextmanager
def _through_ffmpeg(path: Path) -> Iterator[OpenAudio]:
    program = shutil.which("ffmpeg")
    if program is None:
        raise MissingError(
            f"{path}: {path.suffix} files are read through ffmpeg: apt install ffmpeg, or convert "
            "it to WAV"
        )
    command = [
        *(program, "-v", "error", "-nostdin", "-protocol_whitelist", "file,pipe"),
        # Behind a protocol no name is taken for an option or for an address.
        *("-i", f"file:{path}", "-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "-"),
    ]
    # A file takes any number of complaints; a pipe that nobody reads would stop ffmpeg.
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        try:
            reader = _FfmpegReader(process, said, path)
            rate, channels = reader.header()
            yield OpenAudio(readable_rate(path, rate), channels, reader.blocks(rate, channels))
        finally:
            process.kill()
            process.communicate()


class _FfmpegReader:
    """What ffmpeg writes, as Sun's AU: a header of 24 bytes or more, then samples."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes], path: Path) -> None:
        assert process.stdout is not None
        self._process, self._said, self._path = process, said, path
        self._fd = process.stdout.fileno()

    def header(self) -> tuple[int, int]:
        """Rate and channels."""
        magic, offset, _, kind, rate, channels = struct.unpack(">4s5I", self._exactly(24))
        if magic != b".snd" or kind != AU_FLOAT or not 1 <= channels <= 64:
            raise self._failed("no sound that can be read")
        self._exactly(offset - 24)
        return rate, channels

    def blocks(self, rate: int, channels: int) -> Iterator[Floats]:
        """(n, channels), about a second each."""
        whole = 4 * channels
        while data := self._read(rate * whole):
            samples = np.frombuffer(data[: len(data) // whole * whole], ">f4")
            yield samples.astype(np.float32).reshape(-1, channels)
        if self._process.wait(STALLED):
            raise self._failed("damaged")

    def _exactly(self, size: int) -> bytes:
        data = self._read(size)
        if len(data) < size:
            self._process.wait(STALLED)
            raise self._failed("no sound in it")
        return data

    def _read(self, size: int) -> bytes:
        """Up to ``size`` bytes; fewer only at the end."""
        data = bytearray()
        until = time.monotonic() + STALLED
        while len(data) < size:
            if not select.select([self._fd], [], [], max(0.0, until - time.monotonic()))[0]:
                raise self._failed(f"nothing came for {STALLED:.0f} s")
            part = os.read(self._fd, min(size - len(data), 1 << 16))
            if not part:
                break
            data += part
            until = time.monotonic() + STALLED
        return bytes(data)

    def _failed(self, why: str) -> InputError:
        self._process.kill()
        self._said.seek(0)
        said = self._said.read(200).decode("utf-8", "replace").split("\n")[0]
        return InputError(
            f"{self._path}: ffmpeg cannot read it ({said or why}); is it an audio file?"
        )
