"""Changing the look-ahead while a face speaks: no way back in time and no jump."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest

from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import AudioBlock, BlendshapeFrame, face_end
from edge.inference.engine import open_engines
from edge.lookahead_crossfade import FADE, LookaheadCrossfade
from edge.pipeline import Pipeline

DEMO = "edge/assets/demo.flac"
BLOCK = 160


def speak(switches: Mapping[int, int], lookahead: int) -> list[BlendshapeFrame]:
    """Five seconds of the demo clip; ``switches`` maps a block's index to a new look-ahead."""
    bundle = read_bundle(DEFAULT)
    pipeline = Pipeline(bundle, open_engines(bundle), lookahead)
    audio, frames = read_audio(DEMO)[: 5 * 16000], []
    for n, start in enumerate(range(0, len(audio), BLOCK)):
        if n in switches:
            pipeline.set_lookahead(switches[n])
        frames += pipeline.push(AudioBlock(audio[start : start + BLOCK], start, 0.0))
    return frames


def steps(frames: list[BlendshapeFrame]) -> np.ndarray:
    return np.abs(np.diff([f.weights for f in frames], axis=0))


@pytest.mark.parametrize("every", [7, 31])
def test_switching_back_and_forth_never_goes_back_nor_jumps(every: int) -> None:
    offered = read_bundle(DEFAULT).lookaheads
    ordinary = np.max([steps(speak({}, n)).max(axis=0) for n in offered], axis=0)
    rng = np.random.default_rng(every)
    switches = {n: int(rng.choice(offered)) for n in range(60, 480, every)}
    assert len(set(switches.values())) == len(offered)
    frames = speak(switches, offered[1])
    ends = [f.end for f in frames]
    assert all(a <= b for a, b in pairwise(ends))
    # Each shape against the fastest it moves in speech without switching, and 0.05 for shapes that
    # speech hardly moves. Where nothing switches the state still differs a little from a straight
    # run's, and with it the fastest step: by 1.3 % here, seconds after a switch.
    assert (steps(frames).max(axis=0) <= 1.05 * np.maximum(ordinary, 0.05)).all()


def test_after_a_switch_the_face_is_the_one_of_the_new_lookahead() -> None:
    switched, straight = speak({200: 8}, 0), speak({}, 8)
    late = {f.end: f.weights for f in straight if f.end > 4 * 16000}
    same = [(f.weights, late[f.end]) for f in switched if f.end in late]
    assert len(same) > 50
    # Eyes and brows idle by the step and not by the index; the mouth must agree.
    assert max(np.abs(a - b)[14:41].max() for a, b in same) < 0.05


def test_a_longer_lookahead_holds_the_face_and_a_shorter_one_skips() -> None:
    longer = speak({200: 8}, 4)
    ends = [f.end for f in longer]
    assert max(ends.count(e) for e in ends) == 5  # the last face and four held ones
    shorter = speak({200: 0}, 8)
    gaps = np.diff([f.end for f in shorter])
    assert gaps.max() >= face_end(8) - face_end(0)
    assert (gaps > 0).all()


def test_the_crossfade_fades_the_difference_out_in_a_fifth_of_a_second() -> None:
    crossfade, raw = LookaheadCrossfade(), np.zeros(52, np.float32)
    crossfade.blend(raw, 0)
    crossfade.begin()
    raw += 1  # the engine reuses its array
    seen = [float(crossfade.blend(raw, 5 + i)[0][0]) for i in range(FADE)]
    assert seen[0] == pytest.approx(0.0197, abs=1e-3)  # smoothstep of 1/12
    assert seen[FADE // 2 - 1] == pytest.approx(0.5)
    assert seen[-1] == 1.0
    assert seen == sorted(seen)


def test_choosing_the_same_lookahead_changes_nothing() -> None:
    assert (steps(speak({100: 4, 200: 4}, 4)) == steps(speak({}, 4))).all()
