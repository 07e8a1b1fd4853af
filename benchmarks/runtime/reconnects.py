"""A microphone that is lost a thousand times.

``python -m benchmarks.runtime.reconnects [--times 1000]``

Real PortAudio on a PipeWire server of its own. Three ways to lose it: the stream ends (1,000
times), the source is unplugged and comes back (50), nothing is there for a minute. Memory, threads
and file descriptors before, between and after go to ``results/reconnects.json``.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from benchmarks import RESULTS
from benchmarks.runtime.loop_thread import rss_mb
from benchmarks.runtime.sound_server import SoundServer, missing_tools
from edge.audio.microphone import Microphone
from quantize.evaluation.record import write_record


def usage() -> dict[str, float]:
    """Resident memory (kB), threads and file descriptors of this process."""
    counts = (len(os.listdir(f"/proc/self/{what}")) for what in ("task", "fd"))
    return dict(zip(("rss_kb", "threads", "fds"), (1000 * rss_mb(), *counts), strict=True))


def wait_for_audio(mic: Microphone, within: float = 10.0) -> None:
    """Wait for a block."""
    till = time.monotonic() + within
    while mic.read(0.2) is None:
        if time.monotonic() > till:
            raise RuntimeError(f"no audio {within:g} s after a reconnect")


def lose(mic: Microphone, how: Callable[[], None]) -> None:
    """Lose the microphone and wait until it is heard again."""
    before, till = mic.reconnects, time.monotonic() + 15
    how()
    while mic.reconnects == before:
        mic.read(0.05)
        if time.monotonic() > till:
            raise RuntimeError("the microphone did not come back within 15 s")
    wait_for_audio(mic)


def measure(server: SoundServer, times: int, unplugs: int, missing_s: float) -> dict[str, Any]:
    """The three losses, with usage after every tenth of each."""
    with closing(Microphone(server.plug("one"), depth=8, wait=True)) as mic:
        wait_for_audio(mic)

        def end() -> None:
            assert mic._opening is not None
            mic._opening._stream.abort()

        def unplug() -> None:
            server.unplug("one")
            time.sleep(1.0)
            server.plug("one")

        for _ in range(20):
            lose(mic, end)
        results: dict[str, Any] = {}
        for name, count, how in (("stream_ends", times, end), ("unplugged", unplugs, unplug)):
            rows = [{"reconnects": 0} | usage()]
            for k in range(count):
                lose(mic, how)
                if (k + 1) % max(1, count // 10) == 0:
                    rows.append({"reconnects": k + 1} | usage())
                    print(name, rows[-1], flush=True)
            results[name] = rows
        server.unplug("one")
        time.sleep(3)
        before = usage()
        time.sleep(missing_s)
        results["missing"] = [{"seconds": 0} | before, {"seconds": missing_s} | usage()]
        print("missing", results["missing"][-1], flush=True)
        return results


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    p = argparse.ArgumentParser("benchmarks.runtime.reconnects", description=__doc__.split("\n")[0])
    p.add_argument("--times", type=int, default=1000, metavar="N")
    p.add_argument("--unplugs", type=int, default=50, metavar="N")
    p.add_argument("--missing", type=float, default=60.0, metavar="SECONDS")
    args = p.parse_args(argv)
    logging.getLogger("edge").setLevel(logging.ERROR)
    if tools := missing_tools():
        print(f"benchmarks.runtime.reconnects: not installed: {', '.join(tools)}", file=sys.stderr)
        return 69
    with closing(SoundServer()) as server:
        results = measure(server, args.times, args.unplugs, args.missing)
    print(f"written: {write_record('reconnects', results, RESULTS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
