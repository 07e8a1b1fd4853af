"""``edge.yaml`` to frozen dataclasses; a misspelt key is an error that names the right one."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from edge.config_values import read_section, require_known
from edge.contract import INDEX, ConfigError, quoted
from edge.emotion import emotion_named
from edge.safe_yaml import read_yaml


@dataclass(frozen=True, slots=True)
class Between:
    """The range of a number, both ends included."""

    low: float
    high: float


_HEAD = re.compile(r"((?:[a-z]+:)?)(.*)", re.DOTALL)
"""``file:`` or the format of a recording, and the path."""

Port = Annotated[int, Between(1, 65535)]


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Who may steer a running ``edge-run`` over OSC, and where it listens."""

    host: str = "127.0.0.1"
    """Address to listen on; one that other machines reach needs ``allow``."""
    port: Port | None = None
    """UDP port; a port written here must be free, without one 39541 is used if it is free."""
    allow: tuple[str, ...] = ()
    """Addresses and networks that may send, such as 10.0.0.0/24; this machine always may."""


@dataclass(frozen=True, slots=True)
class EmotionSettings:
    """The emotion shown from the start."""

    name: str | None = None
    """neutral, anger, boredom, disgust, fear, happiness, sadness or surprise; none if absent."""
    intensity: Annotated[float, Between(0, 1)] = 1.0
    """0 to 1."""
    blend: Annotated[float, Between(0, 60)] = 0.5
    """Seconds of fading, also for ``/edge/emotion`` without blend seconds."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of ``edge-run``."""

    mic: str = "default"
    """``default``, a name, an index, ``file:PATH``, or ``-`` for raw s16le 16 kHz on stdin."""
    to: tuple[str, ...] = ("vmc://127.0.0.1:39539",)
    """Where faces go, as ``SCHEME://HOST:PORT``."""
    bundle: str | None = None
    """Folder with ``bundle.yaml``; the one that ships with EdgeTalk if absent."""
    lookahead: Annotated[int, Between(0, 1000)] | None = None
    """Milliseconds of future audio a face may hear; the bundle's own choice if absent."""
    seed: Annotated[int, Between(0, 2**32 - 1)] = 0
    """Sets blinks, glances, head motion, and what ``temperature`` draws."""
    temperature: Annotated[float, Between(0, 2)] = 0.0
    """Draws the face by its chances, and ``seed``: 0 shows the likeliest one, 1 draws fairly."""
    record: str | None = None
    """File for the faces, as ``OUT.csv``, ``OUT.json``, ``OUT.glb`` or ``FORMAT:OUT``."""
    meter: bool = False
    """Live terminal view."""
    metrics: Annotated[int, Between(0, 65535)] | None = None
    """Port of the Prometheus page on loopback; none if absent, any free one if 0."""
    preview: Annotated[int, Between(0, 65535)] | None = None
    """Port of the page with a live head on loopback; none if absent, any free one if 0."""
    channel: Annotated[int, Between(1, 64)] | None = None
    """Of the microphone or file, from 1; the one with the voice if absent. Never a mean: two
    microphones of an array, or one channel that is not connected, would weaken each other."""
    wait_mic: bool = False
    """Start without the microphone and wait for it, as a service must."""
    record_audio: str | None = None
    """WAV file with the last 5 to 10 minutes heard, for support. Without it no audio is stored."""
    max_latency_ms: Annotated[int, Between(20, 5_000)] = 150
    """A face that would leave later than this after its audio was captured is not sent."""
    realtime: bool = False
    """Run audio and faces before all other programs (SCHED_FIFO) and never swap (mlockall)."""
    engine: Literal["auto", "onnxruntime", "tensorrt", "tensorrt-dla"] = "auto"
    """What runs the networks; ``auto`` takes TensorRT where an engine was built."""
    precision: Literal["fp32", "fp16", "int8"] | None = None
    """Of the networks; the engine's own choice if absent."""
    queue_ms: Annotated[int, Between(10, 10_000)] = 120
    """Audio older than this is dropped, not queued."""
    gains: Mapping[str, Annotated[float, Between(0, 4)]] = field(default_factory=dict)
    """Shape name to the factor it is shown with; 1 where absent, 0 leaves the shape out."""
    emotion: EmotionSettings = field(default_factory=EmotionSettings)
    """The emotion shown from the start."""
    control: ControlSettings | None = field(default_factory=ControlSettings)
    """OSC control; ``null`` turns it off."""


def at_home(path: str | Path) -> Path:
    """A path with its ``~`` replaced, which no shell does in ``--config=~/edge.yaml``."""
    return Path(os.path.expanduser(path))


def read_config(path: Path) -> Config:
    """A YAML file to ``Config``; ``ConfigError`` names the file, the key and the way out."""
    path = at_home(path)
    try:
        raw = read_yaml(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; check --config") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not YAML ({error}); check --config") from error
    return parse({} if raw is None else raw, str(path))


def parse(raw: Any, where: str) -> Config:
    """Plain data to ``Config``, refusing what is not its own; ``where`` begins every message."""
    config: Config = _at_home(read_section(Config, raw, where, ""))
    if not config.mic.strip():
        raise ConfigError(f"{where}: mic: an empty name; give default, a name, an index or a file")
    for key in ("record", "record_audio"):
        if getattr(config, key) is not None and not getattr(config, key).strip():
            raise ConfigError(f"{where}: {key}: an empty name; give a file, or leave it out")
    for shape in config.gains:
        require_known(
            shape, list(INDEX), f"{where}: gains: unknown shape", "see edge-run --list-shapes"
        )
    if config.emotion.name is not None:
        try:
            emotion_named(config.emotion.name)
        except ValueError as error:
            raise ConfigError(f"{where}: emotion.name: {error}") from error
    if config.control is not None:
        _check_control(config.control, where)
    return config


def _at_home(config: Config) -> Config:
    """The same with a ``~`` before or after ``FORMAT:`` replaced, which no shell does there."""
    paths: dict[str, Any] = {}
    for key in ("mic", "bundle", "record", "record_audio"):
        head, tail = _split(getattr(config, key) or "")
        if tail.startswith("~") and (head or key != "mic"):
            paths[key] = head + os.path.expanduser(tail)
    return replace(config, **paths)


def _split(text: str) -> tuple[str, str]:
    found = _HEAD.fullmatch(text)
    assert found  # the pattern fits anything
    return found[1], found[2]


def plain(config: Config) -> dict[str, Any]:
    """What ``parse`` reads back as the same ``Config``."""
    values: dict[str, Any] = _listed(asdict(config))
    return values


def dump(config: Config) -> str:
    """YAML that reads back as the same ``Config``."""
    return str(yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True, width=100))


def changed(old: Config, new: Config) -> list[str]:
    """Names of the top-level keys that differ."""
    return [f.name for f in fields(Config) if getattr(old, f.name) != getattr(new, f.name)]


def _check_control(control: ControlSettings, where: str) -> None:
    try:
        host = ipaddress.ip_address(control.host)
    except ValueError as error:
        raise ConfigError(
            f"{where}: control.host: {quoted(control.host)} is not an address such as 127.0.0.1"
        ) from error
    for row in control.allow:
        try:
            ipaddress.ip_network(row, strict=False)
        except ValueError as error:
            raise ConfigError(
                f"{where}: control.allow: {quoted(row)} is not an address or network "
                "such as 10.0.0.0/24"
            ) from error
    if not host.is_loopback and not control.allow:
        raise ConfigError(
            f"{where}: control.host: {control.host} is open to other machines; "
            "name those that may send in control.allow"
        )


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _listed(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple) else value
