"""Running faces to browser tabs, and a tab's commands to the running face."""

from __future__ import annotations

import json

import numpy as np

from edge.audio.capture import Source
from edge.contract import SAMPLE_RATE, BlendshapeFrame
from edge.control.commands import ControlCommands, Status
from edge.control.live_settings import LiveSettings
from edge.preview.server import PreviewServer, about
from edge.run_stats import RunStats
from edge.service.status_line import drops

FIGURES_EVERY = 0.2
"""Seconds."""


class Preview:
    """A sink that only remembers the newest face; the server's thread passes it on."""

    duty = "meter"

    def __init__(
        self,
        port: int,
        title: str,
        live: LiveSettings,
        status: Status,
        stats: RunStats,
        source: Source,
    ) -> None:
        self._live, self._status, self._stats, self._source = live, status, stats, source
        # What a page sends are OSC messages: checked and counted like a controller's.
        self._commands = ControlCommands(live, status)
        self._frame: BlendshapeFrame | None = None
        self._woken = False
        files = {"/about.json": about("live", title)}
        self._server = PreviewServer(port, files, self._take)
        self.url = self._server.url
        self._server.loop.call_soon_threadsafe(self._figures)

    def send(self, frame: BlendshapeFrame) -> None:
        """Remember the face; wake the other thread if somebody looks."""
        self._frame = frame
        if self._server.tabs and not self._woken:
            self._woken = True
            self._server.loop.call_soon_threadsafe(self._pass_on)

    def _pass_on(self) -> None:
        self._woken = False
        if (frame := self._frame) is not None:
            self._server.tell(encode(frame))

    def _take(self, data: bytes) -> int:
        return self._commands.take(data, "127.0.0.1")[0]

    def _figures(self) -> None:
        # First, so that a figure that fails once is not the last one.
        self._server.loop.call_later(FIGURES_EVERY, self._figures)
        if self._server.tabs:
            bounds, counts, _ = self._stats.histogram()
            figures = self._status() | {
                "drops": drops(self._stats, self._source),
                "microphone": getattr(self._source, "state", "a file"),
                "declared_ms": round(self._live.pipeline.delay * 1000),
                "level_db": round(float(self._frame.level_db), 1) if self._frame else None,
                "histogram": {"bounds_ms": [round(b * 1000, 3) for b in bounds], "counts": counts},
                "tabs": len(self._server.tabs),
                "skipped": self._server.skipped,
                "troubles": self._server.troubles,
            }
            self._server.tell(json.dumps(figures))

    def close(self) -> None:
        """Close the tabs' sockets and release the port."""
        self._server.close()


def encode(frame: BlendshapeFrame) -> bytes:
    """52 weights, head (pitch, yaw, roll in rad), level in dBFS, seconds of audio: 57 floats.

    Little-endian, as every browser reads a Float32Array.
    """
    rest = np.array([*frame.head, frame.level_db, frame.end / SAMPLE_RATE])
    return np.concatenate([frame.weights, rest]).astype("<f4").tobytes()
