"""A UDP port to ``ControlCommands``, with so little work that a flood does not delay a face."""

from __future__ import annotations

import logging
import selectors
import socket
import struct
import sys
import threading

from edge.config import ControlSettings
from edge.contract import MissingError
from edge.control.commands import MOST_BYTES, ControlCommands

log = logging.getLogger(__name__)

PORT = 39541
BURST, PAUSE = 16, 0.02
"""After 16 messages the thread sleeps 20 ms, so a flood costs at most 800 messages a second of
interpreter time. The system's buffer holds a burst meanwhile and drops the rest."""
BUFFER = 65536

Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""One that takes no file of its own."""

SO_RXQ_OVFL = 40  # Linux; not in Python's socket module


class ControlListener:
    """The sockets and the thread that feed ``ControlCommands``."""

    def __init__(self, commands: ControlCommands, config: ControlSettings) -> None:
        """``MissingError`` if the port is taken."""
        self._commands = commands
        port = PORT if config.port is None else config.port
        self._sockets = [_bind(config.host, port), *_other_loopback(config.host, port)]
        self._overflow = dict.fromkeys(self._sockets, 0)
        self.address: tuple[str, int] = self._sockets[0].getsockname()[:2]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="control", daemon=True)
        self._ready = Selector()
        for listening in self._sockets:
            self._ready.register(listening, selectors.EVENT_READ)
        try:
            self._thread.start()
        except RuntimeError as error:  # a limit on tasks
            self._release()
            raise MissingError(f"control on port {port} cannot start ({error})") from error

    def _listen(self) -> None:
        done = 0
        while not self._stop.is_set():
            ready = self._ready.select(0.25)
            if not ready:
                done = 0
            for key, _ in ready:
                done += self._take(key.fileobj)  # type: ignore[arg-type]
            if done >= BURST:
                self._stop.wait(PAUSE * done / BURST)
                done = 0

    def _take(self, listening: socket.socket) -> int:
        """One datagram; returns the messages looked at."""
        try:
            return self._one(listening)
        except OSError as error:
            # Linux reports an earlier answer that nobody took; the port itself is fine.
            self._commands.refuse("socket", str(error))
        except Exception as error:  # nothing that a datagram does may end control
            self._commands.refuse("error", repr(error))
        return 1

    def _one(self, listening: socket.socket) -> int:
        data, extra, flags, sender = listening.recvmsg(MOST_BYTES, 64)
        for level, kind, raw in extra:
            if level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL:
                (lost,) = struct.unpack("I", raw)
                if more := (lost - self._overflow[listening]) % 2**32:
                    self._commands.refuse("flood", "more than the control port takes", more)
                    self._overflow[listening] = lost
        spent, answers = self._commands.take(data, sender[0], bool(flags & socket.MSG_TRUNC))
        for answer in answers:
            listening.sendto(answer, sender)
        return spent

    def close(self) -> None:
        """End the thread, then release the port."""
        self._stop.set()
        self._thread.join(1.0)
        self._release()

    def _release(self) -> None:
        self._ready.close()
        for listening in self._sockets:
            listening.close()


OTHER_LOOPBACK = {"127.0.0.1": "::1", "::1": "127.0.0.1", "0.0.0.0": "::1"}
"""``localhost`` may mean either to a client; ``::`` hears both."""


def _other_loopback(host: str, port: int) -> list[socket.socket]:
    """The loopback that ``host`` does not include; none where it is absent or taken."""
    other = OTHER_LOOPBACK.get(host)
    try:
        return [_bind(other, port)] if other else []
    except MissingError as error:
        log.info("control is not open on %s: %s", other, error.__cause__)
        return []


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:  # no IPv6 in this kernel, or too many open files
        raise MissingError(f"no socket for control on {host} ({error.strerror})") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        if family == socket.AF_INET6:
            # "::" takes IPv4 as well, whatever the system's default is; ::1 has no IPv4 side.
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host == "::1")
        if sys.platform == "linux":  # have the system count what it drops
            listening.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        listening.setblocking(False)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise MissingError(
            f"control port {port} on {host} cannot be opened ({error.strerror}); "
            "is another edge-run using it? choose another with --control PORT, or --control off"
        ) from error
    return listening
