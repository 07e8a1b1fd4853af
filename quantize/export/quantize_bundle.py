"""A checkpoint to a bundle in three precisions: ``edge-quantize quantize``.

fp32 is exported, fp16 keeps fp32 where numbers are too large for it, int8 is calibrated, scanned
for layers that cost too much, and trained to be rounded. Every figure is measured through ONNX
Runtime with the state carried, elsewhere in the streams than calibration listened.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from tqdm import tqdm

from edge.bundle import NETWORKS, Bundle, File, Network
from edge.bundle_files import sha256
from edge.contract import Floats
from edge.files import atomic_write, write_text
from quantize.export.calibrate import METHODS, CalibrationWindows, calibrate, cut
from quantize.export.fp16 import averaging, to_fp16, too_wide
from quantize.export.lint import require
from quantize.export.onnx_graph import Models
from quantize.export.qat import QatSettings, finetune
from quantize.export.sensitivity import Cost, choose, int8_of, plot, run_both, scan, size, table
from quantize.export.snr import snr_db
from quantize.export.to_onnx import export, load_student, write_networks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class QuantizeSettings:
    """How much is listened to; windows and faces of each."""

    calibration: tuple[int, int] = (12, 1200)
    """Four minutes."""
    judging: tuple[int, int] = (4, 3600)
    """Four minutes without a reset each, because errors of state add up; one a look-ahead."""
    training: QatSettings = field(default_factory=QatSettings)


@dataclass(frozen=True)
class _Measured:
    """What every precision is made from and measured on."""

    models: Models
    calibration: CalibrationWindows
    judging: CalibrationWindows
    reference: Floats
    """(N * T, 52) weights of fp32 on ``judging``."""

    def snr_db(self, models: Models) -> float:
        """Of the weights against fp32."""
        return snr_db(self.reference, run_both(models, self.judging)[1])


def quantize(
    checkpoint: Path,
    data: Path,
    out: Path,
    *,
    name: str = "edgetalk",
    lookahead: int = 4,
    report: Path,
    rounds: int,
    settings: QuantizeSettings = QuantizeSettings(),
) -> Bundle:
    """Write fp32, fp16 and int8 networks into ``out``; the scan and its plot into ``report``.

    ``data`` is the folder of the run that trained the student; the training for int8 keeps there
    what is done, so that a stopped one goes on.
    """
    bundle = export(checkpoint, out, name, lookahead)
    models = {network: onnx.load(out / f"{network}.onnx") for network in NETWORKS}
    conditioning = bundle.layout.all_lookaheads()
    calibration, judge = (
        cut(data, conditioning, *size, seed=seed)
        for seed, size in enumerate((settings.calibration, settings.judging))
    )
    measured = _Measured(models, calibration, judge, run_both(models, judge)[1])
    halves, half_record = _to_half(measured)

    def train(peaks: Mapping[str, float], keep: Sequence[str]) -> dict[str, onnx.ModelProto]:
        return _trained(checkpoint, data, peaks, keep, rounds, settings.training)

    ints, record, int_record, costs = _to_int8(measured, train if rounds else None, rounds)
    report.mkdir(parents=True, exist_ok=True)
    plot(costs, record["fp32_layers"], report / "sensitivity.png")
    scanned = record | {"fp16": half_record} | int_record
    write_text(report / "sensitivity.json", json.dumps(scanned, indent=1) + "\n")
    return _add(replace(bundle, quantised=record), {"fp16": halves, "int8": ints})


def _to_half(measured: _Measured) -> tuple[dict[str, onnx.ModelProto], dict[str, Any]]:
    """Both networks in fp16, and what is recorded of them."""
    models = measured.models
    wide = too_wide(models, measured.calibration)
    kept = {name: found + averaging(models[name]) for name, found in wide.items()}
    halves = {name: to_fp16(model, kept[name]) for name, model in models.items()}
    half_db = measured.snr_db(halves)
    log.info("fp16: %.1f dB, %.0f kB, in fp32: %s", half_db, size(halves) / 1e3, kept)
    return halves, {"snr_db": half_db, "bytes": size(halves), "fp32_nodes": kept}


Train = Callable[[Mapping[str, float], Sequence[str]], dict[str, onnx.ModelProto]]
"""Activation peaks and the layers that stay fp32 -> networks trained to be rounded."""


def _to_int8(
    measured: _Measured, train: Train | None, rounds: int
) -> tuple[Models, dict[str, Any], dict[str, Any], list[Cost]]:
    """Both networks in int8, what ``bundle.yaml`` and the report say of them, and the scan."""
    models, judge, reference = measured.models, measured.judging, measured.reference
    peaks, methods = best_peaks(models, measured.calibration, judge, reference)
    costs = scan(models, peaks, judge, reference)
    keep, calibrated_db = choose(models, peaks, judge, reference, costs)
    ints, int_db = int8_of(models, peaks, keep), calibrated_db
    if train:
        learned = int8_of(train(peaks, keep), peaks, keep)
        trained_db = measured.snr_db(learned)
        log.info("int8: calibrated %.1f dB, after training %.1f dB", calibrated_db, trained_db)
        if trained_db > calibrated_db:
            ints, int_db = learned, trained_db
    record: dict[str, Any] = {
        "calibration": measured.calibration.fingerprint,
        "faces": measured.calibration.faces,
        "method": max(methods, key=lambda m: methods[m]),
        "fp32_layers": keep,
        "training_rounds": rounds if int_db > calibrated_db else 0,
        "snr_db": round(int_db, 1),
    }
    scanned = {
        "int8": {"snr_db_calibrated": calibrated_db, "snr_db": int_db, "bytes": size(ints)},
        "methods_snr_db": methods,
        "layers": table(costs),
        "peaks": peaks,
    }
    return ints, record, scanned, costs


def best_peaks(
    models: Models, windows: CalibrationWindows, judge: CalibrationWindows, reference: Floats
) -> tuple[dict[str, float], dict[str, float]]:
    """Activation peaks by the method with the best SNR, and every method's SNR."""
    found = calibrate(models, windows, lambda feeds: tqdm(feeds, "calibration", len(windows.mels)))
    peaks = {m: {layer: c.compute(m) for layer, c in found.items()} for m in METHODS}
    scores = {}
    for method, chosen in peaks.items():
        quantised = int8_of(models, chosen, [])
        scores[method] = snr_db(reference, run_both(quantised, judge)[1])
        log.info("calibration by %-10s %.1f dB", method, scores[method])
    return peaks[max(scores, key=lambda m: scores[m])], scores


