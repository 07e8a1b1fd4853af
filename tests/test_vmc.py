"""From a URL to datagrams on the wire, and no harm where nobody listens."""

from __future__ import annotations

import logging
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from edge.contract import ARKIT_52, BlendshapeFrame, ConfigError, Floats, MissingError, Sink
from edge.outputs import open_output
from edge.outputs.common import ShapeSelection
from edge.outputs.osc import message
from edge.outputs.tables import pascal
from edge.outputs.udp import UdpTarget
from edge.outputs.vmc import Vmc

WEIGHTS = (np.arange(52, dtype=np.float32) + 1) / np.float32(64)


def frame(weights: Floats = WEIGHTS) -> BlendshapeFrame:
    return BlendshapeFrame(weights, 266, 0.0)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        yield receiver


def one_face(listener: socket.socket, weights: Floats = WEIGHTS) -> tuple[bytes, bytes, bytes]:
    """What one face is on the wire."""
    sink = open_output(f"vmc://127.0.0.1:{listener.getsockname()[1]}")
    sink.send(frame(weights))
    sink.close()
    return listener.recv(65_536), listener.recv(65_536), listener.recv(65_536)


def test_the_head_of_each_vmc_datagram_is_these_bytes(listener: socket.socket) -> None:
    first, second, third = one_face(listener)
    head = b"#bundle\0\0\0\0\0\0\0\0\1"
    address = b"/VMC/Ext/Blend/Val\0\0,sf\0"
    assert first.startswith(
        head + b"\0\0\0\x2c" + address + b"EyeBlinkLeft\0\0\0\0" + b"\x3c\x80\0\0"
        + b"\0\0\0\x2c" + address + b"EyeLookDownLeft\0" + b"\x3d\0\0\0"
    )  # fmt: skip
    assert second.startswith(head + b"\0\0\0\x2c" + address + b"MouthFrownLeft\0\0")
    assert third.startswith(head + b"\0\0\0\x2c" + address + b"NoseSneerLeft\0\0\0")


def string_of(name: str) -> bytes:
    raw = pascal(name).encode()
    return raw + b"\0" * (4 - len(raw) % 4)


def test_the_last_datagram_ends_in_apply_ok_and_t(listener: socket.socket) -> None:
    _, _, last = one_face(listener)
    tail = (
        b"\0\0\0\x1c/VMC/Ext/Blend/Apply\0\0\0\0,\0\0\0"
        b"\0\0\0\x14/VMC/Ext/OK\0,i\0\0\0\0\0\1"
        b"\0\0\0\x14/VMC/Ext/T\0\0,f\0\0"
    )
    assert last[-4 - len(tail) : -4] == tail
    (seconds,) = struct.unpack(">f", last[-4:])
    assert 0 <= seconds < 10


def test_all_three_datagrams_fit_the_smallest_ipv6_packet(listener: socket.socket) -> None:
    assert all(len(data) <= 1200 for data in one_face(listener))


def test_python_osc_reads_every_weight_under_its_name(listener: socket.socket) -> None:
    osc_bundle = pytest.importorskip("pythonosc.osc_bundle", reason="pip install python-osc")
    messages = [m for data in one_face(listener) for m in osc_bundle.OscBundle(data)]
    values = [m.params for m in messages if m.address == "/VMC/Ext/Blend/Val"]
    assert values == [
        [pascal(name), float(weight)] for name, weight in zip(ARKIT_52, WEIGHTS, strict=True)
    ]
    rest = [m.address for m in messages[52:]]
    assert rest == ["/VMC/Ext/Blend/Apply", "/VMC/Ext/OK", "/VMC/Ext/T"]


def test_a_second_face_carries_its_own_weights(listener: socket.socket) -> None:
    sink = open_output(f"vmc://localhost:{listener.getsockname()[1]}")
    for value in (0.25, 0.75):
        sink.send(frame(np.full(52, value, np.float32)))
    sink.close()
    first, second = (b"".join(listener.recv(65_536) for _ in range(3)) for _ in range(2))
    assert first.count(struct.pack(">f", 0.25)) == 52
    assert second.count(struct.pack(">f", 0.75)) == 52
    assert second.count(struct.pack(">f", 0.25)) == 0


