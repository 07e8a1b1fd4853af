"""A sound server of one's own, with a voice playing into microphones that can be unplugged."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import DEMO
from edge.audio.audio_file import read_audio

Daemons = tuple[tuple[str, ...], ...]

PIPEWIRE: Daemons = (("pipewire",), ("wireplumber",), ("pipewire-pulse",))
PULSEAUDIO: Daemons = (
    (
        "pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1",
        "--load=module-native-protocol-unix auth-anonymous=1 socket={folder}/pulse/native",
    ),
)  # fmt: skip
"""Daemons of the two servers, in the order of starting; a null sink's monitor is a microphone."""


def missing_tools(daemons: Daemons = PIPEWIRE) -> list[str]:
    """What must be installed (apt: dbus pulseaudio-utils, and pulseaudio or all of PipeWire)."""
    tools = ("dbus-daemon", *(name for name, *_ in daemons), "pactl", "pacat")
    return [tool for tool in tools if not shutil.which(tool)]


class SoundServer:
    """In its own XDG_RUNTIME_DIR; this process's own audio clients are led to it."""

    def __init__(self, daemons: Daemons = PIPEWIRE) -> None:
        self._commands = daemons
        self._folder = tempfile.TemporaryDirectory(prefix="edge-sound-")
        self.folder = Path(self._folder.name)
        self._before = {k: os.environ.get(k) for k in ("XDG_RUNTIME_DIR", "PULSE_SOURCE")}
        self._env = os.environ | {"XDG_RUNTIME_DIR": str(self.folder), "HOME": str(self.folder)}
        self._env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={self.folder}/bus"
        os.environ["XDG_RUNTIME_DIR"] = str(self.folder)
        self._modules: dict[str, str] = {}
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._players: dict[str, subprocess.Popen[bytes]] = {}
        self._bus = self._spawn(
            "dbus-daemon", "--session", "--nofork", f"--address=unix:path={self.folder}/bus"
        )
        self.start()

    def _spawn(self, *command: str, **more: Any) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, env=self._env, stdout=quiet, stderr=quiet, **more)

    def start(self) -> None:
        """Start the daemons and wait until they answer."""
        (self.folder / "pulse").mkdir(mode=0o700, exist_ok=True)
        for command in self._commands:
            here = (part.format(folder=self.folder) for part in command)
            self._daemons.append(self._spawn(*here))
            time.sleep(0.3)
        till = time.monotonic() + 15
        while subprocess.run(["pactl", "info"], env=self._env, capture_output=True).returncode:
            if time.monotonic() > till:
                raise RuntimeError(f"{self._commands[0][0]} does not answer within 15 s")
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill the daemons, and with them every source."""
        for process in [*self._players.values(), *reversed(self._daemons)]:
            process.kill()
            process.wait()
        self._daemons, self._players, self._modules = [], {}, {}

    def freeze(self, yes: bool) -> None:
        """Stop or continue the daemons without their clients noticing."""
        for process in self._daemons:
            process.send_signal(19 if yes else 18)

    def pactl(self, *args: str) -> str:
        """What pactl prints."""
        done = subprocess.run(["pactl", *args], env=self._env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"pactl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def suspend(self, name: str, yes: bool) -> None:
        """Let a microphone sleep, as a server does with one that is idle, or wake it."""
        self.pactl("suspend-sink", name, str(int(yes)))  # and its monitor with it

    def plug(self, name: str, rate: int = 48_000, channels: int = 1) -> str:
        """A microphone; returns its source name."""
        self._modules[name] = self.pactl(
            "load-module", "module-null-sink", f"sink_name={name}", f"rate={rate}",
            f"channels={channels}",
        )  # fmt: skip
        return f"{name}.monitor"

    def unplug(self, name: str) -> None:
        """The microphone disappears."""
        self.mute(name)
        self.pactl("unload-module", self._modules.pop(name))

    def play(self, name: str, samples: np.ndarray, rate: int = 16_000) -> None:
        """Play (n,) or (n, channels) float samples into a microphone, in the background."""
        self.mute(name)
        path = self.folder / f"{name}.raw"
        path.write_bytes(np.asarray(samples, "<f4").tobytes())
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        self._players[name] = self._spawn(
            "pacat", "--playback", f"--device={name}", "--format=float32le", f"--rate={rate}",
            f"--channels={channels}", "--latency-msec=100", str(path),
        )  # fmt: skip

    def mute(self, name: str) -> None:
        """Stop what plays into a microphone."""
        if player := self._players.pop(name, None):
            player.kill()
            player.wait()

    def close(self) -> None:
        """End everything and lead clients back."""
        self.kill()
        self._bus.kill()
        self._bus.wait()
        self._folder.cleanup()
        for key, value in self._before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def voice(seconds: float) -> np.ndarray:
    """The demo clip over and over, 16 kHz."""
    demo = read_audio(DEMO)
    return np.tile(demo, int(seconds * 16_000 / len(demo)) + 1)
