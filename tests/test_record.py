"""Faces to CSV: names in the header, the face's own time in front, whole or not at all."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from edge.contract import ARKIT_52, BlendshapeFrame, ConfigError
from edge.record import CsvRecord


def test_the_file_is_these_lines(tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    record = CsvRecord(str(path))
    weights = np.zeros(52, np.float32)
    weights[17], weights[51] = 0.5, 0.12345
    record.send(BlendshapeFrame(weights, 266, 0.0))
    record.send(BlendshapeFrame(np.ones(52, np.float32), 800, 0.0))
    record.close()
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["time_s", *ARKIT_52]
    assert rows[1] == ["0.01663", *["0.0000"] * 17, "0.5000", *["0.0000"] * 33, rows[1][-1]]
    assert float(rows[1][-1]) == pytest.approx(0.12345, abs=6e-5)
    assert rows[2] == ["0.05000", *["1.0000"] * 52]
    assert len(rows) == 3


def test_an_old_recording_stays_until_the_new_one_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    path.write_text("old")
    record = CsvRecord(str(path))
    record.send(BlendshapeFrame(np.zeros(52, np.float32), 266, 0.0))
    assert path.read_text() == "old"
    record.close()
    record.close()
    assert path.read_text().startswith("time_s,")
    assert [p.name for p in tmp_path.iterdir()] == ["face.csv"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--record .*nowhere/face\.csv: No such file"):
        CsvRecord(str(tmp_path / "nowhere" / "face.csv"))
