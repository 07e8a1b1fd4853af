"""A bundle's fp16 and int8 networks beside its fp32: ``edge-quantize compare``.

Real clips that nobody trained or calibrated on, in one long stream without a reset, through the
engine that ships. Writes ``quantisation.json``; ``precision_report`` makes the page of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle
from edge.bundle_reader import read_bundle
from edge.contract import ARKIT_52, FPS, Floats, UsageError
from edge.features import Features
from edge.inference.engine import OnnxEngine
from edge.pipeline import Pipeline
from quantize.evaluation.metrics import pearson
from quantize.evaluation.precision_targets import loss, misses
from quantize.evaluation.predict import faces_of
from quantize.evaluation.scoring import score
from quantize.evaluation.test_clips import PAIRED, TestClip, load_test_clips
from quantize.export.snr import snr_by_channel, snr_db

LEVELS = ("slow", "fast")
"""Of the codebook."""
ROWS = (
    "r_jaw",
    "r_mouth_live",
    "r_mouth_all",
    "std_ratio_jaw",
    "jaw_in_silence",
    "jitter_ratio_jaw",
)


@dataclass(frozen=True)
class ClipStream:
    """All clips in one long stream."""

    mels: Floats
    """(T, 40)"""
    clips: list[tuple[str, int]]
    """Name and first face of each."""

    def where(self, face: int) -> tuple[str, float]:
        """Clip, and seconds into it, of a face."""
        name, start = [c for c in self.clips if c[1] <= face][-1]
        return name, (face - start) / FPS


@dataclass(frozen=True)
class PrecisionOutput:
    """What one precision makes of it, without a reset."""

    latent: Floats
    """(T, L)"""
    codes: NDArray[np.int64]
    """(T, 2) likeliest slow and fast code; (T, 0) where the bundle has none."""
    weights: Floats
    """(T, 52), not clamped."""
    decoder_alone: Floats
    """(T, 52) from the latents of fp32."""
    step_us: Floats
    """(T,) of both networks."""


def join_clips(clips: Sequence[TestClip]) -> ClipStream:
    """Features of all clips, end to end."""
    features, mels, starts = Features(), [], []
    for clip in clips:
        starts.append((clip.id, features.face))
        mels += [mel for _, mel, _ in features.push(clip.samples)]
    return ClipStream(np.stack(mels), starts)


def engines(bundle: Bundle, precision: str) -> tuple[OnnxEngine, OnnxEngine]:
    """Both networks on one CPU thread."""
    generator, decoder = bundle.networks(precision)
    return OnnxEngine(bundle.folder, generator), OnnxEngine(bundle.folder, decoder)


def run_precision(
    bundle: Bundle, precision: str, stream: ClipStream, latents: Floats | None
) -> PrecisionOutput:
    """Step through the stream as ``Pipeline`` does; ``latents`` (T, L) are those of fp32."""
    generator, decoder = engines(bundle, precision)
    control = bundle.conditioning_input(bundle.lookahead)
    latent_rows, code_rows, weight_rows, taken = [], [], [], []
    for mel in stream.mels:
        begun = time.perf_counter()
        output = generator.step(mels=mel, **control)
        latent = output["latent"]
        weights = decoder.step(latent=latent)["weights"]
        taken.append(time.perf_counter() - begun)
        latent_rows.append(latent.ravel().copy())
        code_rows.append(output["codes"].reshape(2, -1).argmax(1) if bundle.codes else [])
        weight_rows.append(weights[0, 0].copy())
    latent, weights = np.stack(latent_rows), np.stack(weight_rows)
    alone = weights
    if latents is not None:
        decoder.reset()
        alone = np.stack([decoder.step(latent=row)["weights"][0, 0].copy() for row in latents])
    codes = np.array(code_rows, np.int64).reshape(len(latent), -1)
    return PrecisionOutput(latent, codes, weights, alone, np.array(taken, np.float32) * 1e6)


def differences(
    reference: PrecisionOutput, other: PrecisionOutput, stream: ClipStream
) -> dict[str, Any]:
    """How far ``other`` is from fp32, in all and a shape each."""
    error = np.abs(other.weights - reference.weights)
    moving = np.flatnonzero(reference.weights.std(0) > 1e-6)
    r = pearson(other.weights, reference.weights)
    shapes = snr_by_channel(reference.weights, other.weights)
    return {
        "snr_db": snr_db(reference.weights, other.weights),
        "max_error": float(error.max()),
        "r": float(np.mean(r[moving])),
        "generator_latent_snr_db": snr_db(reference.latent, other.latent),
        "decoder_alone_snr_db": snr_db(reference.weights, other.decoder_alone),
        # Would grow from tenth to tenth if errors of state piled up.
        "rms_error_by_tenth": [float(np.sqrt(np.mean(e**2))) for e in np.array_split(error, 10)],
        "code_agreement": dict(
            zip(LEVELS, (other.codes == reference.codes).mean(0).tolist(), strict=False)
        ),
        "shapes": {
            ARKIT_52[c]: {
                "snr_db": shapes[c],
                "max_error": float(error[:, c].max()),
                "r": float(r[c]),
            }
            for c in moving
        },
        "worst": worst(reference.weights, other.weights, stream),
    }


def worst(
    reference: Floats, other: Floats, stream: ClipStream, count: int = 5
) -> list[dict[str, Any]]:
    """The largest errors, at least a second apart."""
    error = np.abs(other - reference)
    left, found = error.max(1), []
    for _ in range(count):
        face = int(left.argmax())
        shape = int(error[face].argmax())
        clip, seconds = stream.where(face)
        found.append(
            {
                "face": face,
                "clip": clip,
                "seconds": round(seconds, 2),
                "shape": ARKIT_52[shape],
                "fp32": float(reference[face, shape]),
                "value": float(other[face, shape]),
            }
        )
        left[max(0, face - FPS) : face + FPS] = 0
    return found


def accuracy(
    bundle: Bundle, precision: str, clips: Sequence[TestClip]
) -> dict[str, dict[str, Any]]:
    """The accuracy benchmark at the bundle's own look-ahead: set -> row -> value."""
    pipeline = Pipeline(bundle, engines(bundle, precision))
    table = score({t.id: faces_of(pipeline, t.samples) for t in clips}, clips)
    return {
        name: {row: found[row] for row in ROWS if found[row] is not None}
        for name, found in table.items()
    }


