"""Long runs: does memory grow, does latency stay, is every face accounted for?

python -m benchmarks.runtime.soak --hours 24   simulated clock: audio and faults as fast as they go
python -m benchmarks.runtime.soak --minutes 30  real time, on a PipeWire server with random faults
"""

from __future__ import annotations

import argparse
import logging
import random
import threading
import time
from contextlib import closing
from typing import Any

import numpy as np

from benchmarks import RESULTS
from benchmarks.runtime.loop_thread import rss_mb
from benchmarks.runtime.simulated_microphone import SimulatedMicrophone
from benchmarks.runtime.sound_server import SoundServer, missing_tools, voice
from edge.audio.microphone import Microphone
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import SAMPLE_RATE, BlendshapeFrame
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from edge.run_stats import RunStats
from edge.runtime import run
from quantize.evaluation.record import write_record
from quantize.plotting import pyplot


class Count:
    """A sink that counts, and sees to it that every face is finite and in range."""

    def __init__(self) -> None:
        self.faces = self.broken = 0

    def send(self, frame: BlendshapeFrame) -> None:
        """Count."""
        self.faces += 1
        self.broken += not (frame.weights.min() >= 0 and frame.weights.max() <= 1)

    def close(self) -> None:
        """Nothing is held."""


class Samples:
    """Memory, latency and speed at regular times."""

    def __init__(self, stats: RunStats, every: float) -> None:
        self._stats, self._every, self._next = stats, every, every
        self.rows: list[dict[str, float]] = []
        self._real = time.perf_counter()

    def __call__(self, now: float) -> None:
        """Take one if it is time."""
        if now >= self._next:
            self._next += self._every
            p50, p99 = self._stats.latency_ms()
            row = {"s": now, "rss_mb": rss_mb(), "p50_ms": p50, "p99_ms": p99}
            self.rows.append(row | {"real_s": time.perf_counter() - self._real})


def verdict(stats: RunStats, sink: Count, rows: list[dict[str, float]]) -> dict[str, Any]:
    """Counters and whether they are exact; growth from a tenth of the run (warm by then) on."""
    settled = rows[len(rows) // 10 :]
    rss, p99 = [r["rss_mb"] for r in settled], [r["p99_ms"] for r in settled]
    return {
        "captured": stats.captured,
        "shown": stats.faces,
        "dropped": dict(stats.dropped),
        "at_rest": stats.rested,
        "received": sink.faces,
        "broken_faces": sink.broken,
        "exact": stats.captured == stats.faces + sum(stats.dropped.values())
        and sink.faces == stats.faces + stats.rested + 1,
        "rss_growth_mb": round(rss[-1] - rss[0], 3),
        "p99_ms_min_max": [round(min(p99), 2), round(max(p99), 2)],
        "p99_ms_overall": round(stats.quantile_ms(0.99), 2),
    }


def simulate(hours: float, seed: int) -> dict[str, Any]:
    """Hours of audio at full speed."""
    stats, sink, bundle = RunStats(), Count(), read_bundle(DEFAULT)
    samples = Samples(stats, max(60.0, hours * 3600 / 200))
    source = SimulatedMicrophone(hours, seed, samples)
    pipeline = Pipeline(bundle, open_engines(bundle))
    began, worked = time.perf_counter(), time.process_time()
    run(source, pipeline, [sink], threading.Event(), stats, source.clock)
    spent, worked = time.perf_counter() - began, time.process_time() - worked
    return {
        "bundle": bundle.hash,
        "hours": source.now / 3600,
        "times_real_time": round(source.now / spent, 1),
        "times_real_time_of_cpu": round(source.now / worked, 1),
        "device_lost": source.lost,
        "stalls": source.stalls,
        "nan_blocks": source.broken,
        "audio_blocks_dropped": source.dropped,
        **verdict(stats, sink, samples.rows),
        "samples": samples.rows,
    }


def hurt(server: SoundServer, rng: random.Random) -> str:
    """One random fault, over before this returns."""
    kind = rng.choice(("unplugged", "frozen", "restarted", "nan", "quiet"))
    away = rng.uniform(0.5, 4.0)
    if kind == "unplugged":
        server.unplug("mic")
        time.sleep(away)
        server.plug("mic")
    elif kind == "frozen":
        server.freeze(True)
        time.sleep(away)
        server.freeze(False)
    elif kind == "restarted":
        server.kill()
        time.sleep(away)
        server.start()
        server.plug("mic")
    elif kind == "nan":
        server.play("mic", np.full(int(away * SAMPLE_RATE), np.nan, np.float32))
        time.sleep(away)
    else:
        server.mute("mic")
        time.sleep(away)
    server.play("mic", voice(600))
    return kind


def live(minutes: float, seed: int) -> dict[str, Any]:
    """Minutes on PipeWire, a fault about every 15 s."""
    rng, server, faults = random.Random(seed), SoundServer(), dict[str, int]()
    try:
        server.plug("mic")
        server.play("mic", voice(600))
        stats, sink, bundle, stop = RunStats(), Count(), read_bundle(DEFAULT), threading.Event()
        samples, pipeline = Samples(stats, 5.0), Pipeline(bundle, open_engines(bundle))
        with closing(Microphone("mic.monitor", 12, wait=True)) as source:
            thread = threading.Thread(target=run, args=(source, pipeline, [sink], stop, stats))
            thread.start()
            began = time.monotonic()
            next_fault = began + 15
            while (now := time.monotonic()) < began + minutes * 60:
                samples(now - began)
                if now >= next_fault:
                    kind = hurt(server, rng)
                    faults[kind] = faults.get(kind, 0) + 1
                    next_fault = time.monotonic() + rng.uniform(5, 25)
                time.sleep(0.2)
            stop.set()
            thread.join()
            reconnects, dropped = source.reconnects, source.dropped
    finally:
        server.close()
    head = {"bundle": bundle.hash, "minutes": minutes, "faults": faults, "reconnects": reconnects}
    head["audio_blocks_dropped"] = dropped
    return head | verdict(stats, sink, samples.rows) | {"samples": samples.rows}


def plot(name: str, rows: list[dict[str, float]]) -> None:
    """Memory and latency over time, beside the JSON."""
    plt = pyplot()
    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(8, 5))
    hours = [r["s"] / 3600 for r in rows]
    above.plot(hours, [r["rss_mb"] for r in rows])
    above.set_ylabel("RSS, MB")
    for key in ("p50_ms", "p99_ms"):
        below.plot(hours, [r[key] for r in rows], label=key[:3])
    below.set_ylabel("latency, ms")
    below.set_xlabel("hours")
    below.legend()
    figure.savefig(RESULTS / f"{name}.png", dpi=110)


def main() -> None:
    """Run one of the two, print the verdict, write JSON and plot."""
    p = argparse.ArgumentParser("benchmarks.runtime.soak", description=__doc__)
    p.add_argument("--hours", type=float, default=24.0, help="of simulated audio")
    p.add_argument("--minutes", type=float, help="in real time instead")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    logging.basicConfig(level=logging.ERROR)
    if args.minutes and (absent := missing_tools()):
        raise SystemExit(f"soak: not installed: {', '.join(absent)}")
    name = "soak_live" if args.minutes else "soak_simulated"
    found = live(args.minutes, args.seed) if args.minutes else simulate(args.hours, args.seed)
    print("\n".join(f"{k}: {v}" for k, v in found.items() if k != "samples"))
    print(write_record(name, found, RESULTS))
    plot(name, found["samples"])


if __name__ == "__main__":
    main()
