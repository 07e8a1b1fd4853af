"""Stand-ins with the real signatures and the real rudeness, and sounds made from numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.bundle import Bundle, Network
from edge.conditioning import ConditioningLayout
from edge.contract import INDEX, SAMPLE_RATE, AudioBlock, BlendshapeFrame, Floats

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "edge" / "assets" / "demo.flac"
JAW = INDEX["jawOpen"]


class FakeClock:
    """A clock that only moves when set."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeGenerator:
    """Remembers loudness and its look-ahead; reuses its output like the real one."""

    def __init__(self) -> None:
        self.resets = 0
        self._latent = np.zeros((1, 1, 4), np.float32)

    def step(self, *, mels: Floats, control: Floats) -> dict[str, Floats]:
        self._latent[0, 0, 0] = 0.8 * self._latent[0, 0, 0] + 0.2 * (mels.mean() + 3)
        self._latent[0, 0, 1] = control[0, :3].argmax()
        return {"latent": self._latent}

    def reset(self) -> None:
        self.resets += 1
        self._latent[...] = 0

    def close(self) -> None:
        pass


class FakeDecoder:
    """Opens the jaw with the latent, half of it a face late; reuses its output."""

    def __init__(self) -> None:
        self._weights = np.zeros((1, 1, 52), np.float32)
        self._last = 0.0

    def step(self, *, latent: Floats) -> dict[str, Floats]:
        value = float(latent[0, 0, 0])
        self._weights[0, 0, JAW] = 0.2 * value + 0.2 * self._last
        self._last = value
        return {"weights": self._weights}

    def reset(self) -> None:
        self._last = 0.0

    def close(self) -> None:
        pass


def fake_bundle(lookahead: int = 2, styles: tuple[str, ...] = ("calm", "broad")) -> Bundle:
    nothing = Network("none.onnx", "", {}, {})
    layout = ConditioningLayout((0, 2, 4), styles)
    generator = replace(nothing, inputs={"control": (1, layout.size)})
    rest = {"mouthClose": 0.25}
    return Bundle(
        Path("."),
        "fake",
        layout.lookaheads,
        lookahead,
        generator,
        nothing,
        rest,
        ("none",),
        "unknown",
        styles=styles,
    )


class FakeSink:
    """Keeps every face it was sent."""

    def __init__(self) -> None:
        self.frames: list[BlendshapeFrame] = []
        self.closed = 0

    def send(self, frame: BlendshapeFrame) -> None:
        self.frames.append(frame)

    def close(self) -> None:
        self.closed += 1


class FakeSource:
    """Plays a script of blocks and silences on a fake clock.

    A number in the script is a time during which nothing arrives; a block arrives at once. A read
    waits until its timeout or the next block, whichever comes first, as a real one does.
    """

    dropped = 0

    def __init__(
        self,
        clock: FakeClock,
        script: Iterable[AudioBlock | float],
        stop: threading.Event | None = None,
    ) -> None:
        self._clock, self._script, self._stop = clock, list(script), stop

    def read(self, timeout: float) -> AudioBlock | None:
        while self._script:
            item = self._script.pop(0)
            if isinstance(item, AudioBlock):
                return item
            if item > timeout:
                self._script.insert(0, item - timeout)
                # A hair late, as a real wait is; else rounding would leave it a hair early.
                self._clock.now += timeout + 1e-9
                return None
            self._clock.now += item
            timeout -= item
        if self._stop:
            self._stop.set()
            return None
        raise EOFError

    def close(self) -> None:
        pass


def noise(seconds: float, db: float = -20.0, seed: int = 0) -> Floats:
    """White noise at an RMS level in dBFS."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * SAMPLE_RATE)) * 10 ** (db / 20)
    return np.clip(samples, -1, 1).astype(np.float32)


def tone(hz: float, seconds: float, rate: int = SAMPLE_RATE, amplitude: float = 0.5) -> Floats:
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def silence(seconds: float) -> Floats:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def cut(samples: Floats, size: int | None) -> Iterator[Floats]:
    """Blocks of ``size`` samples, or everything at once."""
    size = size or max(1, len(samples))
    return (samples[i : i + size] for i in range(0, len(samples), size))


def blocks(samples: Floats, size: int | None, start: int = 0) -> Iterator[AudioBlock]:
    for part in cut(samples, size):
        yield AudioBlock(part, start, 0.0)
        start += len(part)
