"""What the loop counted, and how late faces left, in buckets."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

BOUNDS: tuple[float, ...] = tuple(0.00025 * 2.0 ** (k / 8) for k in range(97))
"""Upper ends of the buckets in seconds: 0.25 ms to 1 s, each 9 % above the one before."""

HALF_MINUTE = 1800
"""Faces."""


def _empty() -> list[int]:
    return [0] * (len(BOUNDS) + 1)


@dataclass
class RunStats:
    """What happened so far. ``captured == faces + sum(dropped.values())`` at any block's end.

    Sinks got ``faces + rested`` faces and one more, neutral, at the end.
    """

    captured: int = 0
    """Faces that the audio so far had time for, gaps included, but for the first look-ahead."""
    faces: int = 0
    """Sent from audio."""
    rested: int = 0
    """Sent without audio."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Faces not sent. ``late``: past the deadline; ``lost``: their audio never came, or their
    look-ahead did not; ``thinned``: sent at half rate because the machine is too slow."""
    send_failures: Callable[[], Mapping[str, int]] = dict
    """Output to the datagrams that the system refused to send there."""
    total: float = 0.0
    """Sum of all latencies in seconds."""
    worst: float = 0.0
    """The largest latency in seconds."""
    _counts: list[int] = field(default_factory=_empty)
    _now: list[int] = field(default_factory=_empty)
    _before: list[int] = field(default_factory=_empty)

    def add(self, latency: float) -> None:
        """One face left ``latency`` seconds after its newest sample was captured."""
        bucket = bisect_left(BOUNDS, latency)
        self._counts[bucket] += 1
        self._now[bucket] += 1
        self.faces += 1
        self.total += latency
        self.worst = max(self.worst, latency)
        if self.faces % HALF_MINUTE == 0:
            self._before, self._now = self._now, _empty()

    def histogram(self) -> tuple[tuple[float, ...], list[int], float]:
        """Bounds in seconds, faces in each bucket and beyond the last, sum of all latencies."""
        return BOUNDS, list(self._counts), self.total

    def latency_ms(self) -> tuple[float, float]:
        """Median and 99th percentile of the last half to whole minute; 0 before the first face."""
        seen = [a + b for a, b in zip(self._now, self._before, strict=True)]
        return quantile(seen, 0.5) * 1000, quantile(seen, 0.99) * 1000

    def quantile_ms(self, share: float) -> float:
        """``share`` of all faces so far left within this many ms."""
        return quantile(self._counts, share) * 1000


def quantile(counts: list[int], share: float) -> float:
    """The latency in seconds that ``share`` of the faces kept, linear within a bucket; at most 1.

    0 if there were none.
    """
    left = share * sum(counts)
    if not left:
        return 0.0
    low = 0.0
    for high, count in zip(BOUNDS, counts, strict=False):
        if count >= left:
            return low + (high - low) * left / count
        left -= count
        low = high
    return BOUNDS[-1]
