"""Programs that others wrote decode what we send; each test skips where its program is absent."""

import gzip
import json
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge.contract import ARKIT_52, BlendshapeFrame
from edge.outputs import open_output
from edge.outputs.common import ShapeSelection
from edge.outputs.livelink import LiveLink, packet
from tests.fakes import ROOT

RECORDED = ROOT.parent / "shared/data/livelink_udp_packets"
RAMP = np.linspace(0.01, 0.99, 52, dtype=np.float32)
PEERS = ROOT / "tests" / "peers"


def datagrams(url):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.2)
        scheme, _, query = url.partition("?")
        sink = open_output(f"{scheme}://127.0.0.1:{receiver.getsockname()[1]}?{query}".rstrip("?"))
        sink.send(BlendshapeFrame(RAMP, 1, 0.0))
        sink.close()
        got = []
        try:
            while True:
                got.append(receiver.recv(65536))
        except TimeoutError:
            return got


OSC = ["vmc", "vmc?case=both", "vmc?preset=vrm1", "vrchat", "facecap", "osc", "osc?form=named"]


@pytest.mark.parametrize("url", OSC)
def test_python_osc_reads_every_message(url):
    packets = pytest.importorskip("pythonosc.osc_packet", reason="python-osc is not installed")
    messages = [m.message for d in datagrams(url) for m in packets.OscPacket(d).messages]
    assert len(messages) >= 1
    shapes = {m.params[0]: m.params[1] for m in messages if "Blend/Val" in m.address}
    if url == "vmc":
        assert list(shapes.values()) == pytest.approx(RAMP.tolist())
        assert [n.lower() for n in shapes] == [n.lower() for n in ARKIT_52]


