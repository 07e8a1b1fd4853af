"""Sound in, packets out, as on an oscilloscope.

``python -m benchmarks.runtime.scope [--seconds 30]``

``edge-run`` runs as a program of its own on a microphone of a PipeWire server, into which a short
vowel is played each second; its packets arrive at a UDP socket here. Declared delay and what the
machine added are told apart. Writes ``results/scope.json`` and a plot.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import RESULTS
from benchmarks.runtime.sound_server import SoundServer, missing_tools, voice
from edge.contract import SAMPLE_RATE, Floats
from quantize.evaluation.record import write_record
from quantize.plotting import pyplot

LOUD_DB, OPEN = -60.0, 0.05
VOWEL = SAMPLE_RATE // 5
"""Samples of a burst."""


def bursts(seconds: float) -> Floats:
    """The demo clip's loudest 0.2 s each second, silence between."""
    second, speech = np.zeros(SAMPLE_RATE, np.float32), voice(5)
    power = np.convolve(speech**2, np.ones(VOWEL), "valid")
    at = int(power.argmax())
    second[:VOWEL] = speech[at : at + VOWEL] * np.hanning(VOWEL) ** 0.25
    return np.tile(second, int(seconds) + 1)


def listen(seconds: float) -> list[dict[str, Any]]:
    """What ``edge-run`` sends, each packet with the time of its arrival."""
    server, packets = SoundServer(), []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.5)
        to = f"json://127.0.0.1:{receiver.getsockname()[1]}?region=mouth"  # one datagram
        try:
            source = server.plug("mic")
            server.play("mic", bursts(seconds + 20))
            command = [sys.executable, "-m", "edge.cli", "--mic", source, "--to", to]
            child = subprocess.Popen([*command, "--control", "off"], start_new_session=True)
            try:
                till = time.monotonic() + seconds + 3
                while (now := time.monotonic()) < till:
                    try:
                        packet = json.loads(receiver.recv(8192))
                    except TimeoutError:
                        continue
                    packets.append(packet | {"arrived": time.monotonic()})
                    if now < till - seconds:  # still starting
                        packets.clear()
            finally:
                child.terminate()
                child.wait()
        finally:
            server.close()
    return packets


def figures(packets: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Delays in ms: of every packet, and from each burst's sound to the jaw that answers it."""
    arrived, captured, level, jaw = columns(packets)
    loud = level > LOUD_DB
    starts = np.flatnonzero(loud[1:] & ~loud[:-1]) + 1
    answers = []
    for at in starts:
        later = np.flatnonzero((arrived > captured[at]) & (jaw > OPEN))
        if len(later) and jaw[at - 1] < OPEN:
            answers.append((arrived[later[0]] - captured[at]) * 1000)
    added = (arrived - captured) * 1000
    return {
        "declared_ms": packets[0]["delay"] * 1000,
        "added_ms": dict(zip(("p50", "p99"), np.percentile(added, (50, 99)).tolist(), strict=True)),
        "sound_to_open_jaw_ms": dict(
            zip(("p50", "p99"), np.percentile(answers, (50, 99)).tolist(), strict=True)
        ),
        "packets": len(packets),
        "bursts": len(answers),
    }


def columns(packets: Sequence[dict[str, Any]]) -> tuple[Floats, Floats, Floats, Floats]:
    """Arrival and capture times (s), level (dBFS) and jaw of each packet."""
    rows = [
        (p["arrived"], p["captured_at"], p["level_db"], p["weights"]["jawOpen"]) for p in packets
    ]
    arrived, captured, level, jaw = np.array(rows).T
    return arrived, captured, level, jaw


def plot(packets: Sequence[dict[str, Any]], found: dict[str, Any], path: Path) -> None:
    """Three bursts: the sound when it was captured, the jaw when its packets arrived."""
    plt = pyplot()
    arrived, captured, level, jaw = columns(packets)
    begin = captured[0]
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(9, 4.5), layout="constrained")
    above.plot(captured - begin, level, drawstyle="steps-post")
    above.set_ylabel("level captured, dBFS")
    below.plot(arrived - begin, jaw, ".-", drawstyle="steps-post", ms=3)
    below.set(ylabel="jawOpen arrived", xlabel="s", xlim=(0, 3))
    below.set_title(
        f"declared delay {found['declared_ms']:.0f} ms; added p50 {found['added_ms']['p50']:.1f}, "
        f"p99 {found['added_ms']['p99']:.1f} ms",
        fontsize=9,
    )
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    p = argparse.ArgumentParser("benchmarks.runtime.scope", description=__doc__.split("\n")[0])
    p.add_argument("--seconds", type=float, default=30.0)
    args = p.parse_args(argv)
    if tools := missing_tools():
        print(f"benchmarks.runtime.scope: not installed: {', '.join(tools)}", file=sys.stderr)
        return 69
    packets = listen(args.seconds)
    if not packets:
        print(
            "benchmarks.runtime.scope: edge-run sent nothing; see its messages above",
            file=sys.stderr,
        )
        return 70
    found = figures(packets)
    plot(packets, found, RESULTS / "scope.png")
    print(found)
    print(f"written: {write_record('scope', found, RESULTS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
