"""The preview's server: who may look, what a tab gets, and that no tab holds up a face."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("websockets", reason="the preview needs websockets: pip install websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from edge.cli import main as edge_run
from edge.contract import (
    ARKIT_52,
    INDEX,
    AudioBlock,
    BlendshapeFrame,
    InputError,
    MissingError,
    UsageError,
)
from edge.control.status import describe
from edge.outputs.osc import message
from edge.preview import replay
from edge.preview.feed import Preview, encode
from edge.preview.film import Film
from edge.preview.server import BEHIND, MOST_TABS, PreviewServer, about
from edge.run_stats import RunStats
from tests.fakes import DEMO
from tests.test_control_orders import Desk

FACE = BlendshapeFrame(np.linspace(0, 1, 52, dtype=np.float32), 16_000, 0.0, level_db=-20.0)


class FakeSource:
    dropped = 3
    state = "listening"

    reconnects = 0

    def read(self, timeout: float) -> AudioBlock | None:
        raise EOFError

    def close(self) -> None:
        pass


class Show:
    """A preview of a desk that never had a microphone."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.desk.pipeline.delay = 0.083  # type: ignore[attr-defined]
        self.stats = RunStats()
        live, source = self.desk.live, FakeSource()
        self.preview = Preview(
            0, "a title", live, lambda: describe(live, self.stats, source), self.stats, source
        )
        self.server = self.preview._server

    def tab(self) -> ClientConnection:
        """A tab, once the server counts it."""
        before = len(self.server.tabs)
        one = connect(
            f"ws://127.0.0.1:{self.server.port}/live",
            origin=f"http://127.0.0.1:{self.server.port}",  # type: ignore[arg-type]
            compression=None,
        )
        wait_until(lambda: len(self.server.tabs) > before)
        return one


def wait_until(true: Any) -> None:
    """Give the other thread up to 5 s."""
    waited = threading.Event()
    for _ in range(500):
        if true():
            return
        waited.wait(0.01)
    raise AssertionError("it never came true")


