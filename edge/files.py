"""Files that are written whole or not at all, and read only where they are ordinary and small."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edge.contract import ConfigError

HEAD = 4096
"""Bytes that tell what a file is."""
SYSTEM = ("/dev", "/proc")
"""Folders whose entries are no files of a user, whatever they look like."""


class AtomicFile:
    """A new binary file that becomes ``path`` when it is committed.

    The temporary file has a name of its own beside ``path`` and is created exclusively, so two
    processes never share one and a link that lies there is not followed. ``mode`` is what the
    umask leaves of it; 0o600 keeps the file private. Raises ``OSError`` as ``open`` does. With the
    ``flag`` that names ``path``, ``check_output`` holds when it is opened and when it is committed.
    """

    def __init__(
        self, path: Path, mode: int = 0o666, suffix: str = ".part", flag: str | None = None
    ) -> None:
        self._path, self._mode, self._flag = path, mode, flag
        if flag is not None:
            check_output(flag, path)
        handle, name = tempfile.mkstemp(suffix, f".{path.name[:40]}.", path.parent)
        self.part = Path(name)
        """Where the data is until then."""
        self.file: BinaryIO = os.fdopen(handle, "wb")

    def commit(self) -> None:
        """Put the file into its place, or remove it if that fails."""
        try:
            self.file.close()
            if self._flag is not None:
                check_output(self._flag, self._path)
            os.chmod(self.part, self._mode & ~_umask())
            os.replace(self.part, self._path)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove it; what lay at ``path`` before stays."""
        with suppress(OSError):  # what is still buffered cannot be written either
            self.file.close()
        self.part.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """An ``AtomicFile`` that is committed when the block ends, and removed if it fails."""
    new = AtomicFile(path, mode)
    try:
        yield new.file
    except BaseException:
        new.discard()
        raise
    new.commit()


def write_text(path: Path, text: str) -> None:
    """``path`` with ``text`` in UTF-8, whole or as it was."""
    with atomic_write(path) as file:
        file.write(text.encode())


def check_output(flag: str, path: Path, inputs: Iterable[Path | int] = ()) -> None:
    """``ConfigError`` if ``path`` is one of the ``inputs``, a link, or there and no regular file.

    An input is a path or the number of an open file. A FIFO would block; a device or a link, such
    as /dev/stdout, would be replaced by a file.
    """
    folder = os.path.realpath(path.parent)
    if any(folder == system or folder.startswith(system + "/") for system in SYSTEM):
        raise ConfigError(f"{flag} {path}: is a place of the system; choose another place")
    try:
        found = path.stat()
    except FileNotFoundError:
        _refuse_link(flag, path)
        return
    except OSError as error:
        raise ConfigError(f"{flag} {path}: {error.strerror}; choose another place") from error
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise ConfigError(f"{flag} {path}: is {what}; choose another name")
    for source in inputs:
        with suppress(OSError):  # an input that is not there
            if os.path.samestat(found, os.stat(source)):
                raise ConfigError(f"{flag} {path}: is the input itself; choose another name")
    _refuse_link(flag, path)


def _refuse_link(flag: str, path: Path) -> None:
    if path.is_symlink():
        raise ConfigError(f"{flag} {path}: is a symbolic link; choose another name")


def check_replaceable(flag: str, path: Path, ours: Callable[[bytes], bool]) -> None:
    """``ConfigError`` if a file is there whose first ``HEAD`` bytes are not ``ours``."""
    try:
        with open_regular(path, 1 << 40) as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{flag} {path}: {error.strerror}; choose another name") from error
    if head and not ours(head):
        raise ConfigError(f"{flag} {path}: there already; choose another name or --force")


def open_regular(path: Path, most: int) -> BinaryIO:
    """A file to read, at most ``most`` bytes long.

    Raises ``OSError`` as ``open`` does, and for what is no regular file: a FIFO would block, and a
    device never end or do something when it is opened.
    """
    # Looked at before, because opening a device may act on it; and after, in case it was exchanged.
    _check_regular(os.stat(path), path, most)
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    try:
        _check_regular(os.fstat(file.fileno()), path, most)
    except BaseException:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_regular(path: Path, most: int) -> bytes:
    """All of a file; errors as in ``open_regular``."""
    with open_regular(path, most) as file:
        data = file.read(most + 1)
    if len(data) > most:  # /proc says 0 bytes of everything
        raise _too_large(path, most)
    return data


def _check_regular(found: os.stat_result, path: Path, most: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    if found.st_size > most:
        raise _too_large(path, most)


def _too_large(path: Path, most: int) -> OSError:
    return OSError(errno.EFBIG, f"is larger than {most // 1024} kB", str(path))


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
