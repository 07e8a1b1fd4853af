"""The control port: real datagrams on loopback."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from edge import cli, wiring
from edge.audio.capture import PacedFile
from edge.cli import main
from edge.config import ControlSettings
from edge.contract import FPS, MissingError
from edge.control import listener as listen
from edge.control.listener import ControlListener
from edge.outputs.osc import message
from edge.run_stats import RunStats
from tests.test_control_orders import BUNDLE, Desk

DEMO = str(Path(cli.__file__).parent / "assets" / "demo.flac")


@pytest.fixture
def port() -> int:
    """One that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(10)
        yield out


def ping(sender: socket.socket, port: int) -> dict[str, Any]:
    sender.sendto(message("/edge/ping"), ("127.0.0.1", port))
    assert sender.recv(65536) == b"/edge/pong\0\0,\0\0\0"
    answer = sender.recv(65536)
    found: dict[str, Any] = json.loads(answer[answer.index(b"{") :].rstrip(b"\0"))
    return found


def test_a_ping_is_answered_to_its_sender(port: int, sender: socket.socket) -> None:
    desk = Desk()
    listener = ControlListener(desk.commands, ControlSettings(port=port))
    try:
        assert listener.address == ("127.0.0.1", port)
        sender.sendto(message("/edge/mute"), ("127.0.0.1", port))
        assert ping(sender, port)["refused"] == {"queue": 0}
        desk.live.inbox.drain()
        assert desk.pipeline.face.muted
    finally:
        listener.close()
    again = ControlListener(desk.commands, ControlSettings(port=port))  # the port is free again
    again.close()


def test_what_is_longer_than_the_buffer_is_oversized(port: int, sender: socket.socket) -> None:
    desk = Desk()
    listener = ControlListener(desk.commands, ControlSettings(port=port))
    try:
        sender.sendto(message("/edge/text", "w" * 5000), ("127.0.0.1", port))
        sender.sendto(b"", ("127.0.0.1", port))
        assert ping(sender, port)["refused"] == {"oversized": 1, "malformed": 1, "queue": 0}
    finally:
        listener.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a full buffer drops")
def test_every_datagram_of_a_flood_is_counted(port: int, sender: socket.socket) -> None:
    desk = Desk()
    row = message("/edge/mute", 0)
    bundle = b"#bundle\0" + b"\0" * 8 + (struct.pack(">i", len(row)) + row) * 8
    listener = ControlListener(desk.commands, ControlSettings(port=port))
    try:
        for _ in range(1000):
            sender.sendto(bundle, ("127.0.0.1", port))
        # Answered only after what was queued before it; asked again until it is not dropped.
        sender.settimeout(0.5)
        for _ in range(100):
            try:
                ping(sender, port)
                break
            except TimeoutError:
                continue
        desk.now += 1
        sender.settimeout(10)
        refused = ping(sender, port)["refused"]
    finally:
        listener.close()
    bundles = (desk.commands.accepted - 2) // 8
    assert refused["flood"] > 500
    assert bundles > 0
    assert abs(bundles + refused["flood"] - 1000) <= 100  # lost pings are counted too


def need_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("CONTROL OVER IPV6 WAS NOT TRIED: this machine has none")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_whatever_localhost_means_to_a_client_control_hears_it(port: int, host: str) -> None:
    need_ipv6()
    desk = Desk(allow=("192.0.2.1",))
    listener = ControlListener(desk.commands, ControlSettings(host, port, ("192.0.2.1",)))
    try:
        for family, here in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.settimeout(5)
                client.sendto(message("/edge/ping"), (here, port))
                assert client.recvfrom(65536)[0] == b"/edge/pong\0\0,\0\0\0"
    finally:
        listener.close()
    assert "source" not in desk.commands.refused


def test_a_taken_ipv6_loopback_leaves_the_other(port: int, sender: socket.socket) -> None:
    need_ipv6()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.bind(("::1", port))
        listener = ControlListener(Desk().commands, ControlSettings(port=port))
        try:
            ping(sender, port)
        finally:
            listener.close()


def test_control_outlives_what_a_datagram_breaks(port: int, sender: socket.socket) -> None:
    desk = Desk()

    def broken(on: bool) -> None:
        raise RuntimeError("can't start new thread")

    desk.live.mute = broken  # type: ignore[method-assign]
    listener = ControlListener(desk.commands, ControlSettings(port=port))
    try:
        for _ in range(3):
            sender.sendto(message("/edge/mute"), ("127.0.0.1", port))
        assert ping(sender, port)["refused"] == {"error": 3, "queue": 0}
    finally:
        listener.close()


def test_a_taken_port_is_named(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        with pytest.raises(MissingError, match=f"control port {port} on 127.0.0.1 .*--control off"):
            ControlListener(Desk().commands, ControlSettings(port=port))


def test_a_port_that_was_asked_for_must_be_free(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        assert (
            main(["--mic", f"file:{DEMO}", "--control", str(port), "--to", "vmc://127.0.0.1:9"])
            == 69
        )
    assert f"control port {port}" in capsys.readouterr().err


def test_without_a_port_asked_for_a_taken_one_is_a_warning(
    port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listen, "PORT", port)
    desk = Desk()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        ExitStack() as stack,
        closing(PacedFile(DEMO)) as source,
    ):
        other.bind(("127.0.0.1", port))
        wiring.open_control(stack, desk.live, RunStats(), source)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("Running without control.")


def test_a_running_edge_run_obeys_osc_and_sighup(
    port: int, sender: socket.socket, tmp_path: Path
) -> None:
    config = tmp_path / "edge.yaml"
    start = f"mic: 'file:{DEMO}'\nto: []\ncontrol: {{port: {port}}}\n"
    config.write_text(start)
    command = [sys.executable, "-m", "edge.cli", "--config", str(config)]
    sender.settimeout(0.2)

    def until(key: str, value: object) -> dict[str, Any]:
        """Ask for the status until it says so; about 14 s, as long as the clip plays."""
        for _ in range(70):
            with suppress(TimeoutError):
                status = ping(sender, port)
                if status[key] == value:
                    return status
            time.sleep(0.1)  # another process: no clock to pass
        raise AssertionError(f"{key} never became {value}")

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            until("lookahead_ms", round(BUNDLE.lookahead * 1000 / FPS))
            sender.sendto(message("/edge/lookahead", 133), ("127.0.0.1", port))
            status = until("lookahead_ms", 133)
            assert {"version", "uptime_s", "bundle", "hash", "latency_ms"} <= set(status)
            config.write_text(start + "lookahead: 0\nqueue_ms: 200\n")
            running.send_signal(signal.SIGHUP)
            until("lookahead_ms", 0)
        finally:
            running.terminate()
        _, stderr = running.communicate(timeout=10)
    assert running.returncode == 0
    assert "takes effect when edge-run starts again: queue_ms" in stderr
    assert "Traceback" not in stderr
