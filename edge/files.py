"""Files that are whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A new binary file that becomes ``path`` when the block ends, and is removed if it fails.

    The temporary file has a name of its own beside ``path`` and is created exclusively, so two
    processes never share one and a link that lies there is not followed. ``mode`` is what the
    umask leaves of it; 0o600 keeps the file private. Raises ``OSError`` as ``open`` does.
    """
    handle, name = tempfile.mkstemp(".part", f".{path.name[:80]}.", path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(name, mode & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """``path`` with ``text`` in UTF-8, whole or as it was."""
    with atomic_write(path) as file:
        file.write(text.encode())


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
