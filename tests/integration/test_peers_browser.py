"""A VRM in a browser moves from our packets: npm osc reads them, three-vrm holds them."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from edge.contract import ARKIT_52
from edge.outputs.tables import pascal
from tests.fakes import DEMO, ROOT

pytestmark = pytest.mark.toolchain  # once in CI is enough for a browser

PEERS = ROOT / "tests/peers"
PRESETS = ("aa", "ih", "ou", "ee", "oh", "blink", "blinkLeft", "blinkRight", "happy", "angry",
           "sad", "relaxed", "surprised")  # fmt: skip
SIDED = ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
BONES = ["hips", "spine", "head", *(side + b for side in ("left", "right") for b in SIDED)]
MORPHS = (*ARKIT_52, *PRESETS)


def vrm():
    """A VRM 1.0: one square with a morph target a shape, and the bones that VRM asks for.

    ``jawOpen`` and ``aa`` make the square larger, so that a picture of it shows them.
    """
    square = np.float32([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    grown = np.float32([[-0.4, -0.4, 0], [0.4, -0.4, 0], [0.4, 0.4, 0], [-0.4, 0.4, 0]])
    still = np.zeros((4, 3), np.float32)
    moves = [grown if name in ("jawOpen", "aa") else still for name in MORPHS]
    points = b"".join(a.tobytes() for a in (square, *moves))
    corners = np.uint16([0, 1, 2, 0, 2, 3]).tobytes()
    views = [{"buffer": 0, "byteOffset": 48 * i, "byteLength": 48} for i in range(1 + len(moves))]
    views.append({"buffer": 0, "byteOffset": len(points), "byteLength": len(corners)})
    accessors = [
        {"bufferView": i, "componentType": 5126, "count": 4, "type": "VEC3",
         "min": a.min(0).tolist(), "max": a.max(0).tolist()}
        for i, a in enumerate((square, *moves))
    ]  # fmt: skip
    last = len(views) - 1
    accessors.append({"bufferView": last, "componentType": 5123, "count": 6, "type": "SCALAR"})
    mesh = {
        "primitives": [{"attributes": {"POSITION": 0}, "indices": last, "material": 0,
                        "targets": [{"POSITION": 1 + i} for i in range(len(moves))]}],
        "extras": {"targetNames": MORPHS},
    }  # fmt: skip
    binds = {
        name: {"morphTargetBinds": [{"node": 0, "index": i, "weight": 1.0}]}
        for i, name in enumerate(MORPHS)
    }
    extension = {
        "specVersion": "1.0",
        "meta": {"name": "square", "authors": ["the tests"],
                 "licenseUrl": "https://vrm.dev/licenses/1.0/"},
        "humanoid": {"humanBones": {b: {"node": 1 + i} for i, b in enumerate(BONES)}},
        "expressions": {"preset": {name: binds[name] for name in PRESETS},
                        "custom": {pascal(name): binds[name] for name in ARKIT_52}},
    }  # fmt: skip
    whole = {
        "asset": {"version": "2.0"},
        "extensionsUsed": ["VRMC_vrm", "KHR_materials_unlit"],
        "extensions": {"VRMC_vrm": extension},
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"mesh": 0}, {"name": "hips", "children": list(range(2, 1 + len(BONES)))},
                  *({"name": b} for b in BONES[1:])],
        "meshes": [mesh],
        "materials": [{"doubleSided": True, "extensions": {"KHR_materials_unlit": {}}}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(points + corners)}],
    }  # fmt: skip
    text, data = json.dumps(whole).encode(), points + corners
    text, data = text + b" " * (-len(text) % 4), data + b"\0" * (-len(data) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def need_browser():
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    for what, here in (
        ("node", shutil.which("node")),
        (chromium, shutil.which(chromium)),
        ("tests/peers/node_modules", (PEERS / "node_modules").is_dir()),
    ):
        if not here:
            pytest.skip(f"{what} is not installed: run tests/peers/install.sh")


def applied(datagrams):
    return sum(b"Blend/Apply" in data for data in datagrams)


def played_to(port, query, faces):
    """Run live, pass every datagram on to ``port``; the datagrams."""
    passed = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tap:
        tap.bind(("127.0.0.1", 0))
        tap.settimeout(0.5)
        url = f"vmc://127.0.0.1:{tap.getsockname()[1]}{query}"
        command = [sys.executable, "-m", "edge.cli", "--mic", f"file:{DEMO}", "--to", url]
        run = subprocess.Popen(
            [*command, "--control", "off"], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        try:
            give_up = time.monotonic() + 60
            while time.monotonic() < give_up:
                try:
                    passed.append(tap.recv(65536))
                except TimeoutError:
                    if run.poll() is not None:
                        break
                    continue
                tap.sendto(passed[-1], ("127.0.0.1", port))
                # Once only: a second one would find Python taking its handlers down.
                if b"Blend/Apply" in passed[-1] and applied(passed) == faces:
                    run.send_signal(signal.SIGINT)
            stderr = run.communicate(timeout=20)[1]
        finally:
            run.kill()
    assert run.returncode == 0, stderr
    return passed


def seen_by_three_vrm(tmp_path, query, faces=240):
    """What python-osc reads of each face, what three-vrm held after it, and the pictures."""
    packets = pytest.importorskip("pythonosc.osc_packet", reason="python-osc is not installed")
    need_browser()
    avatar = tmp_path / "square.vrm"
    avatar.write_bytes(vrm())
    bridge = subprocess.Popen(
        ["node", str(PEERS / "bridge.mjs"), str(avatar)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        first = bridge.stdout.readline()
        assert first, "the avatar did not load; see standard error"
        passed = played_to(json.loads(first)["port"], query, faces)
        rest = bridge.communicate(timeout=60)[0]
    finally:
        bridge.kill()
    *seen, end = map(json.loads, rest.splitlines())
    assert end["errors"] == []
    sent, now = [], {}
    for data in passed:
        for message in (timed.message for timed in packets.OscPacket(data).messages):
            if message.address == "/VMC/Ext/Blend/Val":
                now[message.params[0]] = message.params[1]
            elif message.address == "/VMC/Ext/Blend/Apply":
                sent.append(now)
                now = {}
    assert len(sent) >= faces
    return sent, seen, end["pictures"]


def test_a_vrm_wears_the_52_shapes_and_comes_to_rest(tmp_path):
    sent, seen, pictures = seen_by_three_vrm(tmp_path, "")
    # VRM cuts its weights to [0, 1], where ours are anyway; the page holds the very same numbers.
    assert [face["expressions"] for face in seen] == sent
    for values, face in zip(sent, seen, strict=True):
        worn = [face["morphs"][name] for name in ARKIT_52]
        assert worn == pytest.approx([values[pascal(name)] for name in ARKIT_52])
        assert not any(face["morphs"][name] for name in PRESETS)
    jaw = [face["morphs"]["jawOpen"] for face in seen]
    assert max(jaw) > 0.15
    assert jaw[-1] == 0
    assert pictures["widest"] > 1.05 * pictures["rest"] > 0
    assert pictures["last"] == pictures["rest"]


def test_a_vrm_without_the_52_speaks_in_presets(tmp_path):
    sent, seen, pictures = seen_by_three_vrm(tmp_path, "?preset=vrm1")
    assert [face["expressions"] for face in seen] == sent
    assert set(sent[0]) <= set(PRESETS)
    for values, face in zip(sent, seen, strict=True):
        worn = {name: face["morphs"][name] for name in values}
        assert worn == pytest.approx(values)
        assert not any(face["morphs"][name] for name in ARKIT_52)
    aa = [face["morphs"]["aa"] for face in seen]
    assert max(aa) > 0.15
    assert aa[-1] == 0
    assert pictures["last"] == pictures["rest"] < pictures["widest"]