@pytest.fixture
def show() -> Iterator[Show]:
    it = Show()
    yield it
    it.preview.close()


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """What a browser gets; ``host=`` and ``origin=`` as a hostile page would have them."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as ask:
        ask.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items():
            ask.putheader(name, value)
        ask.endheaders()
        answer = ask.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def faces(tab: ClientConnection) -> Iterator[bytes]:
    """The binary messages of a tab, among a few others."""
    for _ in range(20_000):
        data = tab.recv(timeout=5)
        if isinstance(data, bytes):
            yield data


def test_a_face_is_57_little_endian_floats() -> None:
    face = BlendshapeFrame(
        np.float32([1.0] + [0.0] * 51), 8_000, 0.0, np.float32([0.5, -0.5, 2.0]), -1.0
    )
    one, half, nothing = b"\0\0\x80\x3f", b"\0\0\0\x3f", b"\0" * 4
    rest = half + b"\0\0\0\xbf" + b"\0\0\0\x40" + b"\0\0\x80\xbf" + half
    assert encode(face) == one + nothing * 51 + rest


def test_the_page_comes_with_everything_it_needs_and_may_reach_nothing_else(show: Show) -> None:
    status, headers, body = get(show.server.port, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    rules = headers["Content-Security-Policy"]
    assert rules.startswith("default-src 'self'; ")
    assert "unsafe" not in rules
    assert "//" not in rules.replace(f"ws://127.0.0.1:{show.server.port}", "").replace(
        f"ws://localhost:{show.server.port}", ""
    )
    for name in ("app.js", "style.css"):
        assert f'"{name}"'.encode() in body
        assert get(show.server.port, f"/{name}")[0] == 200
    assert b"http" not in body
    facts = json.loads(get(show.server.port, "/about.json")[2])
    assert (facts["names"], facts["mode"]) == (list(ARKIT_52), "live")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1.evil.example:80", ""])
def test_a_name_that_somebody_pointed_at_this_machine_is_refused(show: Show, host: str) -> None:
    assert get(show.server.port, "/about.json", Host=host)[0] == 403


def test_another_site_gets_neither_files_nor_faces(show: Show) -> None:
    port = show.server.port
    for origin in (
        "http://evil.example",
        "null",
        f"http://127.0.0.1:{port + 1}",
        f"https://127.0.0.1:{port}",
    ):
        assert get(port, "/about.json", Origin=origin)[0] == 403
        with pytest.raises(InvalidStatus, match="403"):
            connect(f"ws://127.0.0.1:{port}/live", origin=origin)  # type: ignore[arg-type]
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{port}/live")  # no origin at all
    assert (
        get(port, "/about.json", Host=f"localhost:{port}", Origin=f"http://localhost:{port}")[0]
        == 200
    )


@pytest.mark.parametrize(
    "path", ["/../server.py", "/%2e%2e/server.py", "/etc/passwd", "//", "/page/"]
)
def test_only_the_page_is_served(show: Show, path: str) -> None:
    assert get(show.server.port, path)[0] == 404


def test_a_tab_gets_the_newest_face(show: Show) -> None:
    with show.tab() as tab:
        show.preview.send(FACE)
        values = np.frombuffer(next(faces(tab)), "<f4")
    np.testing.assert_array_equal(values[:52], FACE.weights)
    assert values[55:].tolist() == [-20.0, 1.0]


def test_faces_that_come_together_are_sent_once(show: Show) -> None:
    with show.tab() as tab:
        hold, held = threading.Event(), threading.Event()
        show.server.loop.call_soon_threadsafe(lambda: (held.set(), hold.wait(5)))
        held.wait(5)
        for level in (-3.0, -2.0, -1.0):
            show.preview.send(BlendshapeFrame(FACE.weights, 0, 0.0, level_db=level))
        idle = threading.Event()
        show.server.loop.call_soon_threadsafe(idle.set)
        hold.set()
        assert idle.wait(5)
        seen = faces(tab)
        assert np.frombuffer(next(seen), "<f4")[55] == -1.0
        show.preview.send(FACE)
        assert np.frombuffer(next(seen), "<f4")[55] == -20.0


def test_nobody_looking_costs_a_face_nothing_but_a_reference(show: Show) -> None:
    show.server.loop.call_soon_threadsafe = None  # type: ignore[method-assign,assignment]
    try:
        show.preview.send(FACE)
    finally:
        del show.server.loop.call_soon_threadsafe
    assert show.preview._frame is FACE


def test_a_tab_that_does_not_read_is_skipped_and_the_others_see_every_face(show: Show) -> None:
    with socket.create_connection(("127.0.0.1", show.server.port)) as stuck, show.tab() as tab:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        host = f"127.0.0.1:{show.server.port}"
        stuck.sendall(
            f"GET /live HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        wait_until(lambda: len(show.server.tabs) == 2)
        seen = faces(tab)
        sent = 0
        while not show.server.skipped and sent < 15_000:  # the system's buffers take megabytes
            show.preview.send(FACE)
            next(seen)
            sent += 1
        assert show.server.skipped
        waiting = max(t.transport.get_write_buffer_size() for t in show.server.tabs)
        assert waiting < 2 * BEHIND
        for _ in range(100):
            show.preview.send(FACE)
            next(seen)
        assert show.server.skipped > 90
    wait_until(lambda: not show.server.tabs)


def test_the_page_steers_by_the_orders_of_osc(show: Show) -> None:
    with show.tab() as tab:
        tab.send(message("/edge/gain", "jawOpen", 1.5))
        tab.send(message("/edge/emotion", "joy", 0.7))
        wait_until(lambda: show.preview._commands.accepted == 2)
    show.desk.live.inbox.drain()
    assert show.desk.live.gains == {"jawOpen": 1.5}
    face = show.desk.pipeline.face
    assert face._gains is not None
    assert face._gains[INDEX["jawOpen"]] == np.float32(1.5)
    assert face.emotion_blend.name == "happiness"


def test_what_a_page_may_not_ask_is_counted_and_the_tab_lives_on(show: Show) -> None:
    commands = show.preview._commands
    with show.tab() as tab:
        for bad in (
            b"",
            b"\xff" * 100,
            message("/edge/gain", "nose", 1.0),
            message("/edge/gain", "jawOpen", 9.0),
            message("/no"),
        ):
            tab.send(bad)
        tab.send("text is for figures")
        tab.send(message("/edge/gain", "jawOpen", 0.5))
        wait_until(lambda: commands.accepted == 1)
        assert dict(commands.refused) == {"malformed": 2, "value": 2, "address": 1}


def test_a_message_that_is_too_long_closes_its_tab_alone(show: Show) -> None:
    with show.tab() as long, show.tab() as tab:
        long.send(b"x" * 2049)
        with pytest.raises(ConnectionClosed, match="1009"):
            list(faces(long))
        show.preview.send(FACE)
        assert next(faces(tab))


def test_one_tab_too_many_is_refused_with_the_reason(show: Show) -> None:
    with ExitStack() as stack:
        with show.tab():
            for _ in range(MOST_TABS - 1):
                stack.enter_context(show.tab())
            with pytest.raises(InvalidStatus, match="503"):
                stack.enter_context(show.tab())
        wait_until(lambda: len(show.server.tabs) < MOST_TABS)
        stack.enter_context(show.tab())


def test_figures_come_beside_the_faces(show: Show) -> None:
    show.stats.add(0.004)
    show.stats.dropped["late"] = 2
    with show.tab() as tab:
        text = next(
            data for data in iter(lambda: tab.recv(timeout=5), None) if isinstance(data, str)
        )
    figures = json.loads(text)
    assert figures["drops"] == {"late": 2, "audio": 3}
    assert figures["microphone"] == "listening"
    assert figures["declared_ms"] == 83
    bounds, counts = figures["histogram"]["bounds_ms"], figures["histogram"]["counts"]
    assert len(counts) == len(bounds) + 1
    assert bounds[counts.index(1) - 1] < 4 <= bounds[counts.index(1)]


def test_a_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MissingError, match=f"preview port {port} .*choose another"):
            PreviewServer(port, {"/about.json": about("live", "")})


def test_a_port_that_cannot_be_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert edge_run(["--preview", "70000", "--print-config"]) == 2
    assert "preview: expected 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["70000", "-1", "9" * 300])
def test_a_port_that_cannot_be_is_refused_by_the_replay_too(
    port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay.main([str(a_record(tmp_path)), str(DEMO), "--port", port]) == 2
    assert (stderr := capsys.readouterr().err).startswith("edge-preview: --port ")
    assert stderr.count("\n") == 1
    assert len(stderr) < 200


def a_record(folder: Path, rows: int = 3) -> Path:
    """A recording whose columns are not in our order."""
    names = ["time_s", *reversed(ARKIT_52)]
    lines = [[f"{i / 60:.5f}", "0.5", *["0"] * 51] for i in range(rows)]
    path = folder / "record.csv"
    path.write_text("\n".join(map(",".join, [names, *lines])) + "\n")
    return path


def test_a_recording_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    rows = replay.read_record(a_record(tmp_path))
    assert rows.shape == (3, 53)
    assert rows[:, 1 + INDEX["tongueOut"]].tolist() == [0.5, 0.5, 0.5]  # the first of the reversed
    assert rows[2, 0] == np.float32(0.03333)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("time_s,jawOpen\n0,1\n", "no column 'eyeBlinkLeft'"),
        ("time_s," + ",".join(ARKIT_52) + "\n", "holds no face"),
        ("time_s," + ",".join(ARKIT_52) + "\n0,1,2\n0,1\n", "damaged"),
        (
            "time_s," + ",".join(ARKIT_52) + ",more\n" + ",".join(["0"] * 53) + "\n",
            "54 names for 53",
        ),
        ("\xff\xfe", "damaged"),
    ],
)
def test_a_bad_recording_is_one_sentence(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "record.csv"
    if text is not None:
        path.write_text(text, "latin-1")
    with pytest.raises(InputError, match=message) as found:
        replay.read_record(path)
    assert "\n" not in str(found.value)


def test_a_replay_serves_recording_and_sound(tmp_path: Path) -> None:
    with closing(PreviewServer(0, replay.replay_files(a_record(tmp_path), DEMO))) as server:
        status, headers, sound = get(server.port, "/clip.wav")
        assert (status, headers["Content-Type"], sound[:4]) == (200, "audio/wav", b"RIFF")
        assert len(get(server.port, "/recording.bin")[2]) == 3 * 53 * 4


def test_a_sound_that_is_none_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay.main([str(a_record(tmp_path)), str(tmp_path / "none.wav")]) == 66
    assert "edge-preview: " in (stderr := capsys.readouterr().err)
    assert stderr.count("\n") == 1


def test_a_film_needs_its_tools_and_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="apt install chromium"):
        Film("out.mp4", "clip.wav")
    (browser := tmp_path / "chromium").write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    with pytest.raises(MissingError, match="apt install ffmpeg"):
        Film("out.mp4", "clip.wav")


def test_a_browser_that_draws_nothing_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("chromium", "ffmpeg"):
        (tool := tmp_path / name).write_text("#!/bin/sh\n")
        tool.chmod(0o755)
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr("edge.preview.film.BROWSERS", (str(tmp_path / "chromium"),))
    film = Film(str(tmp_path / "out.mp4"), str(DEMO))
    for _ in range(60):
        film.send(FACE)
    with pytest.raises(MissingError, match="Chromium drew no picture"):
        film.make()


@pytest.mark.parametrize("name", ["nowhere/out.mp4", "out", "out.avi", "out.wav"])
def test_a_film_that_cannot_be_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("edge.preview.film.film_tools", lambda: ("chromium", "ffmpeg"))
    with pytest.raises((InputError, UsageError), match="--render"):
        Film(str(tmp_path / name), str(DEMO))


def test_render_belongs_to_offline(capsys: pytest.CaptureFixture[str]) -> None:
    assert edge_run(["--render", "out.mp4"]) == 2
    assert "--render needs --offline" in capsys.readouterr().err
