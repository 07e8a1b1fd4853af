"""PortAudio through the sounddevice package: loaded, started anew, and kept from printing."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any

from edge.contract import InputError, MissingError

PULSE_KEYS = ("PULSE_SOURCE", "PULSE_PROP")
"""Read by the sound server's client library whenever it opens a stream."""

CARDS = Path("/proc/asound/cards")


def import_sounddevice() -> Any:
    """The sounddevice module, or ``MissingError`` that says what to install."""
    try:
        import sounddevice
    except ImportError as error:
        raise MissingError("sounddevice is not installed: pip install sounddevice") from error
    except OSError as error:
        raise MissingError(
            "PortAudio is missing: apt install libportaudio2, or use --mic file:PATH"
        ) from error
    # PortAudio loads every ALSA plugin each time it starts; a52 brings pixman (by way of ffmpeg),
    # which keeps 12 kB each time it is loaded anew. So it stays; elsewhere it is not there.
    with suppress(OSError):
        ctypes.CDLL("libpixman-1.so.0")
    with suppress(OSError):  # a sandbox without memfd_create does without
        _spare_shared_memory()
    return sounddevice


@cache
def _spare_shared_memory() -> None:
    """Let PulseAudio send audio through its socket instead: 64 kB a second may as well be copied.

    A daemon that dies while ALSA holds half a fragment of shared memory leaves libpulse (16.1)
    waiting for that half with its lock held, and who closes the stream waits for the lock: one
    restart of the daemon in thirty was not survived. Only a ``client.conf`` can say so; this one,
    in memory, includes the user's own.
    """
    fd = os.memfd_create("edge-client.conf")
    rows = [f".include {path}\n" for path in pulse_config()]
    os.write(fd, "".join([*rows, "enable-shm = no\n"]).encode())
    os.environ["PULSE_CLIENTCONFIG"] = f"/proc/{os.getpid()}/fd/{fd}"


def pulse_config() -> list[Path]:
    """The files that libpulse's programs read their settings from, in that order."""
    # A service's user may have no home, or one that must not be looked at: nothing here may raise.
    home = os.path.expanduser("~")
    places = (
        os.environ.get("PULSE_CLIENTCONFIG") or "",
        os.path.join(os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config", "pulse/client.conf"),
        f"{home}/.pulse/client.conf",
        "/etc/pulse/client.conf",
    )
    found = next((path for path in places if os.path.isfile(path)), None)
    return [Path(path) for path in (found, *sorted(glob(f"{found}.d/*.conf")))] if found else []


def surroundings() -> tuple[object, ...]:
    """What changes when a device comes or goes: the kernel's cards, the sound servers' sockets."""
    here = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    seen: list[object] = []
    with suppress(OSError):
        seen.append(CARDS.read_bytes())
    for socket in (here / "pulse/native", here / "pipewire-0", Path("/run/pulse/native")):
        with suppress(OSError):
            found = socket.stat()
            seen.append((str(socket), found.st_ino, found.st_mtime_ns))
    return tuple(seen)


def restart(sounddevice: Any) -> None:
    """Make PortAudio look for devices anew; every stream must be closed.

    Not for every try: each time ALSA loads and unloads all its plugins and what they need, ffmpeg
    among it.
    """
    # A source that is gone would make its whole server look gone.
    for key in PULSE_KEYS:
        os.environ.pop(key, None)
    # Once ended it must be started again, whatever the ending said.
    with suppress(sounddevice.PortAudioError):
        sounddevice._terminate()
    try:
        sounddevice._initialize()
    except sounddevice.PortAudioError as error:
        raise InputError(f"PortAudio does not start again ({error})") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Send file descriptor 2 nowhere for a while.

    PortAudio and ALSA print four lines each time a device cannot be opened, twice a second while
    one is waited for. Neither can be told not to.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    _KEPT.append(kept)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        _KEPT.remove(kept)
        os.close(kept)
        os.close(nowhere)


_KEPT: list[int] = []
"""Where file descriptor 2 really leads, while it is quiet."""


def loud() -> None:
    """Let file descriptor 2 be heard again though what silenced it never returned."""
    for kept in _KEPT[:1]:
        os.dup2(kept, 2)
