"""A microphone's name to a PortAudio device, its rate and its channel."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any

from edge.contract import SAMPLE_RATE, InputError, MissingError

RATES = (SAMPLE_RATE, 48_000, 44_100, 32_000, 96_000)
"""Hz, in the order of trying; the device's own rate comes second."""

SERVERS = ("pulse", "pipewire")
"""ALSA devices behind which a sound server keeps its own sources, which PortAudio cannot list."""

PULSE_KEYS = ("PULSE_SOURCE", "PULSE_PROP")
"""Read by the sound server's client library whenever it opens a stream."""

CARDS = Path("/proc/asound/cards")


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """How a microphone will be opened, and why so."""

    device: int
    name: str
    rate: int
    channels: int
    """Opened."""
    channel: int | None
    """Heard, from 1; ``None``: the one with the voice."""
    why: str

    def __str__(self) -> str:
        which = self.channel or (1 if self.channels == 1 else "with the voice")
        return f"'{self.name}': channel {which} of {self.channels}, {self.rate} Hz, {self.why}"


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


def choose(sounddevice: Any, mic: str, channel: int | None = None) -> DeviceChoice:
    """``default``, an index, a PortAudio name (or part of one) or a sound server's source name.

    Without a ``channel`` (from 1) the one with the voice will be heard. Raises ``InputError`` if
    nothing fits, or if no rate or number of channels is accepted.
    """
    found, why = _find(sounddevice, mic)
    if found["name"] in SERVERS:
        _refuse_missing(mic, channel)
        # Takes anything; each question would open a stream, and print if the source is not there.
        return DeviceChoice(
            found["index"], found["name"], SAMPLE_RATE, channel or min(2, _inputs(found)), channel,
            f"{why}; the server converts"
        )  # fmt: skip
    for channels, rate in _settings(found, channel):
        try:
            sounddevice.check_input_settings(found["index"], channels, "float32", samplerate=rate)
        except sounddevice.PortAudioError:
            continue
        at = "16 kHz is taken" if rate == SAMPLE_RATE else "16 kHz is refused, so resampled here"
        return DeviceChoice(found["index"], found["name"], rate, channels, channel, f"{why}; {at}")
    asked = "every channel" if channel is None else f"channel {channel}"
    raise InputError(
        f"microphone '{found['name']}' refuses {asked} at every rate tried "
        f"({', '.join(map(str, RATES))} Hz); it has {found['max_input_channels']} channels"
    )


def _inputs(found: dict[str, Any]) -> int:
    return int(found["max_input_channels"])


def _refuse_missing(mic: str, channel: int | None) -> None:
    """``InputError`` if a sound server's source lacks the channel."""
    if channel is None or channel == 1:
        return
    has = server_sources().get(mic, channel)
    if has < channel:
        raise InputError(f"source '{mic}' has no channel {channel}, only {has}")


def _settings(found: dict[str, Any], channel: int | None) -> Iterator[tuple[int, int]]:
    """Few channels first: drivers of arrays are slow with all. Some take only all they have."""
    most, own = _inputs(found), int(found["default_samplerate"])
    for channels in dict.fromkeys((channel or 2, 2, 1, most)):
        if (channel or 1) <= channels <= most:
            for rate in dict.fromkeys((SAMPLE_RATE, own, *RATES)):
                yield channels, rate


def _find(sounddevice: Any, mic: str) -> tuple[dict[str, Any], str]:
    inputs = [d for d in sounddevice.query_devices() if d["max_input_channels"] > 0]
    if not inputs:
        raise InputError("no microphone found; plug one in, or use --mic file:PATH")
    for key in PULSE_KEYS:
        os.environ.pop(key, None)
    if mic == "default":
        return _default(sounddevice, inputs)
    if re.fullmatch(r"[+-]?[0-9]+", mic):
        for device in inputs:
            if device["index"] == int(mic):
                return device, "by index"
        # Never a name that happens to hold the number: it may be another room's microphone.
        raise InputError(f"no microphone '{mic}' by that index; see edge-run --list-mics")
    if not mic.strip():
        raise InputError("a microphone's name is empty; see edge-run --list-mics")
    for same in (lambda name: name == mic, lambda name: mic.casefold() in name.casefold()):
        named = [d for d in inputs if same(d["name"])]
        if named:
            return named[0], "by name"
    return _behind_server(inputs, mic)


def _default(sounddevice: Any, inputs: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    index = sounddevice.default.device[0]
    device = next((d for d in inputs if d["index"] == index), inputs[0])
    # A Jetson lists some 20 of these 16-channel inputs of its audio engine, wired to nothing.
    if "APE" in device["name"]:
        for other in inputs:
            if "APE" not in other["name"]:
                return other, f"because the default, '{device['name']}', is wired to nothing"
    return device, "the default"


def _behind_server(inputs: list[dict[str, Any]], mic: str) -> tuple[dict[str, Any], str]:
    for server in SERVERS:
        for device in inputs:
            if device["name"] == server:
                # Read by the server's client library when the stream is opened. Without the second
                # one PipeWire answers the loss of a source by going on with any other.
                os.environ["PULSE_SOURCE"] = mic
                os.environ["PULSE_PROP"] = "node.dont-reconnect=true"
                return device, f"source '{mic}' of the sound server"
    raise InputError(f"no microphone '{mic}'; see edge-run --list-mics, or use --mic file:PATH")


def list_microphones() -> list[dict[str, Any]]:
    """Every input: index (``None`` for a sound server's source), name, channels, rate, default."""
    sounddevice = import_sounddevice()
    default = sounddevice.default.device[0]
    found = [
        {
            "index": i,
            "name": d["name"],
            "channels": d["max_input_channels"],
            "rate": int(d["default_samplerate"]),
            "default": i == default,
        }
        for i, d in enumerate(sounddevice.query_devices())
        if d["max_input_channels"] > 0
    ]
    if any(mic["name"] in SERVERS for mic in found):
        rest = {"rate": SAMPLE_RATE, "default": False}
        found += [
            {"index": None, "name": name, "channels": channels, **rest}
            for name, channels in server_sources().items()
        ]
    return found


def server_sources() -> dict[str, int]:
    """Name -> channels of what PulseAudio or PipeWire offers; empty where pactl cannot tell."""
    try:
        listed = subprocess.run(
            ["pactl", "list", "short", "sources"],
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    # Number, name, driver, sample format, as in "s16le 2ch 48000Hz", state.
    rows = [row.split("\t") for row in listed.stdout.splitlines() if "\t" in row]
    return {row[1]: _channels_of(row) for row in rows}


def _channels_of(row: list[str]) -> int:
    found = re.search(r"\b([0-9]+)ch\b", " ".join(row[2:]))
    return int(found[1]) if found else 1
