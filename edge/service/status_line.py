"""Counts of a run and its source to one line of figures, for systemd, the journal and the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol


class FaceCounts(Protocol):
    """What the loop counts.

    Stats may also have ``dropped``, faces not sent by reason, and ``send_failures``, which gives
    the datagrams by output that the system refused to send.
    """

    faces: int
    rested: int

    def latency_ms(self) -> tuple[float, float]:
        """Median and 99th percentile."""


class AudioCounts(Protocol):
    """Where audio comes from. A microphone also has ``state``, ``listening`` or not."""

    @property
    def dropped(self) -> int:
        """Blocks of audio dropped."""


def drops(stats: FaceCounts, source: AudioCounts) -> dict[str, int]:
    """What was lost, by reason; ``audio`` counts blocks, the others faces."""
    by_reason: Mapping[str, int] = getattr(stats, "dropped", {})
    return {**by_reason, "audio": source.dropped}


def send_failures(stats: FaceCounts) -> dict[str, int]:
    """Datagrams that the system refused to send, by output."""
    counts: Callable[[], Mapping[str, int]] = getattr(stats, "send_failures", dict)
    return dict(counts())


class StatusLine:
    """Lines that say what happened since the line before."""

    def __init__(self, stats: FaceCounts, source: AudioCounts, now: float) -> None:
        self._stats, self._source = stats, source
        self._then = (now, stats.faces, stats.rested, self._dropped())
        self._failures = send_failures(stats)

    def _dropped(self) -> int:
        return sum(drops(self._stats, self._source).values())

    def line(self, now: float) -> tuple[str, bool]:
        """The figures, and whether there was trouble: something dropped, or no audio at all."""
        stats = self._stats
        now_then = (now, stats.faces, stats.rested, self._dropped())
        seconds, faces, rested, dropped = (
            new - old for new, old in zip(now_then, self._then, strict=True)
        )
        self._then = now_then
        p50, p99 = stats.latency_ms()
        state = getattr(self._source, "state", "")
        mic = f"microphone {state}; " if state else ""
        if not faces:
            listening = state == "listening"
            mic = "microphone listening, no audio; " if listening else "waiting for microphone; "
        text = (
            f"{(faces + rested) / max(seconds, 1e-9):.1f} faces/s, latency p50 {p50:.1f} ms, "
            f"p99 {p99:.1f} ms, {rested:.0f} at rest, {dropped:.0f} dropped"
        )
        failures, before = send_failures(stats), self._failures
        self._failures = failures
        refused = [
            f", {more} datagrams to {url} refused"
            for url, count in failures.items()
            if (more := count - before.get(url, 0)) > 0
        ]
        return mic + text + "".join(refused), bool(dropped or not faces or refused)
