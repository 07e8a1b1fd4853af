"""What words and styles do, measured: controls are controls, and the runtime is the real one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")

from benchmarks.accuracy.steering import (
    CLIPS,
    TimedWords,
    faces_given,
    of_others,
    pull,
    rest_of,
)
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import INDEX, Floats
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from quantize.evaluation.test_clips import TestClip

pytestmark = pytest.mark.toolchain


def make_clip(name: str, at: int = 0) -> TestClip:
    return TestClip(name, CLIPS[at], "somebody", np.zeros(100, np.float32))


def test_another_sentence_s_words_come_at_this_one_s_times() -> None:
    clips = [make_clip("a"), make_clip("b"), make_clip("c", at=1), make_clip("wordless")]
    timed = {
        "a": [(0.1, "one"), (0.5, "two"), (0.9, "three")],
        "b": [(0.2, "four"), (0.4, "five")],
        "c": [(0.3, "six")],
    }
    found = of_others(clips, timed)
    assert found["a"] == [(0.1, "four"), (0.5, "five"), (0.9, "four")]
    assert found["b"] == [(0.2, "one"), (0.4, "two")]
    assert found.keys() == timed.keys()


def test_the_rest_of_a_sentence_is_what_begins_at_each_word() -> None:
    assert rest_of([(0.1, "to"), (0.4, "the"), (0.5, "sea")]) == [
        (0.1, "to the sea"),
        (0.4, "the sea"),
        (0.5, "sea"),
    ]


def test_a_style_that_goes_half_the_way_to_its_talker_pulls_by_half() -> None:
    plain, habit = np.zeros((4, 52), np.float32), np.zeros(52, np.float32)
    jaw, funnel = INDEX["jawOpen"], INDEX["mouthFunnel"]
    plain[::2, jaw], habit[jaw] = 0.2, 0.3  # a deviation of 0.1
    moved = plain.copy()
    moved[::2, jaw] = 0.4  # of 0.2
    unseen = [make_clip("a")]
    assert pull({"a": plain}, {"a": moved}, habit, unseen) == pytest.approx(
        {"share": 0.5, "cosine": 1.0}
    )
    moved[::2, funnel] = 0.2  # and as far aside
    assert pull({"a": plain}, {"a": moved}, habit, unseen)["cosine"] == pytest.approx(0.5**0.5)


def test_a_shipped_face_expects_the_words_it_is_given(demo: Floats) -> None:
    bundle = read_bundle(DEFAULT)

    def faces(timed: TimedWords, ahead: bool = False) -> Floats:
        return faces_given(Pipeline(bundle, open_engines(bundle)), demo, timed, ahead)

    seconds = [k / 2 for k in range(2 * len(demo) // 16_000)]
    plain = faces([])
    np.testing.assert_array_equal(faces([(at, "") for at in seconds]), plain)
    shut, wide = (faces([(at, text) for at in seconds]) for text in ("mipomibu", "a la ha ka ta"))
    known = faces([(at, "mipomibu") for at in seconds], ahead=True)
    jaw = INDEX["jawOpen"]
    assert known[:, jaw].mean() < plain[:, jaw].mean() - 0.005
    assert shut[:, jaw].mean() < plain[:, jaw].mean() - 0.005
    assert wide[:, jaw].mean() > plain[:, jaw].mean() + 0.005
