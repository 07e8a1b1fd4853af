"""Features of a voice from a recogniser trained on 200,000 hours, for teachers.

EmoTalk and DEEPTalk stand on wav2vec 2.0. Ours is the encoder of Moonshine tiny (Jeffries et al.
2024, MIT, 8 M parameters), because a wheel on PyPI carries its weights. Only teachers read it;
a student reads log-mels and learns from the teachers.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import FPS, SAMPLE_RATE, Floats, MissingError
from edge.features import Features
from edge.inference.onnx_runtime import load_onnxruntime

PACKAGE = "moonshine_voice"
INSTALL = "pip install 'edgetalk[teachers]'"
SIZE = 288
"""Length of a feature."""
FIRST, STEP = 447, 384
"""Sample at the middle of the first feature, and samples from one to the next (41.7 a second)."""
SHORTEST = 3000
"""Samples that the convolutions need, and some."""
WHOLE, PART, EDGE = 20 * SAMPLE_RATE, 16 * SAMPLE_RATE, 2 * SAMPLE_RATE
"""Sound longer than ``WHOLE`` is encoded in parts; of each, ``EDGE`` at a cut is only context."""


def teacher_features(samples: Floats, speech: int) -> Floats:
    """(faces, N_MELS + speech) log-mels of a clip and, if ``speech``, the encoder's features."""
    mels = np.stack([mel for _, mel, _ in Features().push(samples)])
    if not speech:
        return mels
    return np.concatenate([mels, features(samples, len(mels))], axis=1)


def features(samples: Floats, faces: int) -> Floats:
    """(faces, 288) of a clip at 16 kHz, each at the time of its face.

    Raises ``MissingError`` where the package is not installed.
    """
    samples = np.pad(samples, (0, max(0, SHORTEST - len(samples))))
    found, middles = [], []
    for start, end in _parts(len(samples)):
        part = _encode(samples[start:end])
        middle = start + FIRST + STEP * np.arange(len(part))
        first = start + EDGE if start else 0
        last = end - EDGE if end < len(samples) else end
        kept = (middle >= first) & (middle < last)
        found.append(part[kept])
        middles.append(middle[kept])
    return _resample(np.concatenate(found), np.concatenate(middles), faces)


def _parts(count: int) -> list[tuple[int, int]]:
    """Where each part that is encoded at once starts and ends, of ``count`` samples."""
    if count <= WHOLE:
        return [(0, count)]
    starts = range(0, count - 2 * EDGE, PART - 2 * EDGE)
    return [(start, min(start + PART, count)) for start in starts]


def _resample(found: Floats, middles: NDArray[np.int64], faces: int) -> Floats:
    """Features at ``middles`` (samples) to one a face, linearly; held at the ends."""
    wanted = (np.arange(faces) + 1) * SAMPLE_RATE / FPS
    right = np.clip(np.searchsorted(middles, wanted), 1, len(middles) - 1)
    left = right - 1
    share = np.clip((wanted - middles[left]) / (middles[right] - middles[left]), 0, 1)[:, None]
    return np.asarray((1 - share) * found[left] + share * found[right], np.float32)


def _encode(samples: Floats) -> Floats:
    batch = samples[None].astype(np.float32)
    feed = {"input_values": batch, "attention_mask": np.ones(batch.shape, np.int64)}
    made: Floats = _session().run(None, feed)[0][0]
    return made


@lru_cache(maxsize=1)
def _session() -> Any:
    onnxruntime = load_onnxruntime()
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingError(
            f"the teachers' speech encoder is not installed: {INSTALL}, or leave 'speech' out"
        )
    path = Path(found.submodule_search_locations[0]) / "assets" / "tiny-en" / "encoder_model.ort"
    if not path.is_file():
        raise MissingError(f"{path} is missing: {INSTALL}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # renditions are made in another process, by fork
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
