"""Idle, slow and hostile connections cost few threads and few lines, and keep nobody out."""

from __future__ import annotations

import http.client
import logging
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from edge.config import Config
from edge.control.commands import ControlCommands
from edge.control.listener import ControlListener, ControlSettings
from edge.control.live_settings import LiveSettings
from edge.outputs.osc import message
from tests.fakes import FakeClock
from tests.test_control_orders import Desk

prometheus = pytest.importorskip("edge.service.prometheus")


class Stats:
    faces = rested = 0

    def latency_ms(self) -> tuple[float, float]:
        return 0.0, 0.0


class Source:
    dropped = 0


def wait_until(true: Any) -> None:
    """Give the other thread up to 5 s."""
    waited = threading.Event()
    for _ in range(500):
        if true():
            return
        waited.wait(0.01)
    raise AssertionError("it never came true")


def ask(port: int, method: str = "GET", path: str = "/", **headers: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as client:
        client.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items():
            client.putheader(name, value)
        client.endheaders()
        answer = client.getresponse()
        return answer.status, answer.read()


def idle(stack: ExitStack, port: int, count: int, sent: bytes = b"") -> None:
    """So many connections of which nothing more comes."""
    for _ in range(count):
        one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        one.sendall(sent)


@pytest.fixture
def metrics() -> Iterator[Any]:
    pytest.importorskip("prometheus_client", reason="THE METRICS WERE NOT TRIED: not installed")
    page = prometheus.MetricsPage(0, Stats(), Source())
    yield page
    page.close()


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: "])
def test_idle_connections_to_the_metrics_take_few_threads_and_keep_no_scrape_out(
    metrics: Any, sent: bytes
) -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        idle(stack, metrics.port, 100, sent)
        status, body = ask(metrics.port, path="/metrics")
        assert threading.active_count() - before <= prometheus.MOST_CONNECTIONS
    assert status == 200
    assert b"edgetalk_faces_total" in body


def test_a_client_that_sends_a_letter_at_a_time_is_ended(metrics: Any) -> None:
    server, clock = metrics._server, FakeClock(time.monotonic())
    server._clock = clock
    with closing(socket.create_connection(("127.0.0.1", metrics.port), timeout=5)) as slow:
        slow.sendall(b"GET /metrics HT")
        wait_until(lambda: server._open)
        server.service_actions()
        assert server._open
        clock.now += prometheus.ANSWER_WITHIN + 1
        wait_until(lambda: not server._open)  # its own thread looks twice a second


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "", "localhost:1"])
def test_the_metrics_are_not_for_another_name(metrics: Any, host: str) -> None:
    assert ask(metrics.port, path="/metrics", Host=host)[0] == 403
    assert ask(metrics.port, path="/metrics", Host=f"localhost:{metrics.port}")[0] == 200


def test_the_metrics_take_no_other_method(metrics: Any) -> None:
    assert ask(metrics.port, "POST", "/metrics")[0] == 405


def test_no_name_server_is_asked_for_the_name_of_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("prometheus_client", reason="THE METRICS WERE NOT TRIED: not installed")
    monkeypatch.setattr(socket, "getfqdn", None)
    prometheus.MetricsPage(0, Stats(), Source()).close()


def no_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_page_that_gets_no_thread_says_so_once_and_goes_on(
    metrics: Any, caplog: pytest.LogCaptureFixture
) -> None:
    start = threading.Thread.start
    threading.Thread.start = no_thread  # type: ignore[method-assign]
    try:
        for _ in range(2 * prometheus.MOST_CONNECTIONS):
            with pytest.raises((http.client.HTTPException, OSError)):
                ask(metrics.port, path="/metrics")
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
    assert ask(metrics.port, path="/metrics")[0] == 200
    assert metrics._server.troubles == 2 * prometheus.MOST_CONNECTIONS
    lines = [r.getMessage() for r in caplog.records if r.name == "edge.service.prometheus"]
    assert lines == ["""metrics: RuntimeError("can't start new thread"); counted from now on"""]


