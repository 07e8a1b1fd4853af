"""Test clips to the faces that the whole runtime makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.bundle import Bundle
from edge.contract import AudioBlock, Floats
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from quantize.evaluation.test_clips import TestClip


def faces_of(pipeline: Pipeline, samples: Floats) -> Floats:
    """The faces (n, 52) of a whole clip as sent, from a fresh start, the delay taken off."""
    pipeline.restart()
    frames = pipeline.push(AudioBlock(samples, 0, 0.0)) + pipeline.flush(0.0)
    return np.stack([frame.weights for frame in frames])


def open_pipeline(bundle: Bundle, lookahead: int | None) -> Pipeline:
    """A pipeline as ``edge-run`` builds it."""
    return Pipeline(bundle, open_engines(bundle), lookahead)


def of_bundle(
    bundle: Bundle, clips: Sequence[TestClip], lookahead: int | None = None
) -> dict[str, Floats]:
    """Every clip's faces from the runtime."""
    pipeline = open_pipeline(bundle, lookahead)
    return {t.id: faces_of(pipeline, t.samples) for t in clips}
