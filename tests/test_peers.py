"""Packages that others wrote decode what we send; each test skips where its package is absent."""

import gzip
import socket
import struct

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
        receiver.setblocking(False)  # on loopback a datagram is there once it is sent
        scheme, _, query = url.partition("?")
        sink = open_output(f"{scheme}://127.0.0.1:{receiver.getsockname()[1]}?{query}".rstrip("?"))
        sink.send(BlendshapeFrame(RAMP, 1, 0.0))
        sink.close()
        got = []
        try:
            while True:
                got.append(receiver.recv(65536))
        except BlockingIOError:
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
