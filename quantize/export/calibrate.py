"""Streams to the activation peaks that int8 is scaled by, one a layer.

The networks are stepped with their state as they will run; every activation of every step counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.contract import Floats
from edge.features import N_MELS
from quantize.data.clips import DataError
from quantize.export.onnx_runner import OnnxRunner
from quantize.export.qdq import layers

BINS = 2048


@dataclass(frozen=True)
class CalibrationWindows:
    """Stretches of feature streams, each run from a fresh start."""

    mels: Floats
    """(N, T, N_MELS)"""
    control: Floats
    """(N, C) conditioning of each (``models.generator.Generator``)."""

    @property
    def faces(self) -> int:
        """All faces together."""
        return self.mels.shape[0] * self.mels.shape[1]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the very numbers, for ``bundle.yaml``."""
        digest = hashlib.sha256()
        for array in (self.mels.astype("<f4"), self.control.astype("<f4")):
            digest.update(repr(array.shape).encode() + array.tobytes())
        return digest.hexdigest()

    def feeds(self) -> Iterator[dict[str, Floats]]:
        """Inputs of the generator, a window at a time: (T, 1, 1, N_MELS) and (T, 1, C)."""
        for mels, conditioning in zip(self.mels, self.control, strict=True):
            rows = np.broadcast_to(conditioning, (len(mels), 1, len(conditioning)))
            yield {"mels": mels[:, None, None], "control": rows}


def cut(
    folder: Path, conditioning: Floats, count: int, faces: int, seed: int, only: int | None = None
) -> CalibrationWindows:
    """``count`` windows of ``faces`` faces from the streams under ``folder/renditions``.

    Files are taken in turn (or ``only`` one), starts are drawn by ``seed``, and the rows of
    ``conditioning`` (K, C) are taken in turn.
    ``DataError`` if any window cannot be had or is not healthy: fewer would be another calibration.
    """
    files = sorted((folder / "renditions").glob("*.npz"))
    if not files:
        raise DataError(
            f"{folder}: no renditions/*.npz there; give --data the folder of edge-quantize train"
        )
    files = files if only is None else files[only : only + 1]
    rng = np.random.default_rng(seed)
    by_file: dict[Path, list[int]] = {}
    for i in range(count):
        by_file.setdefault(files[i % len(files)], []).append(i)
    found: dict[int, Floats] = {}
    for path, wanted in by_file.items():
        mels = _read(path, faces)
        for i in wanted:
            at = int(rng.integers(len(mels) - faces + 1))
            found[i] = mels[at : at + faces].astype(np.float32)
            if not np.isfinite(found[i]).all():
                raise DataError(
                    f"{path}: features {at} to {at + faces} hold NaN or infinity; make the "
                    "rendition again (delete the file and run edge-quantize train)"
                )
    order = np.stack([found[i] for i in range(count)])
    return CalibrationWindows(order, conditioning[np.arange(count) % len(conditioning)])


def _read(path: Path, faces: int) -> NDArray[np.float16]:
    try:
        with np.load(path) as stored:
            mels: NDArray[np.float16] = stored["mels"]
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise DataError(f"{path}: not a rendition ({error}); delete it and train again") from error
    if mels.ndim != 2 or mels.shape[1] != N_MELS or len(mels) < faces:
        raise DataError(
            f"{path}: features of shape {mels.shape}; calibration needs at least "
            f"({faces}, {N_MELS})"
        )
    return mels


class Calibrator:
    """A histogram of |x| that grows with the data; a method cuts its tail."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything collected."""
        self._counts, self._top = np.zeros(BINS), 0.0

    def collect(self, values: Floats) -> None:
        """Count one batch; ``DataError`` if it is empty or not finite."""
        if values.size == 0 or not np.isfinite(values).all():
            what = "is empty" if values.size == 0 else "holds NaN or infinity"
            raise DataError(f"a calibration batch {what}; nothing was calibrated")
        size = np.abs(values).ravel()
        peak = float(size.max())
        self._top = self._top or peak
        while peak > self._top:  # pairs of bins merge, so that no count is lost
            self._counts = np.concatenate([self._counts.reshape(-1, 2).sum(1), np.zeros(BINS // 2)])
            self._top *= 2
        if self._top > 0:
            self._counts += np.histogram(size, BINS, (0, self._top))[0]

    def compute(self, method: str) -> float:
        """The value that becomes 127, by one of ``METHODS``; larger ones are clipped."""
        if not self._counts.any():
            raise DataError("a layer saw nothing but zeros, or nothing, in calibration")
        return float(METHODS[method](self._counts, np.linspace(0, self._top, BINS + 1)))


def _last(counts: NDArray, edges: NDArray) -> float:
    """The largest value seen, to the width of a bin."""
    return float(edges[np.flatnonzero(counts)[-1] + 1])


def _percentile(counts: NDArray, edges: NDArray, share: float = 0.9999) -> float:
    """All but one in ten thousand."""
    return float(edges[np.searchsorted(np.cumsum(counts), share * counts.sum()) + 1])


def _mse(counts: NDArray, edges: NDArray) -> float:
    """The peak whose rounding and clipping together cost the least square error."""
    middle = (edges[1:] + edges[:-1]) / 2

    def cost(peak: float) -> float:
        step = peak / 127
        rounded = np.clip(np.round(middle / step), 0, 127) * step
        return float((counts * (middle - rounded) ** 2).sum())

    return min(_last(counts, edges) * np.linspace(0.2, 1, 81), key=cost)


def _entropy(counts: NDArray, edges: NDArray) -> float:
    """The peak that loses the least information by Kullback and Leibler (Migacz 2017)."""
    top = int(np.flatnonzero(counts)[-1]) + 1
    best, best_cost = top, np.inf
    for end in range(min(128, top), top + 1, 8):
        kept = counts[:end].copy()
        kept[-1] += counts[end:].sum()
        group = np.arange(end) * 128 // end
        full = kept > 0
        total = np.bincount(group, counts[:end] * full, 128)
        used = np.bincount(group, full, 128)
        spread = np.where(full, (total / np.maximum(used, 1))[group], 0)
        p, q = kept / kept.sum(), spread / max(spread.sum(), 1)
        cost = float((p[full] * np.log(p[full] / np.maximum(q[full], 1e-12))).sum())
        if cost < best_cost:
            best, best_cost = end, cost
    return float(edges[best])


METHODS: Mapping[str, Callable[[NDArray, NDArray], float]] = {
    "max": _last,
    "percentile": _percentile,
    "mse": _mse,
    "entropy": _entropy,
}


def calibrate(
    models: Mapping[str, onnx.ModelProto], windows: CalibrationWindows, track: Any = iter
) -> dict[str, Calibrator]:
    """Step generator and decoder over all windows: ``network.layer`` to what it saw.

    The decoder runs on the latents of the fp32 generator. One pass serves every method.
    """
    seen = {name: layers(model) for name, model in models.items()}
    steppers = {
        name: OnnxRunner(model, [layer.activation for layer in seen[name]])
        for name, model in models.items()
    }
    found: dict[str, Calibrator] = {}
    for feed in track(windows.feeds()):
        output = steppers["generator"].run(feed)
        tensors = {
            "generator": output,
            "decoder": steppers["decoder"].run({"latent": output["latent"]}),
        }
        for name, layer in ((n, layer) for n in models for layer in seen[n]):
            calibrator = found.setdefault(f"{name}.{layer.name}", Calibrator())
            calibrator.collect(tensors[name][layer.activation])
    return found
