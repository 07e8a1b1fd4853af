"""The scale benchmark: streams on one set of weights that do not hear each other."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from benchmarks.runtime.scale import open_streams, run, turn
from edge.contract import SAMPLE_RATE, AudioBlock, Floats
from edge.pipeline import Pipeline


class Listened:
    """A stream whose faces are kept."""

    def __init__(self, stream: Pipeline) -> None:
        self._stream, self.faces = stream, []

    def push(self, block: AudioBlock) -> None:
        self.faces += [frame.weights for frame in self._stream.push(block)]


@pytest.mark.parametrize("shared", [True, False])
def test_a_stream_makes_the_faces_it_would_make_alone(shared: bool, demo: Floats) -> None:
    crowd = [Listened(stream) for stream in islice(open_streams(shared), 3)]
    for tick in range(60):
        assert (np.diff(turn(crowd, demo, tick)) > 0).all()
    alone = Listened(next(open_streams(shared)))
    alone.push(AudioBlock(demo[:SAMPLE_RATE], 0, 0.0))
    assert len(alone.faces) == 56
    assert np.array_equal(crowd[0].faces, alone.faces)
    assert not np.array_equal(crowd[1].faces, alone.faces)


def test_the_row_of_a_run_counts_every_face() -> None:
    row = run(3, shared=True, ticks=20)
    assert row["faces"] == 60
    assert row["faces_per_cpu_s"] > 60
    assert 0 <= row["latency_p50_ms"] <= row["latency_p99_ms"]
    assert 0 <= row["ticks_on_time"] <= 1
