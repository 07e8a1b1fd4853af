"""What open tabs cost the faces: the latency of ``edge-run --preview`` with tabs that read or hang.

    python -m benchmarks.runtime.preview_tabs [--seconds S] [--rounds N]

Tabs are web sockets of another process on the same machine. Each case runs its own ``edge-run`` on
the same clip; rounds are interleaved, because other work on the machine comes and goes.
"""

from __future__ import annotations

import argparse
import base64
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile

from benchmarks import DEMO, RESULTS
from benchmarks.runtime.control_flood import ask
from edge.audio.audio_file import read_audio
from edge.contract import SAMPLE_RATE
from edge.outputs.osc import message
from quantize.evaluation.record import write_record

PREVIEW, CONTROL = 40_551, 40_552
CASES = {
    "no preview": (0, 0, 0),
    "no tab": (0, 0, 0),
    "1 tab": (1, 0, 0),
    "20 tabs": (20, 0, 0),
    "1 stuck tab": (0, 1, 0),
    "20 tabs, 5 of them stuck": (15, 5, 0),
    "1 tab that orders without end": (0, 0, 1),
}
"""Tabs that read, that never read, and that send as fast as they can."""


def tab(reads: bool) -> socket.socket:
    """A web socket as a page opens it; one that will not read has a small buffer."""
    one = socket.socket()
    if not reads:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", PREVIEW))
    key = base64.b64encode(os.urandom(16)).decode()
    one.sendall(
        f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{PREVIEW}\r\nOrigin: http://127.0.0.1:{PREVIEW}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    if b" 101 " not in one.recv(200):
        raise SystemExit("the preview did not take a tab")
    return one


def order() -> bytes:
    """A gain as a page sends it: one masked binary frame (the mask is zero)."""
    data = message("/edge/gain", "jawOpen", 1.0)
    return bytes([0x82, 0x80 | len(data), 0, 0, 0, 0]) + data


def visit(reading: int, stuck: int, ordering: int, stop: threading.Event) -> int:
    """Keep tabs open until ``stop``; returns the bytes that the first reading one got."""
    tabs = [tab(True) for _ in range(reading)]
    rest = [tab(False) for _ in range(stuck)]
    pushy = [tab(True) for _ in range(ordering)]
    for one in pushy:
        one.setblocking(False)
    got, frames = 0, order() * 50
    while not stop.is_set():
        ready = select.select(tabs + pushy, pushy, [], 0.05)
        for one in ready[0]:
            n = len(one.recv(65536))
            got += n if tabs and one is tabs[0] else 0
        for one in ready[1]:
            one.send(frames)
        if pushy:
            stop.wait(0.001)
    for one in tabs + rest + pushy:
        one.close()
    return got


def run(case: str, seconds: float, clip: Path) -> dict[str, Any]:
    """One ``edge-run`` with its visitors; its figures at the end."""
    args = ["--mic", f"file:{clip}", "--control", str(CONTROL), "--to", "vmc://127.0.0.1:40553"]
    if case != "no preview":
        args += ["--preview", str(PREVIEW)]
    process = subprocess.Popen([sys.executable, "-m", "edge.cli", *args], stderr=subprocess.DEVNULL)
    stop, got = threading.Event(), [0]
    try:
        time.sleep(3)
        visitor = threading.Thread(target=lambda: got.append(visit(*CASES[case], stop)))
        visitor.start()
        used = cpu(process.pid)
        time.sleep(seconds)
        used = cpu(process.pid) - used
        status = ask(CONTROL)
        stop.set()
        visitor.join(5)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    return {
        **status["latency_ms"],
        "cpu_share": round(used / seconds, 4),
        "faces": status["faces"],
        "bytes_a_second_and_tab": round(got[-1] / seconds),
    }


def cpu(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, print and write."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    p.add_argument("--seconds", type=float, default=25.0)
    p.add_argument("--rounds", type=int, default=3)
    args = p.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "long.wav"
        audio = read_audio(DEMO)
        soundfile.write(clip, np.tile(audio, 5), SAMPLE_RATE)
        for _ in range(args.rounds):
            for case, row in rows.items():
                row.append(run(case, args.seconds, clip))
                print(case, row[-1], flush=True)
    results = {
        case: {key: round(median(r[key] for r in row), 4) for key in row[0]} | {"rounds": row}
        for case, row in rows.items()
    }
    print(write_record("preview", results, RESULTS))


if __name__ == "__main__":
    main()
