"""The face as bars in a terminal, ten times a second; one line a second where there is none."""

from __future__ import annotations

import logging
import threading
from typing import TextIO

from edge.contract import INDEX, BlendshapeFrame, Floats
from edge.run_stats import RunStats

log = logging.getLogger(__name__)

BARS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("jaw", ("jawOpen",)),
    ("round", ("mouthPucker", "mouthFunnel")),
    ("close", ("mouthClose", "mouthPressLeft", "mouthRollLower")),
    ("smile", ("mouthSmileLeft", "mouthSmileRight")),
    ("brows", ("browInnerUp", "browOuterUpLeft")),
    ("blink", ("eyeBlinkLeft", "eyeBlinkRight")),
)
WIDTH = 40
EIGHTHS = " ▏▎▍▌▋▊▉█"
ASCII = str.maketrans(
    {"█": "#", "·": ".", **dict.fromkeys(EIGHTHS[1:4], "."), **dict.fromkeys(EIGHTHS[4:8], "#")}
)
"""For terminals that have no blocks, such as Latin-1 ones."""


class Meter:
    """A sink that only remembers the last face; a thread of its own draws it.

    A terminal may block for as long as it likes (Ctrl-S); faces must not.
    """

    duty = "meter"

    def __init__(self, out: TextIO, stats: RunStats, title: str) -> None:
        self._out, self._stats, self._title = out, stats, title
        self._frame: BlendshapeFrame | None = None
        self._live = out.isatty()
        self._plain = not _can_draw(out)
        self._drawn = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._draw_on, name="meter", daemon=True)
        self._thread.start()

    def send(self, frame: BlendshapeFrame) -> None:
        """Remember the face."""
        self._frame = frame

    def close(self) -> None:
        """Stop drawing and leave the last picture."""
        self._stop.set()
        self._thread.join(1.0)

    def _draw_on(self) -> None:
        while not self._stop.wait(0.1 if self._live else 1.0):
            if (frame := self._frame) is not None:
                text = self._picture(frame) if self._live else self._line(frame)
                try:
                    self._out.write(text + "\n")
                    self._out.flush()
                except (OSError, ValueError) as error:  # `edge-run --meter | head -1`
                    log.warning("the meter ends, its output is gone (%s); faces go on", error)
                    return

    def _picture(self, frame: BlendshapeFrame) -> str:
        lines = [self._title]
        for label, names in BARS:
            value = most(frame.weights, names)
            lines.append(f"{label:>6} {self._bar(value)} {value:4.2f}")
        lines.append(
            f"{' level':>6} {self._bar((frame.level_db + 70) / 70)} {frame.level_db:4.0f} dBFS"
        )
        lines.append(self._figures(frame))
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._drawn = len(lines)
        return up + "\n".join(f"\x1b[2K{line}" for line in lines)

    def _bar(self, value: float) -> str:
        text = bar(value)
        return text.translate(ASCII) if self._plain else text

    def _line(self, frame: BlendshapeFrame) -> str:
        bars = "  ".join(f"{label} {most(frame.weights, names):.2f}" for label, names in BARS)
        return f"{bars}  {frame.level_db:.0f} dBFS  {self._figures(frame)}"

    def _figures(self, frame: BlendshapeFrame) -> str:
        p50, p99 = self._stats.latency_ms()
        return (
            f"{self._stats.faces} faces, latency p50 {p50:.1f} ms p99 {p99:.1f} ms, "
            f"{self._stats.rested} at rest, declared delay {frame.delay * 1000:.0f} ms"
        )


def _can_draw(out: TextIO) -> bool:
    try:
        (EIGHTHS + "·").encode(out.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def most(weights: Floats, names: tuple[str, ...]) -> float:
    """The largest of some shapes."""
    return max(float(weights[INDEX[name]]) for name in names)


def bar(value: float) -> str:
    """A bar of ``WIDTH`` characters for 0..1."""
    eighths = round(min(1.0, max(0.0, value)) * WIDTH * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[part] if part else "")).ljust(WIDTH, "·")
