"""What words and styles do, measured: controls are controls, and the runtime is the real one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")

from benchmarks.steering import CLIPS, faces_told, of_others
from benchmarks.trials import Trial
from edge.bundle import DEFAULT, read_bundle
from edge.contract import INDEX, Floats
from edge.engine import open_engines
from edge.pipeline import Pipeline

pytestmark = pytest.mark.toolchain


def trial(name: str, at: int = 0) -> Trial:
    return Trial(name, CLIPS[at], "somebody", np.zeros(100, np.float32))


def test_another_sentence_s_words_come_at_this_one_s_times() -> None:
    clips = [trial("a"), trial("b"), trial("c", at=1), trial("wordless")]
    told = {
        "a": [(0.1, "one"), (0.5, "two"), (0.9, "three")],
        "b": [(0.2, "four"), (0.4, "five")],
        "c": [(0.3, "six")],
    }
    found = of_others(clips, told)
    assert found["a"] == [(0.1, "four"), (0.5, "five"), (0.9, "four")]
    assert found["b"] == [(0.2, "one"), (0.4, "two")]
    assert found.keys() == told.keys()


def test_a_shipped_face_expects_the_words_it_is_told(demo: Floats) -> None:
    bundle = read_bundle(DEFAULT)
    pipeline = Pipeline(bundle, open_engines(bundle))
    plain = faces_told(pipeline, demo, [])
    np.testing.assert_array_equal(faces_told(pipeline, demo, []), plain)
    seconds = [k / 2 for k in range(2 * len(demo) // 16_000)]
    shut = faces_told(pipeline, demo, [(at, "mmpbmm") for at in seconds])
    wide = faces_told(pipeline, demo, [(at, "aaaaaa a") for at in seconds])
    jaw = INDEX["jawOpen"]
    assert shut[:, jaw].mean() < plain[:, jaw].mean() - 0.005
    assert wide[:, jaw].mean() > plain[:, jaw].mean() + 0.005
