"""A checkpoint to a bundle in three precisions: ``edge-quantize quantize``.

fp32 is exported, fp16 keeps fp32 where numbers are too large for it, int8 is calibrated, scanned
for layers that cost too much, and trained to be rounded. Every figure is measured through ONNX
Runtime with the state carried, elsewhere in the streams than calibration listened.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from tqdm import tqdm

from edge.bundle import NETWORKS, Bundle, File, Network, sha256
from edge.contract import Floats
from edge.files import atomic_write, write_text
from quantize.export.calibrate import METHODS, CalibrationWindows, calibrate, cut
from quantize.export.lint import require
from quantize.export.onnx_runner import OnnxRunner
from quantize.export.qat import finetune
from quantize.export.qdq import to_fp16
from quantize.export.sensitivity import Models, choose, int8_of, plot, run_both, scan, size, table
from quantize.export.snr import snr_db
from quantize.export.to_onnx import export, load_student, write_networks

log = logging.getLogger(__name__)

CALIBRATION = (12, 1200)
"""Windows and faces of each: 4 minutes."""
JUDGING = (4, 3600)
"""Four minutes without a reset each, because errors of state add up; one a look-ahead."""
HALF_LIMIT = 65504 / 8
"""Larger numbers stay in fp32: three bits of room for speech louder than any heard here."""


def quantize(
    checkpoint: Path,
    data: Path,
    out: Path,
    *,
    name: str = "edgetalk",
    lookahead: int = 4,
    report: Path,
    rounds: int,
) -> Bundle:
    """Write fp32, fp16 and int8 networks into ``out``; the scan and its plot into ``report``.

    ``data`` is the folder of the run that trained the student; the training for int8 keeps there
    what is done, so that a stopped one goes on.
    """
    bundle = export(checkpoint, out, name, lookahead)
    models = {network: onnx.load(out / f"{network}.onnx") for network in NETWORKS}
    told = np.concatenate([bundle.layout.at(late) for late in bundle.lookaheads])
    heard, judge = cut(data, told, *CALIBRATION, seed=0), cut(data, told, *JUDGING, seed=1)
    reference = run_both(models, judge)[1]

    wide = {n: found + averaging(models[n]) for n, found in too_wide(models, heard).items()}
    halves = {n: to_fp16(model, wide[n]) for n, model in models.items()}
    half_db = snr_db(reference, run_both(halves, judge)[1])
    log.info("fp16: %.1f dB, %.0f kB, in fp32: %s", half_db, size(halves) / 1e3, wide)

    peaks, methods = best_peaks(models, heard, judge, reference)
    costs = scan(models, peaks, judge, reference)
    keep, calibrated_db = choose(models, peaks, judge, reference, costs)
    ints, int_db = int8_of(models, peaks, keep), calibrated_db
    if rounds:
        trained = _trained(checkpoint, data, peaks, keep, rounds)
        learned = int8_of(trained, peaks, keep)
        trained_db = snr_db(reference, run_both(learned, judge)[1])
        log.info("int8: calibrated %.1f dB, after training %.1f dB", calibrated_db, trained_db)
        if trained_db > calibrated_db:
            ints, int_db = learned, trained_db

    record: dict[str, Any] = {
        "calibration": heard.fingerprint,
        "faces": heard.faces,
        "method": max(methods, key=lambda m: methods[m]),
        "fp32_layers": keep,
        "training_rounds": rounds if int_db > calibrated_db else 0,
        "snr_db": round(int_db, 1),
    }
    scanned = {
        "fp16": {"snr_db": half_db, "bytes": size(halves), "fp32_nodes": wide},
        "int8": {"snr_db_calibrated": calibrated_db, "snr_db": int_db, "bytes": size(ints)},
        "methods_snr_db": methods,
        "layers": table(costs),
        "peaks": peaks,
    }
    report.mkdir(parents=True, exist_ok=True)
    plot(costs, keep, report / "sensitivity.png")
    write_text(report / "sensitivity.json", json.dumps(record | scanned, indent=1) + "\n")
    return _add(replace(bundle, quantised=record), {"fp16": halves, "int8": ints})


def too_wide(models: Models, windows: CalibrationWindows) -> dict[str, list[str]]:
    """Names of nodes that make or read numbers beyond ``HALF_LIMIT``, by network."""
    inner = {name: _float_tensors(model) for name, model in models.items()}
    steppers = {name: OnnxRunner(model, inner[name]) for name, model in models.items()}
    peaks: dict[str, dict[str, float]] = {
        name: {
            t.name: float(np.abs(numpy_helper.to_array(t)).max(initial=0))
            for t in model.graph.initializer
            if t.data_type == TensorProto.FLOAT
        }
        for name, model in models.items()
    }
    for feed in windows.feeds():
        said = steppers["generator"].run(feed)
        shown = steppers["decoder"].run({"latent": said["latent"]})
        for name, tensors in (("generator", said), ("decoder", shown)):
            for tensor, values in tensors.items():
                peaks[name][tensor] = max(
                    peaks[name].get(tensor, 0), float(np.abs(values).max(initial=0))
                )
    return {
        name: [
            node.name
            for node in model.graph.node
            if any(peaks[name].get(t, 0) > HALF_LIMIT for t in [*node.input, *node.output])
        ]
        for name, model in models.items()
    }


def averaging(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes between ``state.mood`` and ``state_out.mood``.

    They move a mean by a ninetieth, which fp16 loses before the mean has arrived: 2 % are missing.
    """
    touched, path = {"state.mood"}, list[onnx.NodeProto]()
    for node in model.graph.node:
        if touched.intersection(node.input):
            touched.update(node.output)
            path.append(node)
    wanted, names = {"state_out.mood"}, list[str]()
    for node in reversed(path):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            names.append(node.name)
    return names[::-1]


def _float_tensors(model: onnx.ModelProto) -> list[str]:
    typed = onnx.shape_inference.infer_shapes(model).graph
    made = {name for node in typed.node for name in node.output}
    floats = [
        v.name
        for v in [*typed.value_info, *typed.output]
        if v.type.tensor_type.elem_type == TensorProto.FLOAT
    ]
    return [n for n in floats if n in made]


def best_peaks(
    models: Models, heard: CalibrationWindows, judge: CalibrationWindows, reference: Floats
) -> tuple[dict[str, float], dict[str, float]]:
    """Activation peaks by the method with the best SNR, and every method's SNR."""
    found = calibrate(models, heard, lambda feeds: tqdm(feeds, "calibration", len(heard.mels)))
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
) -> dict[str, onnx.ModelProto]:
    """The student after quantisation-aware training, exported as fp32."""
    student = finetune(load_student(checkpoint), peaks, keep, data, rounds, data / "qat.pt")
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
                onnx.save(models[network], file)
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