def test_a_reload_that_gets_no_thread_is_an_error_line_and_the_next_one_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk, clock, read = Desk(), FakeClock(), threading.Event()

    def load() -> Config:
        read.set()
        return desk.live.config

    live = LiveSettings(
        desk.live.bundle, desk.live.pipeline, desk.live.outputs, desk.live.config, load, clock
    )
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        live.reload()
    assert "reload: can't start new thread; the old configuration runs on" in caplog.text
    clock.now += 2
    assert live.reload()
    assert read.wait(5)


def test_a_reload_whose_file_makes_anything_fail_leaves_the_old_configuration(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()

    def load() -> Config:
        raise MemoryError

    live = desk.live
    LiveSettings(live.bundle, live.pipeline, live.outputs, live.config, load).read_again()
    assert "reload refused, the old configuration runs on: MemoryError()" in caplog.text


def test_the_control_thread_outlives_any_exception(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    commands = ControlCommands(desk.live, dict)
    take = commands.take

    def broken(data: bytes, sender: str, cut: bool = False) -> tuple[int, list[bytes]]:
        if data == b"break":
            raise KeyError("a fault of ours")
        return take(data, sender, cut)

    commands.take = broken  # type: ignore[method-assign]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        with closing(ControlListener(commands, ControlSettings(port=port))):
            client.settimeout(5)
            for _ in range(3):
                client.sendto(b"break", ("127.0.0.1", port))
            client.sendto(message("/edge/ping", 7), ("127.0.0.1", port))
            assert b"/edge/pong" in client.recv(2048)
    assert commands.refused["error"] == 3
    assert caplog.text.count("a fault of ours") == 1


@pytest.fixture
def preview() -> Iterator[Any]:
    pytest.importorskip("websockets", reason="THE PREVIEW WAS NOT TRIED: no websockets")
    from edge.preview.server import PreviewServer, about

    server = PreviewServer(0, {"/about.json": about("live", "")})
    yield server
    server.close()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_idle_connections_to_the_preview_are_few_and_keep_no_page_out(
    preview: Any, sent: bytes
) -> None:
    from edge.preview.server import MOST_OPENING

    with ExitStack() as stack:
        idle(stack, preview.port, 300, sent)
        assert ask(preview.port, path="/about.json")[0] == 200
        assert len(preview._opening) <= MOST_OPENING


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE"])
def test_the_preview_takes_no_other_method(preview: Any, method: str) -> None:
    try:
        status, _ = ask(preview.port, method, "/about.json")
    except (http.client.HTTPException, OSError):
        return  # closed without an answer
    assert status >= 400


def test_a_system_without_files_left_is_one_line_and_a_count(
    preview: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        waiting = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            for _ in range(40)
        ]
        highest = max(one.fileno() for one in waiting)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        try:
            for one in waiting:
                one.connect(("127.0.0.1", preview.port))
            wait_until(lambda: preview.troubles > 3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    lines = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert [r.name for r in lines] == ["edge.preview.server"]
    assert "out of system resource" in lines[0].getMessage()
    assert "Traceback" not in capfd.readouterr().err


def test_bundles_from_a_tab_are_paced_by_their_messages() -> None:
    pytest.importorskip("websockets", reason="THE PREVIEW WAS NOT TRIED: no websockets")
    import asyncio

    from edge.preview.server import PAUSE, PreviewServer

    slept: list[float] = []

    class Tab:
        transport = None
        sent = iter((b"one", b"five", "text"))

        def __aiter__(self) -> Tab:
            return self

        async def __anext__(self) -> bytes | str:
            for data in self.sent:
                return data
            raise StopAsyncIteration

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    server = PreviewServer(0, {}, lambda data: 5 if data == b"five" else 1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("edge.preview.server.asyncio.sleep", sleep)
            loop = asyncio.new_event_loop()
            loop.run_until_complete(server._tab(Tab()))
            loop.close()
    finally:
        server.close()
    assert slept == [PAUSE, 5 * PAUSE, PAUSE]