def compare(folder: Path, data: Path) -> tuple[dict[str, Any], dict[str, PrecisionOutput]]:
    """Everything measured, by precision, and the streams to draw."""
    bundle = read_bundle(folder)
    if bundle.precisions == ("fp32",):
        raise UsageError(f"{folder}: only fp32 in there; make more with edge-quantize quantize")
    clips = [t for t in load_test_clips(data, PAIRED) if t.captured is not None]
    stream = join_clips(clips)
    results: dict[str, Any] = {}
    streams: dict[str, PrecisionOutput] = {}
    for precision in bundle.precisions:
        latents = streams["fp32"].latent if streams else None
        output = streams[precision] = run_precision(bundle, precision, stream, latents)
        networks = bundle.networks(precision)
        result: dict[str, Any] = {
            "bytes": sum((folder / n.file).stat().st_size for n in networks),
            "step_us": {
                p: float(np.percentile(output.step_us, q))
                for p, q in (("p50", 50), ("p99", 99), ("max", 100))
            },
            "accuracy": accuracy(bundle, precision, clips),
        }
        if precision != "fp32":
            result |= differences(streams["fp32"], output, stream)
            plain = results["fp32"]["accuracy"]
            result["accuracy_loss"] = {
                name: {row: loss(row, plain[name][row], value) for row, value in rows.items()}
                for name, rows in result["accuracy"].items()
            }
            result["misses"] = misses(precision, result, plain)
        results[precision] = result
    return {
        "faces": len(stream.mels),
        "clips": len(stream.clips),
        "lookahead": bundle.lookahead,
        "quantised": dict(bundle.quantised),
        "precisions": results,
    }, streams


def summary(results: dict[str, Any]) -> str:
    """One line a precision, and one for each target missed."""
    lines = [
        f"{'':6}{'kB':>7}{'SNR dB':>8}{'latent':>8}{'max err':>9}{'p50 us':>8}{'p99 us':>8}",
    ]
    for name, r in results["precisions"].items():
        apart = [
            f"{r[k]:{w}.{d}f}" if k in r else " " * w
            for k, w, d in (
                ("snr_db", 8, 1),
                ("generator_latent_snr_db", 8, 1),
                ("max_error", 9, 4),
            )
        ]
        step = "".join(f"{r['step_us'][p]:8.0f}" for p in ("p50", "p99"))
        lines.append(f"{name:6}{r['bytes'] / 1e3:7.0f}{''.join(apart)}{step}")
        lines += [f"       target missed: {missed}" for missed in r.get("misses", ())]
    return "\n".join(lines)
