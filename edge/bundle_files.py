"""The files that ``bundle.yaml`` names, as suspicious as it: checked before anything runs them."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edge.contract import Floats, MissingError, quoted
from edge.files import open_regular, read_regular

MOST_BYTES = 64 * 1024 * 1024
"""Of a network; the shipped ones take 2 MB."""
MOST_ARRAY = 16 * 1024 * 1024
"""Bytes of one array when unpacked."""
CHUNK = 1024 * 1024

# Every tensor of ONNX that lies in another file names it by an entry with the key `location`: field
# 1, eight letters. Protobuf may write both numbers with needless zeros behind them.
EXTERNAL = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")
OVERLAP = 40
"""Bytes of a chunk that are looked at again with the next one."""


def chunks(path: Path, most: int) -> Iterator[bytes]:
    """A file piece by piece; ``OSError`` as ``edge.files.open_regular``."""
    with open_regular(path, most) as file:
        while data := file.read(CHUNK):
            yield data


def sha256(path: Path, most: int = 1 << 40) -> str:
    """Hash of a file's bytes."""
    digest = hashlib.sha256()
    for data in chunks(path, most):
        digest.update(data)
    return digest.hexdigest()


def check_name(name: str) -> str:
    """The name, if it is one of a file inside the bundle; else ``ValueError``."""
    if name in ("", ".", "..") or len(name) > 255 or any(c in name for c in "/\\\0"):
        raise ValueError(f"{quoted(name)} is no name of a file inside the bundle")
    return name


def check_file(path: Path, expected: str) -> None:
    """``MissingError`` if the file is not the one that was exported, or reads yet other files."""
    digest, before, elsewhere = hashlib.sha256(), b"", False
    try:
        for data in chunks(path, MOST_BYTES):
            digest.update(data)
            elsewhere = elsewhere or EXTERNAL.search(before + data) is not None
            before = data[-OVERLAP:]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError(
            f"{path}: missing from the bundle; copy the whole folder again"
        ) from error
    except PermissionError as error:
        raise MissingError(f"{path}: no permission to read it; see ls -l, or chmod +r") from error
    except OSError as error:
        raise MissingError(f"{path}: {error.strerror}; copy the whole folder again") from error
    if digest.hexdigest() != expected:
        raise MissingError(f"{path}: damaged (sha256 differs); copy the whole folder again")
    if elsewhere:
        raise MissingError(
            f"{path}: has weights in another file, which nothing vouches for; "
            "export it again in one file"
        )


def read_network(path: Path) -> bytes:
    """A network as ``check_file`` has seen it; ``MissingError`` if it cannot be read any more."""
    try:
        return read_regular(path, MOST_BYTES)
    except OSError as error:
        raise MissingError(f"{path}: {error.strerror}; check --bundle") from error


def read_arrays(path: Path, names: Sequence[str]) -> list[Floats]:
    """Finite float32 arrays of an ``.npz``, in the order of ``names``; ``MissingError`` if not."""
    try:
        data = read_regular(path, MOST_BYTES)
        with zipfile.ZipFile(io.BytesIO(data)) as stored:
            return [_array(stored, name) for name in names]
    # A damaged archive makes zipfile, zlib and numpy raise a dozen kinds.
    except Exception as error:
        raise MissingError(
            f"{path}: not readable ({quoted(str(error))}); export it again"
        ) from error


def _array(stored: zipfile.ZipFile, name: str) -> Floats:
    # The size that the archive claims may be a lie, the size that comes out is none.
    with stored.open(f"{name}.npy") as file:
        raw = file.read(MOST_ARRAY + 1)
    if len(raw) > MOST_ARRAY:
        raise ValueError(f"{name} unpacks to more than {MOST_ARRAY} bytes")
    array = np.asarray(np.load(io.BytesIO(raw), allow_pickle=False), np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds what is no number")
    return array
