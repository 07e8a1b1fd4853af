"""The loop: take audio, send faces, count them. Time enters here and nowhere before."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge.audio.capture import Source
from edge.contract import FPS, SAMPLE_RATE, AudioBlock, BlendshapeFrame, Sink, faces_within
from edge.load_shedder import HALF_RATE, HALF_STEPS, LoadShedder
from edge.pipeline import Pipeline
from edge.realtime import settle_garbage
from edge.run_stats import RunStats

REST_AFTER = 0.07
"""Seconds without audio after which faces go on at rest. Blocks come every 10 ms, in bursts of up
to 40; receivers give a source up after 500."""

WARM = 600
"""Faces after which all lasting objects exist."""


class RestPacer:
    """When faces at rest are due: 60 a second while no audio comes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.audio_came()

    def audio_came(self) -> None:
        """The next face at rest is due ``REST_AFTER`` from now."""
        self._due = self._clock() + REST_AFTER

    def timeout(self) -> float:
        """Seconds to wait for audio before a face at rest is due."""
        return max(0.0, self._due - self._clock())

    def due(self) -> float | None:
        """The time, if a face at rest is due now. Those that a stall missed are left out."""
        now = self._clock()
        if now < self._due:
            return None
        self._due = (self._due if now < self._due + 1 / FPS else now) + 1 / FPS
        return now


class Loop:
    """Audio to faces to sinks, each face on time or not at all."""

    def __init__(
        self,
        pipeline: Pipeline,
        sinks: Sequence[Sink],
        stats: RunStats,
        clock: Callable[[], float],
        max_latency: float,
    ) -> None:
        self._pipeline, self._sinks, self._stats = pipeline, sinks, stats
        self._clock, self._max_latency = clock, max_latency
        self.shedder = LoadShedder(max_latency / 2)
        self._slots, self._warming = 0, pipeline.lookahead

    def push(self, block: AudioBlock) -> None:
        """Send the faces that this block completes, unless they are past the deadline.

        After a stall the networks still take late audio, because they keep state, but its faces
        are not sent.
        """
        stats = self._stats
        frames = self._pipeline.push(block)
        slots = faces_within(block.end)
        missing = slots - self._slots - len(frames)
        # A run begins with the look-ahead's audio: those faces are to come, not lost.
        warming = min(missing, self._warming)
        self._warming -= warming
        stats.captured += slots - self._slots - warming
        stats.dropped["lost"] += missing - warming
        self._slots = slots
        for frame in frames:
            latency = self._clock() - frame.captured_at
            self.shedder.add(latency)
            if latency > self._max_latency:
                stats.dropped["late"] += 1
            elif self.shedder.step >= HALF_RATE and faces_within(frame.end) % 2:
                stats.dropped["thinned"] += 1
            else:
                self.send(frame)
                stats.add(self._clock() - frame.captured_at)
        self._pipeline.half = self.shedder.step >= HALF_STEPS

    def rest(self, now: float) -> None:
        """Send a face without audio."""
        self.send(self._pipeline.rest(now))
        self._stats.rested += 1

    def send(self, frame: BlendshapeFrame) -> None:
        """Give one face to every sink still served."""
        for sink in self._sinks:
            if not self.shedder.step or self.shedder.wants(sink):
                sink.send(frame)


def run(
    source: Source,
    pipeline: Pipeline,
    sinks: Sequence[Sink],
    stop: threading.Event,
    stats: RunStats,
    clock: Callable[[], float] = time.monotonic,
    max_latency: float = 0.15,
    between: Callable[[], None] | None = None,
) -> None:
    """Send faces until the source ends or ``stop`` is set; then one neutral face.

    A face that would leave more than ``max_latency`` seconds after its newest sample is dropped.
    ``between`` is called before each block of audio: the place to change what makes the faces.
    """
    loop = Loop(pipeline, sinks, stats, clock, max_latency)
    pacer, warm = RestPacer(clock), False
    try:
        while not stop.is_set():
            if between is not None:
                between()
            block = source.read(pacer.timeout())
            if block is not None:
                loop.push(block)
                pacer.audio_came()
            elif (now := pacer.due()) is not None:
                loop.rest(now)
            if not warm and stats.faces + stats.rested >= WARM:
                warm = True
                settle_garbage()
    except EOFError:
        pass
    finally:
        # Receivers hold the last face they saw; a mouth left open would stay open.
        for sink in sinks:
            sink.send(BlendshapeFrame(np.zeros(52, np.float32), 0, clock(), delay=pipeline.delay))


@dataclass(frozen=True, slots=True)
class Offline:
    """What a run without pacing took."""

    audio_s: float
    faces: int
    cpu_s_per_audio_s: float
    peak_mb: float


def offline_faces(
    blocks: Iterable[AudioBlock], pipeline: Pipeline, clock: Callable[[], float] = time.monotonic
) -> Iterator[BlendshapeFrame]:
    """Every face of audio that has an end, as fast as the caller takes them."""
    for block in blocks:
        yield from pipeline.push(AudioBlock(block.samples, block.start, clock()))
    yield from pipeline.flush(clock())


def run_offline(
    blocks: Iterable[AudioBlock],
    pipeline: Pipeline,
    sinks: Iterable[Sink],
    clock: Callable[[], float] = time.monotonic,
) -> Offline:
    """All of a recording as fast as it goes; every face is sent."""
    sinks, faces, samples, began = list(sinks), 0, 0, time.process_time()

    def counted() -> Iterator[AudioBlock]:
        nonlocal samples
        for block in blocks:
            samples = block.end
            yield block

    for frame in offline_faces(counted(), pipeline, clock):
        faces += 1
        for sink in sinks:
            sink.send(frame)
    seconds = samples / SAMPLE_RATE
    spent = time.process_time() - began
    return Offline(seconds, faces, spent / seconds, peak_mb())


def peak_mb() -> float:
    """The most memory this process ever held, in 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6
