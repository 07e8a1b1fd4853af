"""A UDP port to ``ControlCommands``, with so little work that a flood does not delay a face."""

from __future__ import annotations

import socket
import struct
import sys
import threading

from edge.config import ControlSettings
from edge.contract import MissingError
from edge.control.commands import MOST_BYTES, ControlCommands

PORT = 39541
BURST, PAUSE = 16, 0.02
"""After 16 messages the thread sleeps 20 ms, so a flood costs at most 800 messages a second of
interpreter time. The system's buffer holds a burst meanwhile and drops the rest."""
BUFFER = 65536

SO_RXQ_OVFL = 40  # Linux; not in Python's socket module


class ControlListener:
    """The socket and the thread that feed ``ControlCommands``."""

    def __init__(self, orders: ControlCommands, config: ControlSettings) -> None:
        """``MissingError`` if the port is taken."""
        self._orders, self._overflow = orders, 0
        self._socket = _bind(config.host, PORT if config.port is None else config.port)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="control", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        done = 0
        while not self._stop.is_set():
            try:
                done += self._one()
            except TimeoutError:
                done = 0
            except OSError as error:
                # Linux reports an earlier answer that nobody took; the port itself is fine.
                self._orders.refuse("socket", str(error))
                done += 1
            if done >= BURST:
                self._stop.wait(PAUSE * done / BURST)
                done = 0

    def _one(self) -> int:
        data, extra, flags, sender = self._socket.recvmsg(MOST_BYTES, 64)
        for level, kind, raw in extra:
            if level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL:
                (lost,) = struct.unpack("I", raw)
                if lost != self._overflow:
                    more = (lost - self._overflow) % 2**32
                    self._orders.refuse("flood", "more than the control port takes", more)
                    self._overflow = lost
        spent, answers = self._orders.take(data, sender[0], bool(flags & socket.MSG_TRUNC))
        for answer in answers:
            self._socket.sendto(answer, sender)
        return spent

    def close(self) -> None:
        """End the thread, then release the port."""
        self._stop.set()
        self._thread.join(1.0)
        self._socket.close()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_DGRAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        if sys.platform == "linux":  # have the system count what it drops
            listening.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        listening.settimeout(0.25)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise MissingError(
            f"control port {port} on {host} cannot be opened ({error.strerror}); "
            "is another edge-run using it? choose another with --control PORT, or --control off"
        ) from error
    return listening
