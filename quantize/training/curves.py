"""A run's figures to ``log.csv``, TensorBoard and ``curves.png``."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from edge.files import atomic_write, write_text


class TrainingLog:
    """One row of figures a checkpoint; TensorBoard has them too where it is installed.

    The file is written anew each time, without rows at or after the step that is added: those are
    of a process that stopped between its log and its checkpoint.
    """

    def __init__(self, out: Path) -> None:
        self.path, self._board = out / "log.csv", _board(out)

    def add(self, step: int, figures: dict[str, float]) -> None:
        """Append the figures (by name) of a step."""
        rows = [row for row in read_log(self.path) if int(row["step"]) < step]
        rows.append({"step": str(step)} | {k: f"{v:.5g}" for k, v in figures.items()})
        text = io.StringIO()
        writer = csv.DictWriter(text, ["step", *figures])
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())
        if self._board:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()


def _board(out: Path) -> Any:
    """TensorBoard's writer, or ``None`` where it is not installed or another process writes."""
    if os.environ.get("RANK", "0") != "0":
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out))


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows of a ``log.csv``; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def plot(out: Path) -> None:
    """``log.csv`` as ``curves.png``, a panel a figure; nothing where nothing was logged."""
    from matplotlib.figure import Figure  # no pyplot: it needs no display and keeps no figure

    rows, columns = read_log(out / "log.csv"), 4
    if not rows:
        return
    names = [n for n in rows[0] if n != "step"]
    height = -(-len(names) // columns)
    figure = Figure(figsize=(12, 2.2 * height), layout="constrained")
    axes = figure.subplots(height, columns, squeeze=False)
    for panel, name in zip(axes.flat, names, strict=False):
        panel.plot([int(r["step"]) for r in rows], [float(r[name]) for r in rows])
        panel.set_title(name, fontsize=8)
        panel.tick_params(labelsize=7)
    with atomic_write(out / "curves.png") as file:
        figure.savefig(file, dpi=90, format="png")
