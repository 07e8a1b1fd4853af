"""Score and source to a page for Prometheus, on loopback: ``metrics: PORT`` in edge.yaml."""

from __future__ import annotations

import io
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import accumulate
from typing import Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from edge.contract import ConfigError, MissingError
from edge.service.status_line import AudioCounts, FaceCounts, drops, send_failures

ADDRESS = "127.0.0.1"
MOST_CONNECTIONS = 8
"""At a time, each with a thread; one more ends the oldest."""
ANSWER_WITHIN = 5.0
"""Seconds for a request to come in and be answered."""

log = logging.getLogger(__name__)
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class MetricsPage:
    """A web server in a thread of its own. It only reads counters, and only when asked."""

    def __init__(self, port: int, stats: FaceCounts, source: AudioCounts) -> None:
        """``port`` 0 lets the system choose; ``self.port`` says which it was."""
        try:
            import prometheus_client as prometheus
        except ImportError as error:
            raise MissingError(
                "metrics need prometheus_client: pip install 'edgetalk[metrics]', or leave "
                "'metrics' out of the configuration"
            ) from error
        self._families = prometheus.metrics_core
        self._stats, self._source = stats, source
        registry = prometheus.CollectorRegistry()
        registry.register(self)
        prometheus.ProcessCollector(registry=registry)  # memory, CPU, files, start time
        try:
            self._server = PageServer(port)
        except OSError as error:
            raise MissingError(
                f"metrics: port {port} cannot be opened ({error.strerror}); choose another"
            ) from error
        except OverflowError as error:
            raise ConfigError(f"metrics: {port} is no port; choose 1024 to 65535") from error
        self.port: int = self._server.server_port
        self._server.set_app(_for_this_machine(prometheus.make_wsgi_app(registry), self.port))
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    def collect(self) -> Iterator[Any]:
        """One scrape; everything under it is read without a lock, as whole numbers change whole."""
        stats, source = self._stats, self._source
        counter, gauge = self._families.CounterMetricFamily, self._families.GaugeMetricFamily
        yield labelled(
            counter("edgetalk_faces", "Faces sent.", labels=["kind"]),
            {"speech": stats.faces, "rest": stats.rested},
        )
        yield labelled(
            counter("edgetalk_dropped", "Faces or audio blocks dropped.", labels=["reason"]),
            drops(stats, source),
        )
        yield labelled(
            counter("edgetalk_send_failures", "Datagrams the system refused.", labels=["to"]),
            send_failures(stats),
        )
        p50, p99 = (ms / 1000 for ms in stats.latency_ms())
        yield labelled(
            gauge("edgetalk_latency_quantile_seconds", "In the last minute.", labels=["quantile"]),
            {"0.5": p50, "0.99": p99},
        )
        if histogram := getattr(stats, "histogram", None):
            bounds, counts, total = histogram()
            le = [*map(str, bounds), "+Inf"]
            buckets = list(zip(le, accumulate(counts), strict=True))
            yield self._families.HistogramMetricFamily(
                "edgetalk_latency_seconds", "Capture to packet.", buckets, total
            )
        state = str(getattr(source, "state", "")) or "unknown"
        yield labelled(
            gauge("edgetalk_microphone", "1 for the state it is in.", labels=["state"]), {state: 1}
        )
        yield counter(
            "edgetalk_reconnects", "Microphone reopened.", getattr(source, "reconnects", 0)
        )

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def labelled(family: Any, values: Mapping[str, float]) -> Any:
    """A family with one sample per label value."""
    for label, value in values.items():
        family.add_metric([label], value)
    return family


class QuietHandler(WSGIRequestHandler):
    """Logs nothing, and waits for nobody longer than ``ANSWER_WITHIN``."""

    timeout = ANSWER_WITHIN

    def log_message(self, format: str, *args: Any) -> None:
        """Not a line for each scrape."""

    def get_stderr(self) -> TextIO:
        """Where wsgiref writes a traceback when a client is gone."""
        return io.StringIO()


class PageServer(socketserver.ThreadingMixIn, WSGIServer):
    """A thread for each of a few connections, all of which end in time."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._open: dict[Any, float] = {}
        self.troubles = 0
        """Connections that failed, the first of which was logged."""
        super().__init__((ADDRESS, port), QuietHandler)

    def server_bind(self) -> None:
        """As the base class, but without asking a name server for our name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or drop it if no place becomes free."""
        if not self._free.acquire(blocking=False):
            for oldest in list(self._open)[:1]:
                _end(oldest)
            if not self._free.acquire(timeout=1.0):
                self.shutdown_request(request)
                return
        self._open[request] = self._clock() + ANSWER_WITHIN
        try:
            super().process_request(request, client_address)
        except BaseException:  # the system has no thread left
            self._release(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The work of one thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._release(request)

    def _release(self, request: Any) -> None:
        self._open.pop(request, None)
        self._free.release()

    def service_actions(self) -> None:
        """Twice a second: end who sends a letter at a time, which no time-out of a socket sees."""
        now = self._clock()
        for request, due in list(self._open.items()):
            if now >= due:
                _end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the first error and count the others."""
        if not self.troubles:
            log.warning("metrics: %r; counted from now on", sys.exc_info()[1])
        self.troubles += 1


def _end(connection: Any) -> None:
    """Let the thread that waits for this connection read its end."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _for_this_machine(page: Wsgi, port: int) -> Wsgi:
    """The page for who asks for this machine by its own name, as in ``edge.preview.server``."""
    hosts = (f"{ADDRESS}:{port}", f"localhost:{port}")

    def guarded(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        # A name that some site had pointed at 127.0.0.1 (DNS rebinding) would be in Host.
        if environ.get("HTTP_HOST") not in hosts:
            start("403 Forbidden", [("Content-Type", "text/plain")])
            return [f"ask for http://{hosts[0]}/metrics itself\n".encode()]
        return page(environ, start)

    return guarded
