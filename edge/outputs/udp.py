"""Datagrams to one host and port, without ever waiting for the network."""

from __future__ import annotations

import logging
import socket

from edge.contract import MissingError

log = logging.getLogger(__name__)


class Target:
    """An unconnected UDP socket and where it sends.

    Unconnected, because a connected one raises on every second send while nobody listens.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            # Resolved once: a name lookup inside ``send`` could stall the face.
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except (OSError, UnicodeError) as error:  # UnicodeError: no host can have that name
            raise MissingError(f"cannot find host '{host}' ({error}); check the output") from error
        self._socket = socket.socket(found[0], socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._address = found[4]
        self.name = f"{host}:{port}"
        self.failed = 0
        """Datagrams that the system refused (network down, buffer full)."""

    def send(self, data: bytes | bytearray) -> None:
        """Hand one datagram to the system; a refusal is counted and logged once."""
        try:
            self._socket.sendto(data, self._address)
        except OSError as error:
            if not self.failed:
                log.warning("cannot send to %s: %s", self.name, error)
            self.failed += 1

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()
