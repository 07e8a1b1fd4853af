"""A microphone lost and opened again a thousand times: what does the process keep?

python -m benchmarks.reconnects [--times 1000]    on a PipeWire server of its own
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import threading
import time
from contextlib import closing
from typing import Any

from benchmarks.live import rss_mb
from benchmarks.report import write
from benchmarks.soundserver import SoundServer, missing_tools
from edge.microphone import Microphone

WARM = 10
"""Reconnects before the first figures, after which everything that stays has been loaded."""


def held() -> dict[str, float]:
    """What this process holds now."""
    gc.collect()
    return {
        "rss_mb": rss_mb(),
        "threads": len(os.listdir("/proc/self/task")),
        "python_threads": threading.active_count(),
        "fds": len(os.listdir("/proc/self/fd")),
    }


def again(mic: Microphone, limit: float = 20.0) -> None:
    """Lose the stream, wait until another one is open and heard."""
    goal, till = mic.reconnects + 1, time.monotonic() + limit
    before = mic._opening
    if before is not None:
        before._stream.abort()
    while mic.reconnects < goal or mic._opening is None or mic._opening.offset is None:
        if time.monotonic() > till:
            raise RuntimeError(f"no audio {limit:.0f} s after reconnect {mic.reconnects}")
        mic.read(0.02)


def reconnect(server: SoundServer, times: int) -> dict[str, Any]:
    """Held before and after, on a microphone that is silent; and ten rows between."""
    began, rows = time.monotonic(), []
    with closing(Microphone(server.plug("mic"), 12, wait=True)) as mic:
        for n in range(-WARM, times + 1):
            if n >= 0 and n % max(1, times // 10) == 0:
                rows.append({"reconnects": n} | held())
            if n < times:
                again(mic)
    return {
        "reconnects": times,
        "seconds": round(time.monotonic() - began, 1),
        "before": rows[0],
        "after": rows[-1],
        "rss_growth_mb": round(rows[-1]["rss_mb"] - rows[0]["rss_mb"], 3),
        "rows": rows,
    }


def main() -> None:
    """Run, print, write JSON."""
    p = argparse.ArgumentParser("benchmarks.reconnects", description=__doc__)
    p.add_argument("--times", type=int, default=1000)
    args = p.parse_args()
    logging.basicConfig(level=logging.ERROR)
    if absent := missing_tools():
        raise SystemExit(f"reconnects: not installed: {', '.join(absent)}")
    with closing(SoundServer()) as server:
        found = reconnect(server, args.times)
    print("\n".join(f"{key}: {value}" for key, value in found.items()))
    print(write("reconnects", found))


if __name__ == "__main__":
    main()
