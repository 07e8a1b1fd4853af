"""Programs that others wrote decode what we send; each test skips where its program is absent."""

import json
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.contract import ARKIT_52
from tests.fakes import ROOT
from tests.test_peers import OSC, RAMP, as_python_osc, datagrams

PEERS = ROOT / "tests" / "peers"


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
