"""What the comparison of precisions says of known differences."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from html import escape

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")
pytest.importorskip("matplotlib", reason="matplotlib is not installed: no pictures to test")

from benchmarks import GPU_RECORDS
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import INDEX, UsageError
from quantize.evaluation.gpu_table import gpu_table
from quantize.evaluation.precision import (
    ClipStream,
    PrecisionOutput,
    compare,
    differences,
    run_precision,
    worst,
)
from quantize.evaluation.precision_report import page, plot_shapes, plot_worst
from quantize.evaluation.precision_targets import loss, misses
from quantize.export.snr import snr_by_channel, snr_db
from tests.fakes import ROOT

pytestmark = pytest.mark.toolchain

JAW, PUCKER = INDEX["jawOpen"], INDEX["mouthPucker"]


def test_snr_is_the_power_of_movement_over_the_power_of_error():
    reference = np.array([[1.0], [3.0]])  # moves by 1 around 2: power 1
    assert snr_db(reference, reference + 0.1) == pytest.approx(20.0)
    assert snr_db(reference + 100, reference + 100.1) == pytest.approx(20.0)
    assert snr_db(reference, reference) == float("inf")


def test_a_pose_that_never_moves_has_no_signal():
    still = np.ones((5, 1))
    assert snr_db(still, still + 0.1) == float("-inf")


def test_each_channel_has_its_own_snr():
    reference = np.array([[0.0, 0.0], [2.0, 2.0]])
    error = np.array([[0.1, 0.01], [0.1, 0.01]])
    assert snr_by_channel(reference, reference + error) == pytest.approx([20.0, 40.0])


@pytest.mark.parametrize(
    ("row", "fp32", "other", "expected"),
    [
        ("r_jaw", 0.8, 0.76, 0.05),
        ("r_jaw", 0.8, 0.84, -0.05),
        ("std_ratio_jaw", 0.8, 0.76, 0.05),
        ("std_ratio_jaw", 1.25, 1.3, 0.04),
        ("std_ratio_jaw", 0.8, 0.9, -0.125),
        ("jaw_in_silence", 0.02, 0.021, 0.05),
        ("jitter_ratio_jaw", 2.0, 1.9, -0.05),
    ],
)
def test_worse_is_positive_whichever_way_a_row_is_better(row, fp32, other, expected):
    assert loss(row, fp32, other) == pytest.approx(expected)


@pytest.fixture
def stream():
    return ClipStream(np.zeros((600, 40), np.float32), [("a/one", 0), ("b/two", 240)])


def made(moves: np.ndarray) -> PrecisionOutput:
    latent = np.sin(np.arange(600, dtype=np.float32))[:, None] * np.ones(4, np.float32)
    codes = np.stack([np.arange(600) % 5, np.arange(600) % 7], axis=1)
    return PrecisionOutput(latent, codes, moves, moves, np.full(600, 50, np.float32))


@pytest.fixture
def reference():
    weights = np.zeros((600, 52), np.float32)
    weights[:, JAW] = 0.3 + 0.2 * np.sin(np.arange(600) / 10)
    weights[:, PUCKER] = 0.1 * np.cos(np.arange(600) / 7)
    return made(weights)


@pytest.fixture
def other(reference):
    weights = reference.weights + np.float32(0.001)
    weights[300, PUCKER] += 0.05
    weights[330, PUCKER] += 0.04  # within a second of the worst
    weights[100, JAW] -= 0.02
    return made(weights)


def test_the_worst_frames_are_a_second_apart_and_say_where_they_are(reference, other, stream):
    first, second = worst(reference.weights, other.weights, stream, count=2)
    assert (first["face"], first["clip"], first["seconds"]) == (300, "b/two", 1.0)
    assert first["shape"] == "mouthPucker"
    assert first["value"] - first["fp32"] == pytest.approx(0.051, abs=1e-6)
    assert (second["face"], second["clip"], second["shape"]) == (100, "a/one", "jawOpen")


def test_only_shapes_that_move_are_listed(reference, other, stream):
    found = differences(reference, other, stream)
    assert set(found["shapes"]) == {"jawOpen", "mouthPucker"}
    assert found["shapes"]["jawOpen"]["max_error"] == pytest.approx(0.019, abs=1e-6)
    assert found["shapes"]["jawOpen"]["r"] > 0.999
    assert found["max_error"] == pytest.approx(0.051, abs=1e-6)
    assert found["generator_latent_snr_db"] == float("inf")
    assert len(found["rms_error_by_tenth"]) == 10
    assert found["code_agreement"] == {"slow": 1.0, "fast": 1.0}


def test_codes_that_differ_are_counted_a_level(reference, other, stream):
    other.codes[:30, 1] += 1
    found = differences(reference, other, stream)
    assert found["code_agreement"] == {"slow": 1.0, "fast": pytest.approx(0.95)}


def result_of(reference, other, stream, **changes):
    plain = {"a set": {"r_jaw": 0.8, "jaw_in_silence": 0.02}}
    result = {
        "bytes": 700_000,
        "step_us": {"p50": 50.0, "p99": 90.0, "max": 100.0},
        "accuracy": {"a set": {"r_jaw": 0.8, "jaw_in_silence": 0.03}},
        **differences(reference, other, stream),
        **changes,
    }
    result["accuracy_loss"] = {
        "a set": {k: loss(k, v, result["accuracy"]["a set"][k]) for k, v in plain["a set"].items()}
    }
    result["misses"] = misses("int8", result, plain)
    return result, {"bytes": 2e6, "step_us": result["step_us"], "accuracy": plain}


def test_every_target_missed_is_reported(reference, other, stream):
    result, _ = result_of(reference, other, stream, bytes=1_000_001, snr_db=29.0)
    assert result["misses"] == [
        "SNR 29.0 dB, target 30 dB",
        "1000001 bytes, target 1000000",
        "a set: jaw_in_silence worse by 50.0% (0.03000, fp32 0.02000)",
    ]


def test_the_page_shows_figures_misses_and_pictures(reference, other, stream, tmp_path):
    result, plain = result_of(reference, other, stream)
    precisions = {"fp32": plain, "int8": result}
    streams = {"fp32": reference, "int8": other}
    plot_shapes(precisions, tmp_path / "quantisation_shapes.png")
    plot_worst(precisions, streams, "int8", tmp_path / "quantisation_worst_int8.png")
    results = {"precisions": precisions, "clips": 2, "faces": 600, "lookahead": 4}
    text = page(results, tmp_path, tmp_path / "quantisation.json", GPU_RECORDS).read_text()
    assert text.count("<img ") == 2
    assert "jaw_in_silence worse by 50.0%" in text
    assert "b/two at 1.0 s" in text
    assert escape(gpu_table(GPU_RECORDS)) in text
    assert 'src="http' not in text


def test_the_stream_is_that_of_the_engine_that_ships(stream):
    mels = np.random.default_rng(0).uniform(-3, 0, (40, 40)).astype(np.float32)
    output = run_precision(read_bundle(DEFAULT), "fp32", ClipStream(mels, [("x", 0)]), None)
    again = run_precision(read_bundle(DEFAULT), "fp32", ClipStream(mels, [("x", 0)]), output.latent)
    assert output.weights.shape == (40, 52)
    np.testing.assert_array_equal(again.weights, output.weights)
    # The decoder alone, from the same latents and from silence again.
    np.testing.assert_array_equal(again.decoder_alone, output.weights)


def test_results_are_plain_json(reference, other, stream):
    result, plain = result_of(reference, other, stream)
    assert json.loads(json.dumps({"fp32": plain, "int8": result}))["int8"]["bytes"] == 700_000


def test_fp32_alone_cannot_be_compared(tmp_path):
    folder = shutil.copytree(DEFAULT, tmp_path / "bundle")
    bundle = read_bundle(folder)
    plain = {n: replace(getattr(bundle, n), variants={}) for n in ("generator", "decoder")}
    replace(bundle, **plain, quantised={}).write()
    with pytest.raises(UsageError, match="edge-quantize quantize"):
        compare(folder, tmp_path)


def test_the_reports_kept_are_of_the_shipped_bundle_and_miss_nothing():
    bundle, results = read_bundle(DEFAULT), ROOT / "benchmarks" / "results"
    kept = json.loads((results / "quantisation.json").read_text())
    scan = json.loads((results / "sensitivity.json").read_text())
    assert kept["bundle"] == bundle.hash
    assert {key: scan[key] for key in bundle.quantised} == dict(bundle.quantised)
    for precision, result in list(kept["results"]["precisions"].items())[1:]:
        assert result["misses"] == [], precision
