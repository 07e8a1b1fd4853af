"""The loop: take audio, send faces, keep the score. Time enters here and nowhere before."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.capture import Source, file_blocks
from edge.contract import FPS, SAMPLE_RATE, AudioBlock, BlendshapeFrame, Floats, Sink
from edge.pipeline import Pipeline

REST_AFTER = 0.1
"""Seconds without audio after which faces go on at rest. Blocks come every 10 ms, in bursts of up
to 40; receivers give a source up after 500."""


@dataclass
class Score:
    """What happened so far."""

    faces: int = 0
    """Sent from audio."""
    rested: int = 0
    """Sent without audio."""
    _ring: Floats = field(default_factory=lambda: np.zeros(3600, np.float32))

    def add(self, latency: float) -> None:
        """One face left ``latency`` seconds after its newest audio was captured."""
        self._ring[self.faces % len(self._ring)] = latency
        self.faces += 1

    def latency_ms(self) -> tuple[float, float]:
        """Median and 99th percentile over the last minute, in ms; 0 before the first face."""
        seen = self._ring[: min(self.faces, len(self._ring))]
        if not len(seen):
            return 0.0, 0.0
        p50, p99 = np.percentile(seen, (50, 99)) * 1000
        return float(p50), float(p99)


def run(
    source: Source,
    pipeline: Pipeline,
    sinks: Sequence[Sink],
    stop: threading.Event,
    score: Score,
    clock: Callable[[], float] = time.monotonic,
    between: Callable[[], None] | None = None,
) -> None:
    """Send faces until the source ends or ``stop`` is set; then one neutral face.

    ``between`` is called before each block of audio: the place to change what makes the faces.
    """

    def send(frame: BlendshapeFrame) -> None:
        for sink in sinks:
            sink.send(frame)

    rest_at = clock() + REST_AFTER
    try:
        while not stop.is_set():
            if between is not None:
                between()
            block = source.read(max(0.0, rest_at - clock()))
            if block is not None:
                for frame in pipeline.push(block):
                    send(frame)
                    score.add(clock() - frame.captured_at)
                rest_at = clock() + REST_AFTER
            elif (now := clock()) >= rest_at:
                send(pipeline.rest(now))
                score.rested += 1
                # After a stall the missed faces are not made up for.
                rest_at = max(rest_at + 1 / FPS, now)
    except EOFError:
        pass
    finally:
        # Receivers hold the last face they saw; a mouth left open would stay open.
        send(BlendshapeFrame(np.zeros(52, np.float32), 0, clock()))


@dataclass(frozen=True, slots=True)
class Offline:
    """What a run without pacing took."""

    audio_s: float
    faces: int
    cpu_s_per_audio_s: float
    peak_mb: float


def run_offline(
    path: str,
    pipeline: Pipeline,
    sinks: Iterable[Sink],
    clock: Callable[[], float] = time.monotonic,
) -> Offline:
    """The whole file as fast as it goes; every face is sent."""
    sinks, faces, samples, began = list(sinks), 0, 0, time.process_time()
    for block in file_blocks(path, SAMPLE_RATE):
        samples = block.end
        faces += _deliver(pipeline.push(AudioBlock(block.samples, block.start, clock())), sinks)
    faces += _deliver(pipeline.flush(clock()), sinks)
    seconds = samples / SAMPLE_RATE
    spent = time.process_time() - began
    return Offline(seconds, faces, spent / seconds, peak_mb())


def _deliver(frames: Sequence[BlendshapeFrame], sinks: Sequence[Sink]) -> int:
    for frame in frames:
        for sink in sinks:
            sink.send(frame)
    return len(frames)


def peak_mb() -> float:
    """The most memory this process ever held, in 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6