def _trained(
    checkpoint: Path,
    data: Path,
    peaks: Mapping[str, float],
    keep: Sequence[str],
    rounds: int,
    settings: QatSettings,
) -> dict[str, onnx.ModelProto]:
    """The student after quantisation-aware training, exported as fp32."""
    saved = data / "qat.pt"
    student = finetune(
        load_student(checkpoint), peaks, keep, data, rounds, saved, settings=settings
    )
    with TemporaryDirectory() as folder:
        write_networks(student, Path(folder))
        models = {name: onnx.load(Path(folder) / f"{name}.onnx") for name in NETWORKS}
    return models


def _add(bundle: Bundle, variants: Mapping[str, Models]) -> Bundle:
    """Check and write the files, then ``bundle.yaml``."""

    def written(network: str) -> dict[str, File]:
        files = {}
        for precision, models in variants.items():
            path = bundle.folder / f"{network}.{precision}.onnx"
            require(models[network], path.name)
            with atomic_write(path) as file:
                file.write(models[network].SerializeToString())
            files[precision] = File(path.name, sha256(path))
        return files

    def with_variants(network: str, plain: Network) -> Network:
        return replace(plain, variants=written(network))

    full = replace(
        bundle,
        generator=with_variants("generator", bundle.generator),
        decoder=with_variants("decoder", bundle.decoder),
    )
    full.write()
    return full
