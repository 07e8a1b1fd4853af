"""Loss and reordering between edge-run and a renderer: harmless to both."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.fakes import DEMO, ROOT
from tests.test_cli import vmc_values

PLAY = [sys.executable, "-m", "edge.cli", "--mic", f"file:{DEMO}", "--control", "off"]


class Renderer:
    """Takes what arrives on a port, in whatever order, as VMC receivers do."""

    def __init__(self, received: socket.socket) -> None:
        self._received, self.values, self.datagrams = received, {}, 0
        self._received.settimeout(0.2)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                self.values.update(vmc_values(self._received.recv(2000)))
                self.datagrams += 1
            except TimeoutError:
                continue

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def bad_relay(inside: socket.socket, port: int, stop: threading.Event) -> None:
    """Loses every tenth datagram and hands on every fourth one after its successor."""
    rng, held = np.random.default_rng(0), None
    inside.settimeout(0.2)
    while not stop.is_set():
        try:
            data = inside.recv(2000)
        except TimeoutError:
            continue
        if rng.random() < 0.1:
            continue
        if held is None and rng.random() < 0.25:
            held = data
            continue
        inside.sendto(data, ("127.0.0.1", port))
        if held is not None:
            inside.sendto(held, ("127.0.0.1", port))
            held = None


def test_a_renderer_behind_a_bad_network_sees_a_whole_face() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inside,
    ):
        for end in (outside, inside):
            end.bind(("127.0.0.1", 0))
        stop, renderer = threading.Event(), Renderer(outside)
        args = (inside, outside.getsockname()[1], stop)
        relay = threading.Thread(target=bad_relay, args=args, daemon=True)
        relay.start()
        to = f"vmc://127.0.0.1:{inside.getsockname()[1]}"
        process = subprocess.Popen([*PLAY, "--to", to], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        time.sleep(4)
        process.terminate()
        _, errors = process.communicate(timeout=10)
        stop.set()
        relay.join()
        renderer.close()
    assert process.returncode == 0
    assert "Traceback" not in errors
    sent = int(re.search(r"(\d+) faces", errors)[1]) * 3  # type: ignore[index]
    # A tenth is lost on purpose; the rest arrives.
    assert 0.75 * sent < renderer.datagrams < 0.97 * sent
    assert len(renderer.values) == 52
    assert all(0 <= value <= 1 for value in renderer.values.values())


@pytest.fixture
def namespace() -> Iterator[str]:
    """A host of its own whose loopback loses, delays and reorders; nothing leaves it."""
    if not (shutil.which("ip") and shutil.which("tc")) or os.geteuid():
        pytest.skip("LOSS IN THE KERNEL WAS NOT TRIED: needs root and iproute2")
    name = f"edgetalk{os.getpid()}"
    added = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if added.returncode:
        pytest.skip("LOSS IN THE KERNEL WAS NOT TRIED: no network namespaces here")
    inside = ["ip", "netns", "exec", name]
    netem = [
        "qdisc",
        "add",
        "dev",
        "lo",
        "root",
        "netem",
        "loss",
        "10%",
        "delay",
        "5ms",
        "3ms",
        "reorder",
        "25%",
    ]
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        bent = subprocess.run([*inside, "tc", *netem], capture_output=True, check=False)
        if bent.returncode:
            pytest.skip("LOSS IN THE KERNEL WAS NOT TRIED: this kernel has no netem")
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def test_netem_on_the_way_does_not_touch_the_sender(namespace: str) -> None:
    command = ["ip", "netns", "exec", namespace, "timeout", "-s", "INT", "4", *PLAY]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert re.search(r"[1-9]\d+ faces", done.stderr)
