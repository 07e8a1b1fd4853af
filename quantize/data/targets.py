"""Captured faces to training targets: 60 a second, one calibrated ARKit range for every source.

A solver, MediaPipe and an iPhone disagree about how much 0.3 of ``mouthPucker`` is. Each source's
channel is therefore moved to zero and scaled to the spread that ``arkit_range.yaml`` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from edge.contract import ARKIT_52, FPS, INDEX, Floats
from quantize.data.clips import LONGEST_GAP, Capture, Clip

LIVE_STD = 0.01
"""A channel that spreads less than this in its own source is dead there (noise of a tracker)."""

ZERO_PERCENTILE = 5
"""What a source shows this often is its zero: rest, without trusting the single lowest frame."""

# What is learned from paired speech. Eyes and brows are drawn by ``edge.idle_motion``: the paired
# data either lacks them (FACEGOOD) or shows one man's habits (GRID).
LEARNED = tuple(n for n in ARKIT_52 if n.startswith(("jaw", "mouth", "cheek", "nose")))


def arkit_spread() -> Floats:
    """(52,) standard deviation of each shape in speech, as iPhones capture it; the common scale."""
    table = yaml.safe_load((Path(__file__).parent / "arkit_range.yaml").read_text())["std"]
    return np.array([table[name] for name in ARKIT_52], np.float32)


@dataclass(frozen=True, slots=True)
class Scale:
    """How one source's channels come to the common range."""

    zero: Floats
    """(52,) source value that becomes 0."""
    factor: Floats
    """(52,) common range over source range; 0 where the channel is dead."""

    @property
    def live(self) -> NDArray[np.bool_]:
        """(52,) channels that this source really captured."""
        return self.factor > 0


def to_sixty(capture: Capture, faces: int, tempo: float = 1.0) -> Floats:
    """(faces, 52) in the source's scale, sampled at ``(i + 1) / 60`` s; absent channels are 0.

    ``tempo`` above 1 plays the capture faster. Monotone cubic interpolation (PCHIP) does not
    overshoot, so a closed mouth stays closed.
    """
    captured_at = np.arange(len(capture.values)) / capture.fps
    wanted = np.clip((np.arange(faces) + 1) * tempo / FPS, 0, captured_at[-1])
    out = np.zeros((faces, len(ARKIT_52)), np.float32)
    columns = [INDEX[name] for name in capture.names]
    out[:, columns] = PchipInterpolator(captured_at, capture.values, axis=0)(wanted)
    return out


def seen_at_sixty(capture: Capture, faces: int, tempo: float = 1.0) -> NDArray[np.bool_]:
    """(faces,) where the frames before and after a face both saw one; rows as ``to_sixty``.

    Sound that goes on for more than ``LONGEST_GAP`` after the capture's end has no face.
    """
    seen = np.ones(len(capture.values), bool) if capture.seen is None else capture.seen
    # A hair of tolerance, or the frame after one that is hit exactly would be asked for.
    frame = (np.arange(faces) + 1) * tempo / FPS * capture.fps
    before, after = np.floor(frame + 1e-6).astype(int), np.ceil(frame - 1e-6).astype(int)
    last = len(seen) - 1
    known = seen[np.minimum(before, last)] & seen[np.minimum(after, last)]
    return np.asarray(known & (frame <= last + LONGEST_GAP * capture.fps))


def fit_scales(clips: Iterable[Clip], names: Sequence[str] = LEARNED) -> dict[str, Scale]:
    """One ``Scale`` a source, from the clips given (training clips, so that no test leaks)."""
    sources: dict[str, list[Capture]] = {}
    for clip in clips:
        if clip.capture:
            sources.setdefault(clip.source, []).append(clip.capture)
    return {source: fit_scale(captures, names) for source, captures in sources.items()}


def fit_scale(captures: Sequence[Capture], names: Sequence[str] = LEARNED) -> Scale:
    """Zero and factor of each of the channels ``names`` over all frames of one source."""
    zero, factor = np.zeros(52, np.float32), np.zeros(52, np.float32)
    spread = arkit_spread()
    for name in {n for c in captures for n in c.names}.intersection(names):
        values = np.concatenate(
            [_seen(c)[:, c.names.index(name)] for c in captures if name in c.names]
        )
        at = INDEX[name]
        zero[at] = np.percentile(values, ZERO_PERCENTILE)
        if (std := float(values.std())) >= LIVE_STD:
            factor[at] = spread[at] / std
    return Scale(zero, factor)


def _seen(capture: Capture) -> Floats:
    return capture.values if capture.seen is None else capture.values[capture.seen]


def targets(clip: Clip, scale: Scale, faces: int, tempo: float = 1.0) -> Floats:
    """(faces, 52) in the common range; 0 in dead channels; a little below 0 at times."""
    assert clip.capture is not None
    return (to_sixty(clip.capture, faces, tempo) - scale.zero) * scale.factor
