"""Pictures of the accuracy benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.metrics import pearson
from benchmarks.trials import Trial
from edge.contract import FPS, INDEX, Floats


def plot_sentence(trial: Trial, faces: Floats, path: Path) -> None:
    """Jaw, pucker and lip closure of one sentence, captured (common range) and predicted."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    assert trial.captured is not None
    assert trial.scale is not None
    truth = (trial.captured - trial.scale.zero) * trial.scale.factor
    time = (np.arange(len(truth)) + 1) / FPS
    figure, rows = plt.subplots(3, 1, figsize=(9, 6), sharex=True, layout="constrained")
    for axes, name in zip(rows, ("jawOpen", "mouthPucker", "mouthClose"), strict=True):
        column = INDEX[name]
        axes.plot(time, truth[:, column], color="0.45", label="captured")
        axes.plot(time, faces[:, column], color="tab:blue", label="predicted")
        r = pearson(faces[:, [column]], trial.captured[:, [column]])[0]
        axes.set_ylabel(name)
        axes.text(0.01, 0.85, f"r {r:.2f}", transform=axes.transAxes)
    rows[0].legend(loc="upper right")
    rows[0].set_title(f"{trial.id}: {trial.text or ''}".strip(": "))
    rows[-1].set_xlabel("s")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def plot_bars(results: dict[str, Any], path: Path) -> None:
    """r of the jaw beside loudness, and of the other mouth channels, a set each."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

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
