"""How late faces leave, from the sample that completes one to its packet, habit by habit.

python -m benchmarks.runtime.latency [--seconds 8] [--rounds 3]

On a PipeWire microphone, idle and beside two CPU hogs. Every round measures every row once, so that
a stall of the machine hits all alike; the row "timer alone" is a bare thread that only sleeps to a
deadline 60 times a second, so what it shows is the machine's own lateness.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import RESULTS
from benchmarks.runtime.sound_server import SoundServer, missing_tools, voice
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import FPS, Floats, Sink
from quantize.evaluation.record import write_record

HABITS = ("slack", "gc", "fifo", "callback", "mlock")
"""Timer slack, frozen garbage, SCHED_FIFO for the loop and for the audio thread, mlockall."""

ALONE = "timer alone"
ROWS: dict[str, tuple[str, ...]] = {
    ALONE: (),
    "none": (),
    **{f"only {habit}": (habit,) for habit in HABITS},
    "default": ("slack", "gc"),
    "realtime": HABITS,
}
HOG = "while True: pass"
WARM_UP = 3.0


def measure(seconds: float, habits: Sequence[str]) -> dict[str, Any]:
    """In this very process: run the loop on ``mic.monitor`` and take the time of every face."""
    from edge import realtime, runtime
    from edge.audio.microphone import Microphone
    from edge.inference.engine import open_engines
    from edge.outputs import open_output
    from edge.pipeline import Pipeline
    from edge.run_stats import RunStats

    rows: list[tuple[float, float]] = []

    class Watch:
        def send(self, frame: Any) -> None:
            now = time.monotonic()
            rows.append((now, now - frame.captured_at))

        def close(self) -> None:
            pass

    if "slack" in habits:
        realtime.tight_timers()
    if "gc" not in habits:
        setattr(runtime, "settle_garbage", lambda: None)  # noqa: B010
    bundle = read_bundle(DEFAULT)
    pipeline = Pipeline(bundle, open_engines(bundle))
    source = Microphone("mic.monitor", 12, realtime="callback" in habits)
    granted = [realtime.first_in_line()] if "fifo" in habits else []
    granted += [realtime.stay_in_memory()] if "mlock" in habits else []
    stop, stats = threading.Event(), RunStats()
    threading.Timer(WARM_UP + seconds, stop.set).start()
    sinks: list[Sink] = [open_output("vmc://127.0.0.1:39999"), Watch()]
    began = time.monotonic() + WARM_UP
    runtime.run(source, pipeline, sinks, stop, stats, max_latency=1.0)
    source.close()
    late = np.array([latency for at, latency in rows[:-1] if at >= began]) * 1000
    return summary(late) | {"rested": stats.rested, "granted": all(granted)}


def timer(seconds: float) -> dict[str, Any]:
    """A thread that sleeps to a deadline 60 times a second: how late does it wake?"""
    late, began = [], time.monotonic()
    for i in range(int(seconds * FPS)):
        deadline = began + (i + 1) / FPS
        time.sleep(max(0.0, deadline - time.monotonic()))
        late.append((time.monotonic() - deadline) * 1000)
    return summary(np.array(late)) | {"rested": 0, "granted": True}


def summary(late: Floats) -> dict[str, Any]:
    """Percentiles of lateness in ms."""
    p50, p99, p999 = np.percentile(late, (50, 99, 99.9))
    return {"faces": len(late), "p50": p50, "p99": p99, "p99.9": p999, "max": late.max()}


def child(seconds: float, name: str) -> dict[str, Any]:
    """One row in a process of its own: some habits cannot be given up again.

    In a session of its own too, as a service is: Linux shares a core among sessions first
    (autogroups), and hogs are other people's programs.
    """
    command = [sys.executable, "-m", "benchmarks.runtime.latency", "--one", name]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)],
        stdout=subprocess.PIPE, text=True, check=True, start_new_session=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def together(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """One row of several rounds: the median of each figure, and the range of p99."""
    middle = {k: float(np.median([r[k] for r in rounds])) for k in ("p50", "p99", "p99.9", "max")}
    spread = sorted(r["p99"] for r in rounds)
    return middle | {
        "p99_range": [spread[0], spread[-1]],
        "faces": sum(r["faces"] for r in rounds),
        "rested": sum(r["rested"] for r in rounds),
        "granted": all(r["granted"] for r in rounds),
    }


def measure_all(rounds: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Every row, idle and beside two hogs, ``rounds`` times in turn."""
    found: dict[str, list[dict[str, Any]]] = {}
    for turn in range(rounds):
        for hogs in (0, 2):
            running = [
                subprocess.Popen([sys.executable, "-c", HOG], start_new_session=True)
                for _ in range(hogs)
            ]
            try:
                for name in ROWS:
                    row = child(seconds, name)
                    found.setdefault(f"{name}, {hogs} hogs", []).append(row)
                    print(f"{turn + 1}: {name}, {hogs} hogs: p99 {row['p99']:.1f} ms", flush=True)
            finally:
                for hog in running:
                    hog.kill()
                    hog.wait()
    return {name: together(rows) for name, rows in found.items()}


def main() -> None:
    """Run, print a table, write JSON."""
    p = argparse.ArgumentParser("benchmarks.runtime.latency", description=__doc__.split("\n")[0])
    p.add_argument("--seconds", type=float, default=8.0, help="each row, each round (8)")
    p.add_argument("--rounds", type=int, default=3, help="(3)")
    p.add_argument("--one", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.one == ALONE:
        print(json.dumps(timer(args.seconds)))
        return
    if args.one is not None:
        print(json.dumps(measure(args.seconds, ROWS[args.one])))
        return
    if absent := missing_tools():
        raise SystemExit(f"latency: not installed: {', '.join(absent)}")
    server = SoundServer()
    try:
        server.plug("mic")
        server.play("mic", voice(len(ROWS) * 2 * args.rounds * (args.seconds + 15)))
        table = measure_all(args.rounds, args.seconds)
    finally:
        server.close()
    print(f"{'':22} {'p50':>7} {'p99':>7} {'p99.9':>7} {'max':>7} ms  p99 of the rounds  rested")
    for name, row in table.items():
        figures = " ".join(f"{row[k]:7.1f}" for k in ("p50", "p99", "p99.9", "max"))
        least, most = row["p99_range"]
        refused = "" if row["granted"] else "  (refused)"
        print(f"{name:22} {figures}     {least:5.1f} to {most:5.1f}  {row['rested']}{refused}")
    print(write_record("latency", {"unit": "ms", "rounds": args.rounds, "rows": table}, RESULTS))


if __name__ == "__main__":
    main()
