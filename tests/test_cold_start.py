"""A face must not depend for long on when the microphone was opened."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

from benchmarks.accuracy.__main__ import faces_of
from benchmarks.accuracy.cold_start import cold_start
from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import INDEX, SAMPLE_RATE, AudioBlock
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from quantize.evaluation.test_clips import TestClip
from tests.fakes import DEMO

pytestmark = pytest.mark.toolchain


class Leaky:
    """A face whose jaw is the first sample of its 60th, and a share of what the jaw was before."""

    def __init__(self, keeps: float) -> None:
        self._keeps = keeps
        self.restart()

    def restart(self) -> None:
        self._jaw = 0.0

    def push(self, block: AudioBlock) -> list[SimpleNamespace]:
        frames = []
        for sample in block.samples[np.arange(len(block.samples) * 60 // SAMPLE_RATE) * 800 // 3]:
            self._jaw += (1 - self._keeps) * (float(sample) - self._jaw)
            weights = np.zeros(52, np.float32)
            weights[INDEX["jawOpen"]] = self._jaw
            frames.append(SimpleNamespace(weights=weights))
        return frames

    def flush(self, time: float) -> list[SimpleNamespace]:
        return []


def cut(pipeline: Any, clip: TestClip) -> dict[str, dict[str, Any]]:
    """What cutting the start of one clip does to a pipeline's faces."""
    show = partial(faces_of, pipeline)
    return cold_start(show, {clip.id: show(clip.samples)}, [clip])


def test_only_audio_before_the_cut_moves_the_face() -> None:
    sound = (0.5 + 0.4 * np.sin(np.arange(48_000) / 900)).astype(np.float32)
    clip = TestClip("x", "a set", "somebody", sound)
    at_once = cut(Leaky(0.0), clip)
    assert set(at_once) == {"0.1 s", "0.5 s", "1 s"}, "2 s leave too little"
    for row in at_once.values():
        assert (row["clips"], row["apart_p99"], row["r_jaw"]) == (1, 0.0, pytest.approx(1.0))

    def jaws(start: int) -> list[float]:
        jaw, found = 0.0, []
        for k in range(start, 180):
            jaw += 0.01 * (float(sound[k * 800 // 3]) - jaw)
            found.append(jaw)
        return found

    # 0.1 s are 6 faces; 30 more are left to settle in.
    apart = np.abs(np.array(jaws(0)[36:]) - np.array(jaws(6)[30:]))
    row = cut(Leaky(0.99), clip)["0.1 s"]
    assert row["apart_p50"] == pytest.approx(np.median(apart), rel=1e-3)
    assert row["apart_p99"] == pytest.approx(np.percentile(apart, 99), rel=1e-3)


def test_the_shipped_face_is_the_whole_clip_s_half_a_second_after_a_cut() -> None:
    bundle = read_bundle(DEFAULT)
    pipeline = Pipeline(bundle, open_engines(bundle, "onnxruntime"))
    clip = TestClip("demo", "a set", "somebody", read_audio(DEMO))
    assert len(faces_of(pipeline, clip.samples)) == clip.faces
    found = cut(pipeline, clip)
    assert len(found) == 4
    for start, row in found.items():
        assert row["clips"] == 1
        assert row["apart_p50"] < 0.03, start
        assert row["r_jaw"] > 0.98, start
