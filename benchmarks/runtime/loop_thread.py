"""``edge-run``'s loop in a thread, seen from the avatar's side."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from edge.audio.capture import Source
from edge.bundle import DEFAULT, Bundle
from edge.bundle_reader import read_bundle
from edge.contract import INDEX, BlendshapeFrame, Floats
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from edge.run_stats import RunStats
from edge.runtime import run

MOUTH = np.array([i for name, i in INDEX.items() if name.startswith(("jaw", "mouth"))])


def rss_mb() -> float:
    """Resident memory of this process in 10^6 bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


class Avatar:
    """A sink that remembers when faces came and how far the mouth was from rest."""

    def __init__(self, bundle: Bundle) -> None:
        self._rest = np.zeros(52, np.float32)
        for name, weight in bundle.rest.items():
            self._rest[INDEX[name]] = weight
        self.faces: list[tuple[float, float, float]] = []
        """(time, distance of the mouth from rest, capture time of the newest sample)."""

    def send(self, frame: BlendshapeFrame) -> None:
        """Remember."""
        away = np.abs(frame.weights - self._rest)[MOUTH].max()
        self.faces.append((time.monotonic(), float(away), frame.captured_at))

    def close(self) -> None:
        """Nothing is held."""

    def since(self, then: float) -> Floats:
        """(n, 2): seconds after ``then``, distance from rest."""
        rows = [(t - then, away) for t, away, _ in self.faces if t >= then]
        return np.array(rows, np.float32).reshape(-1, 2)

    def closed_after(self, then: float, near: float = 0.05) -> float:
        """Seconds from ``then`` until the mouth was at rest and stayed so for 0.2 s; or nan."""
        seen = self.since(then)
        for t, away in seen:
            later = seen[(seen[:, 0] >= t) & (seen[:, 0] <= t + 0.2)]
            if away < near and (later[:, 1] < near).all():
                return float(t)
        return float("nan")

    def moved_after(self, then: float, far: float = 0.1) -> float:
        """Seconds from ``then`` until the mouth moved; or nan."""
        seen = self.since(then)
        moved = seen[seen[:, 1] > far]
        return float(moved[0, 0]) if len(moved) else float("nan")


class LoopThread:
    """The loop on a source, until closed."""

    def __init__(
        self, source: Source, bundle: Bundle | None = None, realtime: bool = False
    ) -> None:
        bundle = bundle or read_bundle(DEFAULT)
        self.source, self.stats, self.avatar = source, RunStats(), Avatar(bundle)
        self._stop = threading.Event()
        pipeline = Pipeline(bundle, open_engines(bundle))
        args = (source, pipeline, [self.avatar], self._stop, self.stats)
        self._thread = threading.Thread(target=run, args=args, name="faces")
        self._thread.start()

    def close(self) -> None:
        """End the loop, then the source."""
        self._stop.set()
        self._thread.join()
        self.source.close()
