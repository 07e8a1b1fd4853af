"""A million control datagrams at a running ``edge-run``, beside one that nobody floods.

    python -m benchmarks.runtime.control_flood [--datagrams N] [--quiet S]

Both processes play the same file at the same time on the same machine. First a minute of quiet,
then the flood at 10,000 datagrams a second; each reports its latency over the last minute. Loopback
only. Half of the datagrams are valid commands, the others are such with bytes changed, and noise.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks import DEMO, RESULTS
from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import ARKIT_52, SAMPLE_RATE
from edge.outputs.osc import message
from quantize.evaluation.record import write_record

RATE = 10_000
"""Datagrams a second."""
QUIET_S = 62
DISTINCT = 50_000
SEED = 20
STYLES = read_bundle(DEFAULT).styles or ("none",)
FLOODED, CALM = 40_541, 40_542
MOST_S = 600
"""The two processes end by themselves after so much audio, come what may."""


def command(rng: random.Random) -> bytes:
    """A valid command, but none that would end the comparison by switching the output off."""
    return rng.choice(
        [
            lambda: message("/edge/emotion", rng.choice(["joy", "sad", "fear"]), rng.random()),
            lambda: message("/edge/emotion", "anger", rng.random(), rng.random()),
            lambda: message("/edge/emotion/auto"),
            lambda: message("/edge/text", "words " * rng.randrange(40), rng.random()),
            lambda: message("/edge/style", rng.choice(STYLES), rng.random()),
            lambda: message("/edge/gain", rng.choice(ARKIT_52), 2 * rng.random()),
            lambda: message("/edge/lookahead", rng.choice([0, 33, 67, 133])),
            lambda: message("/edge/neutral", rng.randrange(2)),
            lambda: message("/edge/mute", rng.randrange(2)),
            lambda: message("/edge/output/1/enable", 1),
            lambda: message("/edge/reload"),
            lambda: message("/edge/ping", rng.randrange(99)),
        ]
    )()


def datagram(rng: random.Random) -> bytes:
    """A command, whole or with bytes changed, left out or repeated; or noise up to 3000 bytes."""
    kind = rng.random()
    if kind < 0.1:
        return rng.randbytes(rng.randrange(3000))
    data = bytearray(command(rng))
    if kind < 0.5:
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        if rng.random() < 0.1:
            data *= rng.randrange(2, 40)
    return bytes(data)


def start(clip: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    """One ``edge-run`` that sends to a port where nobody listens."""
    args = ["--mic", f"file:{clip}", "--control", str(port), "--to", f"vmc://127.0.0.1:{port + 9}"]
    with log.open("wb") as out:
        return subprocess.Popen([sys.executable, "-m", "edge.cli", *args], stderr=out)


def ask(port: int) -> dict[str, Any]:
    """The status of an ``edge-run``; a lost datagram is asked for again."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1.0)
        for _ in range(10):
            asking.sendto(message("/edge/ping"), ("127.0.0.1", port))
            try:
                answers = [asking.recv(65536), asking.recv(65536)]
            except OSError:
                continue
            text = next(a for a in answers if a.startswith(b"/edge/status"))
            status: dict[str, Any] = json.loads(text[text.index(b"{") :].rstrip(b"\0"))
            return status
    raise SystemExit(f"edge-run on port {port} does not answer")


def flood(count: int) -> float:
    """Send ``count`` datagrams, 100 every 10 ms; returns the seconds it took."""
    rng = random.Random(SEED)
    loads = [datagram(rng) for _ in range(min(count, DISTINCT))]
    began, sent, slot = time.monotonic(), 0, RATE // 100
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        while sent < count:
            for i in range(sent, min(sent + slot, count)):
                out.sendto(loads[i % len(loads)], ("127.0.0.1", FLOODED))
            sent += slot
            time.sleep(max(0.0, began + sent / RATE - time.monotonic()))
    return time.monotonic() - began


def measure(count: int, quiet_s: float) -> dict[str, Any]:
    """Quiet, then the flood; the figures of both processes after each."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "long.wav"
        audio = read_audio(DEMO)
        soundfile.write(clip, np.tile(audio, MOST_S * SAMPLE_RATE // len(audio)), SAMPLE_RATE)
        logs = [Path(folder) / name for name in ("flooded", "calm")]
        both = [start(clip, port, log) for port, log in zip((FLOODED, CALM), logs, strict=True)]
        try:
            time.sleep(quiet_s)
            before = [ask(port) for port in (FLOODED, CALM)]
            took = flood(count)
            time.sleep(1.0)  # for what the system still holds
            after = [ask(port) for port in (FLOODED, CALM)]
        finally:
            for process in both:
                process.send_signal(signal.SIGTERM)
            status = [process.wait(10) for process in both]
        trouble = [log.read_text("utf-8", "replace").count("Traceback") for log in logs]
    return {
        "datagrams": count,
        "rate_hz": round(count / took),
        "distinct": min(count, DISTINCT),
        "seed": SEED,
        "exit_status": status,
        "tracebacks": trouble,
        "quiet": dict(zip(("flooded", "calm"), map(figures, before), strict=True)),
        "flood": dict(zip(("flooded", "calm"), map(figures, after), strict=True)),
        "accepted": after[0]["accepted"],
        "refused": after[0]["refused"],
    }


def figures(status: dict[str, Any]) -> dict[str, Any]:
    """What is compared: latency over the last minute, faces and losses since the start."""
    return {key: status[key] for key in ("latency_ms", "faces", "rested", "dropped")}


def main() -> None:
    """Measure, print and write."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    p.add_argument("--datagrams", type=int, default=1_000_000)
    p.add_argument("--quiet", type=float, default=QUIET_S, metavar="S")
    args = p.parse_args()
    results = measure(min(args.datagrams, 2_000_000), args.quiet)
    print(write_record("control_flood", results, RESULTS).read_text())


if __name__ == "__main__":
    main()
