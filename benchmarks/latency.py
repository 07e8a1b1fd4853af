"""How late faces leave, from the sample that completes one to its packet, habit by habit.

python -m benchmarks.latency [--seconds 20]    on a PipeWire microphone, idle and with two hogs
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

from benchmarks.report import write
from benchmarks.soundserver import SoundServer, missing_tools, voice
from edge.bundle import DEFAULT, read_bundle

HABITS = ("slack", "gc", "fifo", "callback", "mlock")
"""Timer slack, frozen garbage, SCHED_FIFO for the loop and for the audio thread, mlockall."""

ROWS: dict[str, tuple[str, ...]] = {
    "none": (),
    **{f"only {habit}": (habit,) for habit in HABITS},
    "default": ("slack", "gc"),
    "realtime": HABITS,
}
HOG = "while True: pass"
WARM_UP = 3.0


def measure(seconds: float, habits: list[str]) -> dict[str, Any]:
    """In this very process: run the loop on ``mic.monitor`` and take the time of every face."""
    from edge import realtime, runtime
    from edge.engine import open_engines
    from edge.microphone import Microphone
    from edge.outputs import open_output
    from edge.pipeline import Pipeline
    from edge.score import Score

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
    stop, score = threading.Event(), Score()
    threading.Timer(WARM_UP + seconds, stop.set).start()
    sinks = [open_output("vmc://127.0.0.1:39999"), Watch()]
    began = time.monotonic() + WARM_UP
    runtime.run(source, pipeline, sinks, stop, score, max_latency=1.0)
    source.close()
    late = np.array([latency for at, latency in rows[:-1] if at >= began]) * 1000
    p50, p99, p999 = np.percentile(late, (50, 99, 99.9))
    return {
        "faces": len(late), "p50": p50, "p99": p99, "p99.9": p999, "max": late.max(),
        "rested": score.rested, "granted": all(granted),
    }  # fmt: skip


def child(seconds: float, habits: tuple[str, ...]) -> dict[str, Any]:
    """``measure`` in a process of its own: some habits cannot be given up again."""
    command = [sys.executable, "-m", "benchmarks.latency", "--one", ",".join(habits)]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run, print a table, write JSON."""
    p = argparse.ArgumentParser("benchmarks.latency", description=__doc__)
    p.add_argument("--seconds", type=float, default=20.0)
    p.add_argument("--one", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.one is not None:
        print(json.dumps(measure(args.seconds, args.one.split(","))))
        return
    if absent := missing_tools():
        raise SystemExit(f"latency: not installed: {', '.join(absent)}")
    server, table = SoundServer(), {}
    try:
        server.plug("mic")
        server.play("mic", voice(len(ROWS) * 2 * (args.seconds + 15)))
        for hogs in (0, 2):
            running = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(hogs)]
            try:
                print(
                    f"{hogs} hogs{'':16} {'p50':>7} {'p99':>7} {'p99.9':>7} {'max':>7} ms  rested"
                )
                for name, habits in ROWS.items():
                    row = child(args.seconds, habits)
                    figures = " ".join(f"{row[k]:7.1f}" for k in ("p50", "p99", "p99.9", "max"))
                    refused = "" if row["granted"] else "  (refused)"
                    print(f"{name:22} {figures}     {row['rested']}{refused}", flush=True)
                    table[f"{name}, {hogs} hogs"] = row
            finally:
                for hog in running:
                    hog.kill()
                    hog.wait()
    finally:
        server.close()
    print(write("latency", {"bundle": read_bundle(DEFAULT).hash, "unit": "ms", "rows": table}))


if __name__ == "__main__":
    main()
