"""Files and sockets to browsers on this machine, and to nobody else. A thread of its own."""

from __future__ import annotations

import asyncio
import json
import logging
import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from edge.contract import ARKIT_52, FPS, MissingError
from edge.emotion import load_emotions

ADDRESS, PORT = "127.0.0.1", 39542
PAGE = Path(__file__).with_name("page")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".wav": "audio/wav",
    ".bin": "application/octet-stream",
}
MOST_TABS = 32
MOST_BYTES = 2048
"""Of a message from a page; as of a control datagram."""
BEHIND = 8192
"""Bytes waiting for a tab, about 30 faces, beyond which it gets no more until it has read some."""
PAUSE = 0.02
"""Seconds after each OSC message taken from one tab; a bundle holds many."""
MOST_OPENING = 16
"""Connections that have not become a tab yet; one more ends the oldest of them."""
OPEN_WITHIN = 5.0
"""Seconds for a request to come in and be answered."""

log = logging.getLogger(__name__)

Take = Callable[[bytes], int | None]
"""Gets a tab's binary message; says how many messages were in it, ``None`` is one."""


def about(mode: str, title: str) -> bytes:
    """What a page must know before anything else."""
    facts = {"mode": mode, "title": title, "names": ARKIT_52, "fps": FPS}
    return json.dumps(facts | {"emotions": list(load_emotions()[0])}).encode()


class PreviewServer:
    """Serves ``page/`` and ``files``, and a web socket at ``/live``."""

    def __init__(
        self,
        port: int,
        files: Mapping[str, bytes],
        take: Take | None = None,
        most: int = MOST_BYTES,
        pause: float = PAUSE,
    ) -> None:
        """``take`` gets each binary message of a tab, at most ``most`` bytes; port 0 is any."""
        try:
            import websockets.asyncio.server as guest
        except ImportError as error:
            raise MissingError(
                "the preview needs websockets: pip install 'edgetalk[preview]'"
            ) from error
        self._guest, self._take, self._most, self._pause = guest, take, most, pause
        self._files = {f"/{p.name}": p.read_bytes() for p in PAGE.iterdir() if p.suffix in TYPES}
        self._files |= files
        if "/index.html" not in self._files:
            raise MissingError(f"{PAGE} has no index.html; run `npm ci && npm run build` in page/")
        self.loop = _new_loop()
        try:
            self._socket = _bind(port)
        except MissingError:
            self.loop.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{ADDRESS}:{self.port}/"
        self._hosts = (f"{ADDRESS}:{self.port}", f"localhost:{self.port}")
        self.tabs: set[Any] = set()
        self.skipped = 0
        """Messages that a tab did not get because it had not read the ones before."""
        self.troubles = 0
        """Errors of the system, such as no file left for a connection; the first one is logged."""
        self._opening: dict[Any, None] = {}
        self.loop.set_exception_handler(self._trouble)
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="preview", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            self.loop.close()

    def _trouble(self, _: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        # asyncio would log a page for each of 100 attempts a second while no file is left.
        if not self.troubles:
            why = context.get("exception") or "no reason given"
            log.warning("preview: %s (%s); counted from now on", context.get("message"), why)
        self.troubles += 1

    def _connection_class(self) -> Any:
        """A connection of ``websockets`` that is one of few while it opens."""
        opening = self._opening

        class Connection(self._guest.ServerConnection):  # type: ignore[misc,name-defined]
            """Ends the oldest of those that open, so that idle ones keep nobody out."""

            def connection_made(self, transport: Any) -> None:
                """Of asyncio: a client is there."""
                super().connection_made(transport)
                opening[transport] = None
                if len(opening) > MOST_OPENING:
                    oldest = next(iter(opening))
                    del opening[oldest]
                    oldest.abort()

            def connection_lost(self, error: Exception | None) -> None:
                """Of asyncio: the client is gone."""
                opening.pop(self.transport, None)
                super().connection_lost(error)

        return Connection

    async def _serve(self) -> None:
        quiet = logging.getLogger("edge.preview.websockets")
        quiet.setLevel(logging.CRITICAL + 1)  # whoever scans ports must not fill the journal
        async with self._guest.serve(
            self._tab,
            sock=self._socket,
            process_request=self._admit,
            compression=None,  # would cost more than loopback does
            max_size=self._most,
            server_header=None,
            logger=quiet,
            create_connection=self._connection_class(),
            open_timeout=OPEN_WITHIN,
            close_timeout=OPEN_WITHIN,
        ):
            await self._stop.wait()

    async def _tab(self, tab: Any) -> None:
        self._opening.pop(tab.transport, None)
        self.tabs.add(tab)
        try:
            async for data in tab:
                count = 1
                if self._take is not None and isinstance(data, bytes):
                    count = self._take(data) or 1
                await asyncio.sleep(self._pause * count)
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "websockets":
                raise  # ours; what a browser does wrong only closes its tab
        finally:
            self.tabs.discard(tab)

    def tell(self, message: bytes | str) -> None:
        """Send to every tab that keeps up; in the server's own thread."""
        ready = [t for t in self.tabs if t.transport.get_write_buffer_size() <= BEHIND]
        self.skipped += len(self.tabs) - len(ready)
        self._guest.broadcast(ready, message)

    def _admit(self, tab: Any, request: Any) -> Any:
        """Answer with a file or a refusal; ``None`` goes on to a web socket."""
        hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        path = request.path.partition("?")[0]
        if getattr(request, "method", "GET") != "GET":  # older websockets take nothing else
            return self._answer(405, "only GET")
        # A name that some site had pointed at 127.0.0.1 (DNS rebinding) would be in Host.
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return self._answer(403, f"open {self.url} itself")
        if path == "/live":
            if origins != [f"http://{hosts[0]}"]:
                return self._answer(403, "other sites may not look")
            if len(self.tabs) >= MOST_TABS:
                return self._answer(503, f"{MOST_TABS} tabs are open already")
            return None
        if origins and origins != [f"http://{hosts[0]}"]:
            return self._answer(403, "other sites may not look")
        name = "/index.html" if path == "/" else path
        if name not in self._files:
            return self._answer(404, f"there is no {path!a}")
        return self._answer(200, self._files[name], TYPES[Path(name).suffix])

    def _answer(self, status: int, body: str | bytes, kind: str = TYPES[".txt"]) -> Any:
        from websockets.datastructures import Headers
        from websockets.http11 import Response

        data = body.encode() + b"\n" if isinstance(body, str) else body
        sockets = " ".join(f"ws://{host}" for host in self._hosts)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "Cache-Control": "no-store",
            "Connection": "close",
            # blob: and data: are the user's own avatar, unpacked by the page.
            "Content-Security-Policy": f"default-src 'self'; connect-src 'self' blob: {sockets}; "
            "img-src 'self' blob: data:; media-src 'self' blob:; frame-ancestors 'none'; "
            "base-uri 'none'; form-action 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(status, HTTPStatus(status).phrase, Headers(headers), data)

    def close(self) -> None:
        """Close every tab's socket, end the thread, release the port."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(5.0)


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop, or ``OSError`` where too few files are left for one."""
    # Asked for before: a loop that got some of them complains at its end, past every handler.
    with selectors.DefaultSelector():
        for end in socket.socketpair():
            end.close()
    return asyncio.new_event_loop()


def _bind(port: int) -> socket.socket:
    try:
        return socket.create_server((ADDRESS, port))
    except OSError as error:
        raise MissingError(
            f"preview port {port} cannot be opened ({error.strerror}); "
            "is another preview open? choose another with --preview PORT"
        ) from error
