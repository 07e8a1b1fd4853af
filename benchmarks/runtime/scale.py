"""Many faces on one machine, as a server of kiosks or game characters makes them.

``python -m benchmarks.runtime.scale``. 1 to 64 streams in one process, which share the networks'
weights, and spread over a process a core. Every 1/60 s all streams have new audio at once, the
worst case; a stream's latency is the time until its face is made. Writes ``results/scale.json`` and
a plot.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import DEMO, RESULTS, ROOT
from benchmarks.runtime.loop_thread import rss_mb
from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import FPS, SAMPLE_RATE, AudioBlock, Engine, face_end
from edge.inference.engine import OnnxEngine, open_engines
from edge.pipeline import Pipeline
from quantize.evaluation.record import write_record
from quantize.plotting import pyplot

STREAMS = (1, 4, 16, 64)
TICK = 1 / FPS
WARM = 30
"""Ticks that are not measured."""


def open_streams(shared: bool) -> Iterator[Pipeline]:
    """Pipelines without end, on one set of weights or each with its own."""
    bundle = read_bundle(DEFAULT)
    pair: tuple[Engine, Engine] = open_engines(bundle, "onnxruntime")
    for seed in count():
        yield Pipeline(bundle, pair, seed=seed)
        if shared:
            generator, decoder = (e.another() for e in pair if isinstance(e, OnnxEngine))
            pair = generator, decoder
        else:
            pair = open_engines(bundle, "onnxruntime")


def run(streams_wanted: int, shared: bool, ticks: int) -> dict[str, Any]:
    """All streams, tick after tick as fast as it goes; each hears another part of the demo clip."""
    samples = np.tile(read_audio(DEMO), 2 + ticks // FPS // 14)
    empty = rss_mb()
    opened = open_streams(shared)
    streams = [next(opened)]
    for tick in range(WARM):
        turn(streams, samples, tick)
    one = rss_mb()
    streams += islice(opened, streams_wanted - 1)
    for tick in range(WARM, 2 * WARM):
        turn(streams, samples, tick)
    many = rss_mb()
    cpu, wall = time.process_time(), time.perf_counter()
    took = [turn(streams, samples, tick) for tick in range(2 * WARM, 2 * WARM + ticks)]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    p50, p99 = np.percentile(np.concatenate(took), (50, 99)) * 1000
    return {
        "faces": streams_wanted * ticks,
        "faces_per_cpu_s": streams_wanted * ticks / cpu,
        "faces_per_s": streams_wanted * ticks / wall,
        "latency_p50_ms": float(p50),
        "latency_p99_ms": float(p99),
        "ticks_on_time": float(np.mean([t[-1] <= TICK for t in took])),
        "first_stream_mb": one - empty,
        "stream_mb": (many - one) / max(1, streams_wanted - 1),
    }


def turn(streams: Sequence[Pipeline], samples: np.ndarray, tick: int) -> np.ndarray:
    """Seconds from the tick until each stream has its face."""
    start, end = (face_end(tick - 1) if tick else 0), face_end(tick)
    done = np.empty(len(streams))
    began = time.perf_counter()
    for i, stream in enumerate(streams):
        away = i * 1600 % SAMPLE_RATE  # so that not all say the same
        stream.push(AudioBlock(samples[away + start : away + end], start, 0.0))
        done[i] = time.perf_counter()
    return done - began


def measured(streams: int, processes: int, shared: bool, ticks: int) -> dict[str, Any]:
    """So many streams over so many processes at once."""
    each = [len(part) for part in np.array_split(range(streams), processes)]
    command = [sys.executable, "-m", "benchmarks.runtime.scale", "--child"]
    children = [
        subprocess.Popen(
            [*command, json.dumps([n, shared, ticks])],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for n in each
    ]
    rows = [json.loads(child.communicate()[0]) for child in children]
    return {
        "streams": streams,
        "processes": processes,
        "weights": "shared" if shared else "one copy a stream",
        "faces_per_s": round(sum(row["faces_per_s"] for row in rows)),
        "faces_per_cpu_s": round(float(np.mean([row["faces_per_cpu_s"] for row in rows]))),
        "latency_p50_ms": round(max(row["latency_p50_ms"] for row in rows), 2),
        "latency_p99_ms": round(max(row["latency_p99_ms"] for row in rows), 2),
        "ticks_on_time": round(min(row["ticks_on_time"] for row in rows), 4),
        "first_stream_mb": round(float(np.mean([row["first_stream_mb"] for row in rows])), 1),
        "stream_mb": round(float(np.mean([row["stream_mb"] for row in rows])), 2),
    }


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Faces a CPU second, latency and memory over the number of streams."""
    plt = pyplot()
    figure, (speed, late, memory) = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    for processes, weights in sorted({(r["processes"], r["weights"]) for r in rows}):
        ours = [r for r in rows if (r["processes"], r["weights"]) == (processes, weights)]
        x = [r["streams"] for r in ours]
        name = f"{processes} process{'es' if processes > 1 else ''}, weights {weights}"
        speed.plot(x, [r["faces_per_cpu_s"] for r in ours], "o-", label=name)
        (line,) = late.plot(x, [r["latency_p50_ms"] for r in ours], "o-")
        late.plot(x, [r["latency_p99_ms"] for r in ours], "o:", color=line.get_color())
        memory.plot(x[1:], [r["stream_mb"] for r in ours[1:]], "o-")
    late.axhline(TICK * 1000, color="0.7")
    speed.set_ylim(0)
    late.set_yscale("log")
    memory.set_yscale("log")
    titles = ("faces a CPU second", "latency ms: p50, p99 dotted", "MB a stream")
    for axes, title in zip((speed, late, memory), titles, strict=True):
        axes.set_xscale("log", base=2)
        axes.set_xticks(STREAMS, [str(n) for n in STREAMS])
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("streams")
    speed.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    p = argparse.ArgumentParser("benchmarks.runtime.scale", description=__doc__)
    p.add_argument("--child", help=argparse.SUPPRESS)
    p.add_argument("--ticks", type=int, default=600, metavar="N", help="(default: %(default)s)")
    p.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    args = p.parse_args(argv)
    if args.child:
        print(json.dumps(run(*json.loads(args.child))))
        return
    cores = len(os.sched_getaffinity(0))
    plan = [(n, 1, True) for n in STREAMS]
    plan += [(n, cores, True) for n in STREAMS if n >= cores > 1]
    plan += [(n, 1, False) for n in STREAMS]
    rows = []
    for streams, processes, shared in plan:
        rows.append(measured(streams, processes, shared, args.ticks))
        print(json.dumps(rows[-1]))
    plot(rows, args.out / "scale.png")
    print(write_record("scale", {"cores": cores, "rows": rows}, args.out))


if __name__ == "__main__":
    main()
