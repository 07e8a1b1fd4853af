"""Datagrams to one host and port, without ever waiting for the network."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from typing import Any

from edge.contract import MissingError

log = logging.getLogger(__name__)

RESOLVE_EVERY = 30.0
"""Seconds between look-ups of a host's name: its address may change under DHCP."""


class UdpTarget:
    """An unconnected UDP socket and where it sends; broadcast and multicast are addresses, too.

    Unconnected, because a connected one raises on every second send while nobody listens.
    """

    def __init__(self, host: str, port: int, every: float = RESOLVE_EVERY) -> None:
        """``MissingError`` if the host has no address."""
        try:
            # Resolved once: a name lookup inside ``send`` could stall the face.
            every_address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: no host can have that name
            raise MissingError(f"cannot find host '{host}' ({error}); check the output") from error
        # IPv4 if there is one: ``localhost`` is often ::1 first, receivers bind 0.0.0.0, and nobody
        # tells a sender of UDP that none listens.
        found = min(every_address, key=lambda a: a[0] != socket.AF_INET)
        self._family = found[0]
        self._socket = self.open_socket()
        self._socket.setblocking(False)
        self._address: Any = found[4]
        self._host, self._port, self._every = host, port, every
        self._closed = threading.Event()
        self.name = f"{host}:{port}"
        self.sent = 0
        """Datagrams that the system took."""
        self.failed = 0
        """Datagrams that the system refused (network down, buffer full)."""
        self.refusal = ""
        """Why the last refused one was."""
        if not _is_number(host):
            self._start_resolving()

    @property
    def address(self) -> Any:
        """What ``connect`` and ``sendto`` take: the very address that datagrams go to."""
        return self._address

    def open_socket(self) -> socket.socket:
        """A socket that may send to ``address``, for a probe or for the faces."""
        opened = _open(self._family)
        # The system alone knows which addresses are a network's broadcast address.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return opened

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Hand one datagram to the system; a refusal is counted and logged once."""
        try:
            self._socket.sendto(data, self._address)
            self.sent += 1
        except OSError as error:
            if not self.failed:
                log.warning("cannot send to %s: %s", self.name, error)
            self.refusal = error.strerror or str(error)
            self.failed += 1

    def receive(self) -> bytes | None:
        """A waiting datagram from the host we send to; None if there is none."""
        try:
            data, sender = self._socket.recvfrom(2048)
        except OSError:
            return None
        return data if sender[0] == self._address[0] else None

    def resolve(self) -> None:
        """Look the host up again; a failure keeps the last address."""
        try:
            found = socket.getaddrinfo(self._host, self._port, self._family, socket.SOCK_DGRAM)
        except OSError:
            return
        self._address = found[0][4]

    def _start_resolving(self) -> None:
        thread = threading.Thread(target=self._keep_resolved, name="resolve", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # a limit on tasks
            self._socket.close()
            raise MissingError(f"no thread to look up host '{self._host}' ({error})") from error

    def _keep_resolved(self) -> None:
        while not self._closed.wait(self._every):
            self.resolve()

    def close(self) -> None:
        """Release the socket."""
        self._closed.set()
        self._socket.close()


def _open(family: int) -> socket.socket:
    try:
        return socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:  # too many open files, or no IPv6 in this kernel
        raise MissingError(f"no socket for an output ({error.strerror})") from error


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
