"""The picture in the terminal."""

from __future__ import annotations

import io

import numpy as np

from edge.contract import INDEX, BlendshapeFrame
from edge.run_stats import RunStats
from edge.service.meter import BARS, EIGHTHS, WIDTH, Meter, bar, most


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def frame() -> BlendshapeFrame:
    weights = np.zeros(52, np.float32)
    weights[INDEX["jawOpen"]], weights[INDEX["mouthFunnel"]] = 0.5, 0.25
    return BlendshapeFrame(weights, 266, 0.0, level_db=-35.0)


def test_a_bar_is_as_long_as_its_value() -> None:
    assert bar(0.0) == "·" * WIDTH
    assert bar(1.0) == "█" * WIDTH
    assert bar(0.5) == "█" * (WIDTH // 2) + "·" * (WIDTH // 2)
    assert bar(3 / 8 / WIDTH) == EIGHTHS[3] + "·" * (WIDTH - 1)
    assert bar(-1) == bar(0)
    assert bar(7) == bar(1)
    assert {len(bar(v)) for v in np.linspace(-0.5, 1.5, 99)} == {WIDTH}


def test_of_several_shapes_the_largest_counts() -> None:
    assert most(frame().weights, ("mouthPucker", "mouthFunnel")) == 0.25


def test_every_bar_names_known_shapes() -> None:
    assert all(name in INDEX for _, names in BARS for name in names)


def test_without_a_terminal_it_is_one_line() -> None:
    stats = RunStats()
    stats.add(0.010)
    out = io.StringIO()
    meter = Meter(out, stats, "title")
    meter.close()
    line = meter._line(frame())
    assert "\n" not in line
    assert "\x1b" not in line
    assert "jaw 0.50  round 0.25" in line
    assert "-35 dBFS" in line
    assert "1 faces, latency p50 9.9 ms" in line


def test_in_a_terminal_the_picture_is_drawn_over_the_last_one() -> None:
    meter = Meter(Terminal(), RunStats(), "title")
    meter.close()
    first, second = meter._picture(frame()), meter._picture(frame())
    lines = len(BARS) + 3
    assert first.count("\n") == lines - 1
    assert second == f"\x1b[{lines}A" + first
    assert "title" in first
    assert f"   jaw {bar(0.5)} 0.50" in first


def test_the_last_face_is_drawn_and_closing_ends_it() -> None:
    out = Terminal()
    meter = Meter(out, RunStats(), "title")
    meter.send(frame())
    meter.close()
    assert not meter._thread.is_alive()
