"""Captured audio to a WAV file that never grows beyond ten minutes. Only on request."""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import tempfile
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from edge.audio.capture import Source
from edge.audio.fresh_queue import FreshQueue
from edge.contract import SAMPLE_RATE, AudioBlock, ConfigError, Floats
from edge.files import check_output, check_replaceable

log = logging.getLogger(__name__)

HALF = 5 * 60 * SAMPLE_RATE
"""Samples in one file; the one before is kept beside it."""


def wav_header(samples: int) -> bytes:
    """44 bytes: mono, 16 bit, 16 kHz."""
    size = 2 * samples
    form = struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    chunks = b"WAVEfmt " + form + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", size + 36) + chunks


def older(path: Path) -> Path:
    """Where the audio before that of ``path`` is kept."""
    return path.with_suffix(f".old{path.suffix}")


def _is_ours(path: Path, head: bytes) -> bool:
    """Is it what an ``AudioRecord`` leaves: its header, and readable for the user alone?

    Other programs write the same header, but let others read the file.
    """
    samples = int.from_bytes(head[40:44], "little") // 2
    return head[:44] == wav_header(samples) and path.stat().st_mode & 0o777 == 0o600


class AudioRecord:
    """``OUT.wav``, and ``OUT.old.wav`` once it was full. A thread writes: disks stall, faces not.

    Whole at any moment, also after a crash; readable for the user alone.
    """

    def __init__(
        self,
        path: str,
        half: int = HALF,
        inputs: Iterable[Path | int] = (),
        force: bool = False,
    ) -> None:
        """``ConfigError`` if ``path`` is an input, another run's, or cannot be written.

        Without ``force`` also if a file is there that is no record of audio.
        """
        self._path, self._half, self._written = Path(path), half, 0
        if not self._path.name:  # "." and "/"
            raise ConfigError(f"--record-audio {path}: is a folder; choose another name")
        self._older = older(self._path)
        for place in (self._path, self._older):
            check_output("--record-audio", place, inputs)
            if not force:
                check_replaceable("--record-audio", place, partial(_is_ours, place))
        # Ten seconds; a disk that stalls for longer loses audio, not faces.
        self._queue: FreshQueue[Floats] = FreshQueue(1000)
        try:
            if _in_use(self._path):
                raise ConfigError(f"--record-audio {path}: another run writes it; choose another")
            self._begin()
        except OSError as error:
            raise ConfigError(
                f"--record-audio {path}: {error.strerror}; choose another place"
            ) from error
        self._thread = threading.Thread(target=self._write_on, name="audio record", daemon=True)
        self._thread.start()

    def _begin(self) -> None:
        # A new file in the place of an old one: private whatever that was, and no link is followed.
        check_output("--record-audio", self._path)
        handle, name = tempfile.mkstemp(".part", f".{self._path.name[:40]}.", self._path.parent)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._file = os.fdopen(handle, "wb", buffering=0)
            self._file.write(wav_header(0))
            os.replace(name, self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._written = 0

    def put(self, samples: Floats) -> None:
        """Called from the face loop: no waiting."""
        self._queue.put(samples)

    def _write_on(self) -> None:
        try:
            while True:
                if (samples := self._queue.get(1.0)) is not None:
                    self._write(samples)
        except EOFError:
            pass
        except (OSError, ConfigError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            log.warning("audio is no longer recorded to %s: %s", self._path, why)
        finally:
            self._file.close()

    def _write(self, samples: Floats) -> None:
        if self._written + len(samples) > self._half:
            self._file.close()
            check_output("--record-audio", self._older)
            self._path.replace(self._older)
            self._begin()
        self._file.write((samples * 32767).astype("<i2").tobytes())
        self._written += len(samples)
        os.pwrite(self._file.fileno(), wav_header(self._written), 0)

    def close(self) -> None:
        """Write what is left."""
        self._queue.end()
        self._thread.join(2.0)


def _in_use(path: Path) -> bool:
    """Does another process hold the lock of a file that it records to?"""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


class RecordedSource:
    """A source that hands everything it reads to a record as well."""

    def __init__(self, source: Source, record: AudioRecord) -> None:
        self._source, self._record = source, record

    @property
    def dropped(self) -> int:
        """As the source says."""
        return self._source.dropped

    @property
    def state(self) -> str:
        """As the source says."""
        return self._source.state

    @property
    def reconnects(self) -> int:
        """As the source says."""
        return self._source.reconnects

    def read(self, timeout: float) -> AudioBlock | None:
        """The next block, on its way to the file as well."""
        block = self._source.read(timeout)
        if block is not None:
            self._record.put(np.clip(block.samples, -1.0, 1.0))
        return block

    def close(self) -> None:
        """Release the source; the record is closed by who opened it."""
        self._source.close()
