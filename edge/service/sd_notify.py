"""Faces that left to what systemd wants to know: READY, WATCHDOG, STATUS, STOPPING (sd_notify)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

from edge.contract import BlendshapeFrame
from edge.service.status_line import AudioCounts, FaceCounts, StatusLine

PATIENCE = 3.0
"""Seconds of faces at rest that count as a start too: a kiosk that boots without its microphone
waits for it, and the first sound of a PulseAudio device was measured to take up to 1.9 s."""

STATUS_EVERY = 2.0
"""Seconds; each one is a message to everybody who watches the unit."""


class Notify:
    """Datagrams to the service manager."""

    def __init__(self, address: str) -> None:
        # A leading @ stands for the NUL of an abstract socket.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def __call__(self, *lines: str) -> bool:
        """Send; ``False`` if the manager is gone or busy, which must never stop a face."""
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()


class Service:
    """The last sink: every face that gets here has left. A face is what feeds the watchdog."""

    def __init__(
        self,
        notify: Notify,
        watchdog: float | None,
        stats: FaceCounts,
        source: AudioCounts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``watchdog`` is the seconds after which systemd kills a silent service."""
        self._notify, self._clock, self._stats = notify, clock, stats
        self._feed_every = watchdog / 4 if watchdog else float("inf")
        now = clock()
        self._feed_at = now if watchdog else float("inf")
        self._status_at = now + STATUS_EVERY
        self._patient_till: float | None = None
        self._ready = False
        self._report = StatusLine(stats, source, now)

    def send(self, frame: BlendshapeFrame) -> None:
        """A face left. At most a few datagrams in two seconds go to systemd."""
        now = self._clock()
        if self._patient_till is None:
            self._patient_till = now + PATIENCE
        if not self._ready and (self._stats.faces or now >= self._patient_till):
            self._ready = self._notify("READY=1")
        if now >= self._feed_at and self._notify("WATCHDOG=1"):
            self._feed_at = now + self._feed_every
        if now >= self._status_at:
            self._notify(f"STATUS={self._report.line(now)[0]}")
            self._status_at = now + STATUS_EVERY

    def reloading(self) -> None:
        """The configuration is about to be read again; the next face makes the service ready."""
        stamp = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notify("RELOADING=1", f"MONOTONIC_USEC={stamp}")
        self._ready = False

    def close(self) -> None:
        """Say that the end is meant."""
        self._notify("STOPPING=1")
        self._notify.close()


def managed(environ: Mapping[str, str] = os.environ) -> bool:
    """Does a service manager listen? Then nobody is there to plug in a microphone and try again."""
    return environ.get("NOTIFY_SOCKET", "").startswith(("/", "@"))


def open_service(
    stats: FaceCounts,
    source: AudioCounts,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.monotonic,
) -> Service | None:
    """The sink for systemd, or ``None`` where nobody asked to be told."""
    if not managed(environ):
        return None
    mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    usec = int(environ.get("WATCHDOG_USEC", 0)) if mine else 0
    return Service(Notify(environ["NOTIFY_SOCKET"]), usec / 1e6 or None, stats, source, clock)
