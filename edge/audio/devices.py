"""A microphone's name to a PortAudio device, its rate and its channel."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge.audio.portaudio import PULSE_KEYS, import_sounddevice
from edge.contract import SAMPLE_RATE, InputError

RATES = (SAMPLE_RATE, 48_000, 44_100, 32_000, 96_000)
"""Hz, in the order of trying; the device's own rate comes second."""

SERVERS = ("pulse", "pipewire")
"""ALSA devices behind which a sound server keeps its own sources, which PortAudio cannot list."""


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
