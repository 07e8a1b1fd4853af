"""The nouns of the runtime: what flows, and the doors it flows through.

Every module in ``edge`` imports this one; this one imports only numpy.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Tensors = Mapping[str, Floats]

SAMPLE_RATE = 16_000
"""Hz. Everything behind ``capture`` runs at this rate."""

FPS = 60
"""Faces a second."""

# Apple's ARFaceAnchor.BlendShapeLocation names in the order of the Live Link Face UDP packet.
# At least four orders are in use (Live Link, alphabetical, Face Cap, MediaPipe), so nothing but
# this tuple may turn a name into an index.
ARKIT_52 = (
    "eyeBlinkLeft",
    "eyeLookDownLeft",
    "eyeLookInLeft",
    "eyeLookOutLeft",
    "eyeLookUpLeft",
    "eyeSquintLeft",
    "eyeWideLeft",
    "eyeBlinkRight",
    "eyeLookDownRight",
    "eyeLookInRight",
    "eyeLookOutRight",
    "eyeLookUpRight",
    "eyeSquintRight",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawRight",
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthLeft",
    "mouthRight",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
)
INDEX = {name: i for i, name in enumerate(ARKIT_52)}

# Values in messages: two levels deep, because aliases in YAML may repeat a value a billion times.
SHORT = reprlib.Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother = 2, 100, 100


def face_end(i: int) -> int:
    """Sample index one past the newest sample of face ``i``'s input; 800 samples are 3 faces."""
    return (i + 1) * SAMPLE_RATE // FPS


def faces_within(samples: int) -> int:
    """How many whole faces the first ``samples`` samples complete; inverse of ``face_end``."""
    return max(0, ((samples + 1) * FPS - 1) // SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """Mono samples that the microphone delivered together."""

    samples: Floats
    """(n,) in [-1, 1] at ``SAMPLE_RATE``; never written to after construction."""

    start: int
    """Index of ``samples[0]`` since the stream opened; a jump means lost audio."""

    captured_at: float
    """``time.monotonic()`` when the last sample was captured, as well as it can be known."""

    @property
    def end(self) -> int:
        """Index one past the last sample."""
        return self.start + len(self.samples)


def _no_turn() -> Floats:
    return np.zeros(3, np.float32)


@dataclass(frozen=True, slots=True)
class BlendshapeFrame:
    """One face and the audio it belongs to."""

    weights: Floats
    """(52,) in [0, 1], in ``ARKIT_52`` order."""

    end: int
    """Sample index that the face belongs to: look-ahead is already taken off."""

    captured_at: float
    """When the newest sample behind it was captured; measured latency is now minus this."""

    head: Floats = field(default_factory=_no_turn)
    """(3,) pitch, yaw, roll in radians; positive is down, to the character's left, to its right
    shoulder."""

    level_db: float = -120.0
    """Loudness of the newest audio, dBFS (RMS)."""

    emotion: str | None = None
    """Name of the face's emotion; ``None`` where none is set or inferred."""

    emotion_strength: float = 0.0
    """How much of it, 0..1."""

    delay: float = 0.0
    """Declared delay, seconds: from the face's own audio to the newest audio it depends on."""

    @property
    def time(self) -> float:
        """Time of the face in the audio, seconds from the stream's start."""
        return self.end / SAMPLE_RATE

    def __getitem__(self, name: str) -> float:
        """The weight of a shape by its ARKit name."""
        return float(self.weights[INDEX[name]])

    def named(self) -> dict[str, float]:
        """All 52 weights by ARKit name."""
        return dict(zip(ARKIT_52, self.weights.tolist(), strict=True))


class Engine(Protocol):
    """A compiled network that is stepped once a face.

    The network keeps no memory: state goes in as ``state.*`` and comes out as ``state_out.*``. The
    engine carries it from step to step, because on a GPU it must not leave the device.
    """

    def step(self, **inputs: Floats) -> Tensors:
        """Run once. The arrays returned are reused by the next step: copy what must outlive it."""

    def reset(self) -> None:
        """Set the state to that of a new stream."""

    def close(self) -> None:
        """Free device memory. Calling it twice is fine."""


class Sink(Protocol):
    """Somewhere faces go. ``send`` never blocks: a late face is worth less than the next one."""

    def send(self, frame: BlendshapeFrame) -> None:
        """Deliver or drop."""

    def close(self) -> None:
        """Release the socket or file."""


def one_line(text: str) -> str:
    """The same text, but what cannot be printed as its escape: no name may forge a log line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cut(text: str, most: int = 80) -> str:
    """At most so many letters of a text."""
    return text if len(text) <= most else text[: most - 1] + "…"


def quoted(value: object) -> str:
    """A value as a message shows it: as Python writes it, on one line of at most 80 letters."""
    short = cut(value) if isinstance(value, str) else value
    try:
        return cut(one_line(SHORT.repr(short)))
    except ValueError:  # Python writes no number of more than 4300 digits
        return f"a very long {type(value).__name__}"


class EdgeError(Exception):
    """Base of everything edge raises on purpose; ``status`` is the process exit status."""

    status = 1

    def __str__(self) -> str:
        """One line, whatever file names are in it."""
        return one_line(super().__str__())


class UsageError(EdgeError):
    """The command line asks for something that cannot be (EX_USAGE of argparse)."""

    status = 2


class InputError(EdgeError):
    """A file or a microphone is not there or cannot be read (EX_NOINPUT)."""

    status = 66


class MissingError(EdgeError):
    """A library, a bundle or a port is not available (EX_UNAVAILABLE)."""

    status = 69


class ConfigError(EdgeError):
    """A person must edit a file. Restarting cannot help (EX_CONFIG)."""

    status = 78