def test_perfect_sync_names_begin_with_a_capital() -> None:
    assert pascal("jawOpen") == "JawOpen"
    assert len({message("/VMC/Ext/Blend/Val", pascal(n), 0.0) for n in ARKIT_52}) == 52


def test_an_absent_receiver_costs_nothing() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    target = UdpTarget("127.0.0.1", port)  # nobody listens there any more
    sink = Vmc(target, ShapeSelection(), {"case": "", "preset": "", "role": "", "bones": "none"})
    for _ in range(20):
        sink.send(frame())
    assert target.failed == 0
    sink.close()
    sink.close()


def test_refused_datagrams_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    target = UdpTarget("127.0.0.1", 9)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            target.send(b"x" * 70_000)  # more than a datagram holds
    target.close()
    assert target.failed == 3
    assert [r.getMessage() for r in caplog.records if "127.0.0.1:9" in r.getMessage()] != []
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("tcp://127.0.0.1:1", "unknown scheme 'tcp'.*vmc"),
        ("127.0.0.1:39539", "no scheme; write vmc://127.0.0.1:39539, or one of vmc, vrchat"),
        ("localhost:39539", "no scheme; write vmc://localhost:39539"),
        ("", "no scheme; write vmc://HOST,"),
        ("vmc://127.0.0.1:99999", "Port out of range.*; write it as SCHEME://HOST:PORT"),
        ("vmc://127.0.0.1:abc", "Port could not be cast"),
        ("vmc://", "vmc://HOST:PORT"),
        ("vmc://:39539", "vmc://HOST:PORT"),
        ("vmc://127.0.0.1:39539/path", "vmc://HOST:PORT"),
        ("vmc://[::1", "Invalid IPv6"),
    ],
)
def test_a_wrong_output_is_one_sentence(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        open_output(url)
    assert f"'{url}'" in str(caught.value)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid", "a..b"])
def test_an_unknown_host_is_named(host: str) -> None:
    with pytest.raises(MissingError, match=f"cannot find host '{re.escape(host)}'"):
        open_output(f"vmc://{host}:39539")


def test_without_a_port_vmcs_own_is_used() -> None:
    sink = open_output("vmc://127.0.0.1")
    assert sink._sink._target._address[1] == 39539  # type: ignore[attr-defined]
    sink.close()


def test_a_real_oscdump_receives_every_weight() -> None:
    tool = shutil.which("oscdump")
    if tool is None:
        pytest.skip("oscdump IS ABSENT, VMC was not tried on it: apt install liblo-tools")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dump = subprocess.Popen([tool, "-L", str(port)], stdout=subprocess.PIPE, text=True)
    sink = open_output(f"vmc://127.0.0.1:{port}")
    try:
        lines = _dumped(dump, sink)
    finally:
        dump.terminate()
        dump.wait()
        assert dump.stdout is not None
        dump.stdout.close()
        sink.close()
    values = {
        name: float(value)
        for line in lines
        for name, value in re.findall(r'/VMC/Ext/Blend/Val sf "(\w+)" (\S+)', line)
    }
    assert values == pytest.approx(dict(zip(map(pascal, ARKIT_52), WEIGHTS, strict=True)), abs=1e-6)
    assert any(re.search(r"/VMC/Ext/Blend/Apply\s*$", line) for line in lines)
    assert any("/VMC/Ext/OK i 1" in line for line in lines)
    assert any("/VMC/Ext/T f " in line for line in lines)


def _dumped(dump: subprocess.Popen[str], sink: Sink) -> list[str]:
    """The lines of one whole face; faces are sent until oscdump is up and has shown one."""
    import threading

    lines: list[str] = []
    whole = threading.Event()

    def listen() -> None:
        assert dump.stdout is not None
        for line in dump.stdout:
            lines.append(line.rstrip("\n"))
            if "/VMC/Ext/T" in line and sum("/Blend/Val" in x for x in lines) >= 52:
                whole.set()
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    for _ in range(100):
        sink.send(frame())
        if whole.wait(0.1):
            break
    assert whole.is_set(), f"oscdump showed {len(lines)} lines in 10 s"
    thread.join()
    return lines
