"""Programs that others wrote decode what we send; each test skips where its program is absent."""

import gzip
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge.contract import ARKIT_52, BlendshapeFrame
from edge.outputs import open_output
from edge.outputs.livelink import packet

RECORDED = Path(__file__).parents[2] / "shared/data/livelink_udp_packets"
RAMP = np.linspace(0.01, 0.99, 52, dtype=np.float32)


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
            seen += 1
    assert seen > 100
