"""Pictures of the accuracy benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract import FPS, INDEX, Floats
from quantize.evaluation.metrics import pearson
from quantize.evaluation.scoring import Faces, Row
from quantize.evaluation.test_clips import TestClip
from quantize.plotting import pyplot

Table = Mapping[str, Row]


def plot_sentence(clip: TestClip, faces: Floats, path: Path) -> None:
    """Jaw, pucker and lip closure of one sentence, captured (common range) and predicted."""
    plt = pyplot()
    assert clip.captured is not None
    assert clip.scale is not None
    truth = (clip.captured - clip.scale.zero) * clip.scale.factor
    time = (np.arange(len(truth)) + 1) / FPS
    figure, rows = plt.subplots(3, 1, figsize=(9, 6), sharex=True, layout="constrained")
    for axes, name in zip(rows, ("jawOpen", "mouthPucker", "mouthClose"), strict=True):
        column = INDEX[name]
        axes.plot(time, truth[:, column], color="0.45", label="captured")
        axes.plot(time, faces[:, column], color="tab:blue", label="predicted")
        r = pearson(faces[:, [column]], clip.captured[:, [column]])[0]
        axes.set_ylabel(name)
        axes.text(0.01, 0.85, f"r {r:.2f}", transform=axes.transAxes)
    rows[0].legend(loc="upper right")
    rows[0].set_title(f"{clip.id}: {clip.text or ''}".strip(": "))
    rows[-1].set_xlabel("s")
    figure.savefig(path, dpi=100)
    plt.close(figure)


SHEET = ("jawOpen", "mouthPucker", "mouthSmileLeft")
"""Shapes of the sheet; alive in both capture systems."""
COLOURS = ("0.4", "tab:orange", "tab:blue")
"""Of the captured face and of two systems."""
STRIP = 16.0
"""Seconds of one strip of the sheet."""


def plot_sheet(clips: Sequence[TestClip], predicted: Mapping[str, Faces], path: Path) -> None:
    """A minute of captured clips, one after the other in strips, and what each system predicted."""
    plt = pyplot()
    ends = np.cumsum([t.faces for t in clips]) / FPS
    time = (np.arange(sum(t.faces for t in clips)) + 1) / FPS
    lines = {"captured": np.concatenate([t.truth for t in clips])}
    lines |= {
        name: np.concatenate([faces[t.id] for t in clips]) for name, faces in predicted.items()
    }
    strips = int(np.ceil(ends[-1] / STRIP))
    figure, axes = plt.subplots(
        strips * len(SHEET), 1, figsize=(15, 4.2 * strips), layout="constrained", squeeze=False
    )
    for at, row in enumerate(axes[:, 0]):
        strip, shape = divmod(at, len(SHEET))
        inside = (time > strip * STRIP) & (time <= (strip + 1) * STRIP)
        for (name, faces), colour in zip(lines.items(), COLOURS, strict=False):
            row.plot(time[inside], faces[inside, INDEX[SHEET[shape]]], colour, lw=1.2, label=name)
        for clip, end in zip(clips, ends, strict=True):
            start = end - clip.faces / FPS
            if strip * STRIP <= start < (strip + 1) * STRIP:
                row.axvline(start, color="0.8")
                if shape == 0:
                    row.text(start, 1.02, f" {clip.id}", transform=row.get_xaxis_transform())
        row.set(xlim=(strip * STRIP, (strip + 1) * STRIP), ylim=(-0.05, 1), ylabel=SHEET[shape])
    axes[0, 0].legend(loc="upper right", ncol=3)
    axes[-1, 0].set_xlabel("s")
    figure.savefig(path, dpi=70)
    plt.close(figure)


def plot_lookahead(
    by_lookahead: Mapping[str, Table], teacher: Table | None, names: Sequence[str], path: Path
) -> None:
    """What waiting brings: r of jaw and other mouth shapes over the look-ahead, a set each.

    Dotted, where a ``teacher`` that hears the whole clip gets.
    """
    plt = pyplot()
    waits = [float(key.split()[0]) for key in by_lookahead]
    figure, panels = plt.subplots(
        1, len(names), figsize=(11, 3.2), sharey=True, layout="constrained"
    )
    for axes, name in zip(panels, names, strict=True):
        for key, label, colour in (
            ("r_jaw", "jaw", "tab:blue"),
            ("r_mouth_live", "other mouth shapes", "tab:orange"),
        ):
            reached = [table[name][key] for table in by_lookahead.values()]
            axes.plot(waits, reached, "o-", color=colour, label=label)
            if teacher:
                axes.axhline(teacher[name][key], color=colour, ls=":")
        axes.set(title=name, xlabel="look-ahead, ms", xticks=waits, ylim=(0, 1))
    panels[0].set_ylabel("Pearson r, no lag search")
    panels[0].legend(fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def plot_bars(results: dict[str, Any], path: Path) -> None:
    """r of the jaw beside loudness, and of the other mouth channels, a set each."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(9, 3.5), layout="constrained")
    place = np.arange(len(results))
    for offset, key, label in (
        (-0.27, "r_jaw_log_energy", "loudness alone, jaw"),
        (0.0, "r_jaw", "EdgeTalk, jaw"),
        (0.27, "r_mouth_live", "EdgeTalk, other mouth shapes"),
    ):
        bars = axes.bar(place + offset, [m[key] for m in results.values()], 0.25, label=label)
        axes.bar_label(bars, fmt="%.2f", fontsize=8)
    axes.set(xticks=place, xticklabels=list(results), ylabel="Pearson r, zero lag", ylim=(0, 1))
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)