@pytest.mark.parametrize("url", OSC)
def test_liblo_reads_every_message(url):
    liblo = pytest.importorskip("pyliblo3", reason="pyliblo3 is not installed")
    packets = pytest.importorskip("pythonosc.osc_packet", reason="python-osc is not installed")
    got = []
    server = liblo.Server(proto=liblo.UDP)
    server.add_method(None, None, lambda path, args: got.append((path, list(args))))
    sent = datagrams(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for data in sent:
            s.sendto(data, ("127.0.0.1", server.port))
    while server.recv(200):
        pass
    expected = [m.message for d in sent for m in packets.OscPacket(d).messages]
    assert got == [(m.address, list(m.params)) for m in expected]


def as_python_osc(sent):
    packets = pytest.importorskip("pythonosc.osc_packet", reason="python-osc is not installed")
    messages = [m.message for d in sent for m in packets.OscPacket(d).messages]
    return [[m.address, *m.params] for m in messages]


def lines_after(process, ports, sent, count):
    """``count`` lines that the process prints once ``sent`` reached each of ``ports``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for port in ports:
            for data in sent:
                s.sendto(data, ("127.0.0.1", port))
    return [process.stdout.readline() for _ in range(count)]


@pytest.mark.parametrize("url", OSC)
def test_two_npm_packages_read_every_message(url):
    if not shutil.which("node") or not (PEERS / "node_modules").is_dir():
        pytest.skip("node or its packages are not installed: run tests/peers/install.sh")
    sent = datagrams(url)
    expected = as_python_osc(sent)
    node = subprocess.Popen(
        ["timeout", "30", "node", str(PEERS / "decode.mjs")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        ports = json.loads(node.stdout.readline())
        got = list(map(json.loads, lines_after(node, ports.values(), sent, 2 * len(expected))))
        left, _ = node.communicate(timeout=10)
    finally:
        node.kill()
    assert left == ""
    for peer in ports:
        assert [line[1:] for line in got if line[0] == peer] == expected, peer


@pytest.mark.parametrize("url", OSC)
def test_oscdump_prints_every_message(url):
    if not shutil.which("oscdump"):
        pytest.skip("oscdump is not installed: apt install liblo-tools")
    sent = datagrams(url)
    expected = as_python_osc(sent)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dump = subprocess.Popen(
        ["timeout", "30", "oscdump", "-L", str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        until_bound(port)
        got = [line.split()[1:] for line in lines_after(dump, [port], sent, len(expected))]
    finally:
        dump.terminate()
        dump.communicate(timeout=10)
    for (address, *more), (theirs, *params) in zip(got, expected, strict=True):
        assert address == theirs
        tags, *values = more or [""]
        read = [v.strip('"') if t == "s" else float(v) for t, v in zip(tags, values, strict=False)
                if t in "sif"]  # fmt: skip
        assert read == [pytest.approx(p, abs=1e-6) if isinstance(p, float) else p
                        for p in params if not isinstance(p, bool)]  # fmt: skip


def until_bound(port):
    """Wait for the kernel's list of UDP sockets to hold ``port``."""
    give_up = time.monotonic() + 10
    while (
        f":{port:04X} "
        not in Path("/proc/net/udp").read_text() + Path("/proc/net/udp6").read_text()
    ):
        assert time.monotonic() < give_up, "the peer did not open its port"
        time.sleep(0.02)


def test_vmcp_types_every_event():
    pytest.importorskip("vmcp", reason="vmcp is not installed (AGPL, for this test alone)")
    pytest.importorskip("osc4py3", reason="osc4py3 is not installed: pip install vmcp[osc4py3]")
    sent = datagrams("vmc")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A process of its own: its licence is the AGPL, and nothing of edge may import it.
    peer = subprocess.Popen(
        [sys.executable, str(PEERS / "vmcp_events.py"), str(port)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until_bound(port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for data in sent:
                s.sendto(data, ("127.0.0.1", port))
        lines = peer.communicate(timeout=20)[0].splitlines()
    finally:
        peer.kill()
    events = list(map(json.loads, lines))
    shapes = {e[1]: e[2] for e in events if e[0] == "BlendShapeEvent"}
    assert list(shapes) == [n[0].upper() + n[1:] for n in ARKIT_52]
    assert list(shapes.values()) == pytest.approx(RAMP.tolist())
    kinds = [e[0] for e in events[52:]]
    assert kinds == ["BlendShapeApplyEvent", "StateEvent", "RelativeTimeEvent"]


def test_wireshark_finds_nothing_malformed(tmp_path):
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed: apt install tshark")
    # A capture file made by hand needs no right to listen on an interface.
    found = [d for url in OSC for d in datagrams(url)]
    pcap = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    for data in found:
        udp = struct.pack(">HHHH", 40000, 39539, 8 + len(data), 0) + data
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                         bytes((127, 0, 0, 1)), bytes((127, 0, 0, 1))) + udp  # fmt: skip
        pcap += struct.pack("<IIII", 0, 0, len(ip), len(ip)) + ip
    path = tmp_path / "faces.pcap"
    path.write_bytes(pcap)
    args = ["tshark", "-r", str(path), "--enable-heuristic", "osc_udp", "-T", "fields"]
    seen = subprocess.run(
        [*args, "-e", "frame.protocols", "-e", "_ws.malformed"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout.splitlines()  # fmt: skip
    assert len(seen) == len(found)
    assert all("osc" in line and "alformed" not in line for line in seen)


def test_pylivelinkface_reads_every_value_by_name():
    live = pytest.importorskip("pylivelinkface", reason="pylivelinkface is not installed")
    (data,) = datagrams("livelink")
    ok, got = live.PyLiveLinkFace.decode(data)
    assert ok
    for name, value in zip(ARKIT_52, RAMP.tolist(), strict=True):
        theirs = getattr(live.FaceBlendShape, name[0].upper() + name[1:])
        assert got.get_blendshape(theirs) == pytest.approx(value, abs=1e-5), name


class Into:
    """A target that keeps what it is told to send."""

    def __init__(self, sent: list[bytes]) -> None:
        self._sent = sent

    def send(self, data: bytes) -> None:
        self._sent.append(bytes(data))


def test_recorded_packets_come_back_byte_for_byte():
    if not RECORDED.exists():
        pytest.skip("the recorded Live Link packets are not here: ../shared is absent")
    seen = 0
    for path in sorted(RECORDED.glob("*.gesichter")):
        raw = gzip.decompress(path.read_bytes())
        (count,) = struct.unpack_from(">I", raw, 1)
        at = 5
        for _ in range(count):
            (size,) = struct.unpack_from(">I", raw, at)
            data, at = raw[at + 4 : at + 4 + size], at + 4 + size
            n = struct.unpack_from(">i", data, 1)[0]
            m = struct.unpack_from(">i", data, 5 + n)[0]
            device, name = data[5 : 5 + n].decode(), data[9 + n : 9 + n + m].decode()
            index, sub, rate, per, shapes = struct.unpack_from(">ifiiB", data, 9 + n + m)
            ours = packet(device, name, rate)
            struct.pack_into(">ifiiB", ours, 9 + n + m, index, sub, rate, per, shapes)
            ours[-244:] = data[-244:]
            assert bytes(ours) == data
            # The 52 weights go the whole way: parsed, sent as a face, the same bytes again. (The 9
            # angles cannot: ours follow from the head and the gaze, not from nine free numbers.)
            weights = np.frombuffer(data[-244:], ">f4")[:52].astype(np.float32)
            sent: list[bytes] = []
            options = {"where": "", "name": name, "device": device, "fps": "60"}
            sink = LiveLink(Into(sent), ShapeSelection(), options)  # type: ignore[arg-type]
            sink.send(BlendshapeFrame(weights, 0, 0.0))
            assert sent[0][-244:-36] == data[-244:-36]
            seen += 1
    assert seen > 100


def test_a_recorded_iphone_turns_its_eyes_as_we_do():
    path = RECORDED / "dao.gesichter"
    if not path.exists():
        pytest.skip("the recorded Live Link packets are not here: ../shared is absent")
    raw = gzip.decompress(path.read_bytes())
    (count,) = struct.unpack_from(">I", raw, 1)
    at, theirs = 5, []
    for _ in range(count):
        (size,) = struct.unpack_from(">I", raw, at)
        at += 4 + size
        theirs.append(np.frombuffer(raw[at - 244 : at], ">f4").astype(np.float32))
    sent: list[bytes] = []
    options = {"where": "", "name": "", "device": "", "fps": "60"}
    sink = LiveLink(Into(sent), ShapeSelection(), options)  # type: ignore[arg-type]
    for values in theirs:
        sink.send(BlendshapeFrame(values[:52], 0, 0.0))
    ours = np.array([np.frombuffer(data[-244:], ">f4") for data in sent])
    for angle in (55, 56, 58, 59):  # yaw and pitch, left and right
        agreed = np.corrcoef(ours[:, angle], np.array(theirs)[:, angle])[0, 1]
        assert agreed > 0.99, angle
