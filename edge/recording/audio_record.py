"""What was heard to a WAV file that never grows beyond ten minutes. Only on request."""

from __future__ import annotations

import logging
import os
import struct
import threading
from pathlib import Path

import numpy as np

from edge.audio.capture import Source
from edge.audio.fresh_queue import FreshQueue
from edge.contract import SAMPLE_RATE, AudioBlock, ConfigError, Floats

log = logging.getLogger(__name__)

HALF = 5 * 60 * SAMPLE_RATE
"""Samples in one file; the one before is kept beside it."""


def wav_header(samples: int) -> bytes:
    """44 bytes: mono, 16 bit, 16 kHz."""
    size = 2 * samples
    form = struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    chunks = b"WAVEfmt " + form + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", size + 36) + chunks


class AudioRecord:
    """``OUT.wav``, and ``OUT.old.wav`` once it was full. A thread writes: disks stall, faces not.

    Whole at any moment, also after a crash; readable for the user alone.
    """

    def __init__(self, path: str, half: int = HALF) -> None:
        self._path, self._half, self._written = Path(path), half, 0
        # Ten seconds; a disk that stalls for longer loses audio, not faces.
        self._queue: FreshQueue[Floats] = FreshQueue(1000)
        try:
            self._begin()
        except OSError as error:
            raise ConfigError(
                f"--record-audio {path}: {error.strerror}; choose another place"
            ) from error
        self._thread = threading.Thread(target=self._write_on, name="audio record", daemon=True)
        self._thread.start()

    def _begin(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb", buffering=0)
        self._file.write(wav_header(0))
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
        except OSError as error:
            log.warning("audio is no longer recorded to %s: %s", self._path, error.strerror)
        finally:
            self._file.close()

    def _write(self, samples: Floats) -> None:
        if self._written + len(samples) > self._half:
            self._file.close()
            self._path.replace(self._path.with_suffix(f".old{self._path.suffix}"))
            self._begin()
        self._file.write((samples * 32767).astype("<i2").tobytes())
        self._written += len(samples)
        os.pwrite(self._file.fileno(), wav_header(self._written), 0)

    def close(self) -> None:
        """Write what is left."""
        self._queue.end()
        self._thread.join(2.0)


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
