"""``edge-run --probe``: A, I, U, E, O and two blinks: is the avatar wired up?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from edge.contract import FPS, INDEX, BlendshapeFrame, Floats, Sink

EACH = FPS * 6 // 7
"""Faces of one pose; seven poses take six seconds."""

BLINK = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
POSES: Sequence[tuple[str, Mapping[str, float]]] = (
    ("A", {"jawOpen": 0.7, "mouthLowerDownLeft": 0.4, "mouthLowerDownRight": 0.4}),
    ("I", {"jawOpen": 0.1, "mouthSmileLeft": 0.7, "mouthSmileRight": 0.7,
           "mouthStretchLeft": 0.5, "mouthStretchRight": 0.5}),
    ("U", {"jawOpen": 0.15, "mouthPucker": 0.9, "mouthFunnel": 0.2}),
    ("E", {"jawOpen": 0.35, "mouthSmileLeft": 0.4, "mouthSmileRight": 0.4,
           "mouthStretchLeft": 0.3, "mouthStretchRight": 0.3}),
    ("O", {"jawOpen": 0.45, "mouthFunnel": 0.8, "mouthPucker": 0.3}),
    ("blink", BLINK),
    ("blink", BLINK),
)  # fmt: skip


def faces() -> Iterator[tuple[str, Floats]]:
    """The pattern: name of the pose and weights (52,), 60 a second; the last one is at rest."""
    swell = np.abs(np.sin(np.linspace(0, np.pi, EACH, dtype=np.float32))) ** 0.5
    for name, pose in POSES:
        full = np.zeros(52, np.float32)
        for shape, weight in pose.items():
            full[INDEX[shape]] = weight
        for share in swell:
            yield name, full * share
    yield "rest", np.zeros(52, np.float32)


def send_probe(
    sinks: Sequence[Sink],
    say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send the pattern at 60 faces a second and name each pose as it begins."""
    began, displayed = clock(), -1
    try:
        for i, (name, weights) in enumerate(faces()):
            sleep(max(0.0, began + i / FPS - clock()))
            if i // EACH != displayed:
                displayed = i // EACH
                say(name)
            _send(sinks, weights, clock())
    except KeyboardInterrupt:
        _send(sinks, np.zeros(52, np.float32), clock())


def _send(sinks: Sequence[Sink], weights: Floats, now: float) -> None:
    for sink in sinks:
        sink.send(BlendshapeFrame(weights, 0, now))
