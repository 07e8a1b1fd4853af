"""Calibration, rewriting and training for fp16 and int8, on a small student with random weights."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")
pytest.importorskip("onnx", reason="onnx is not installed: the toolchain is not tested")

import onnx
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper

from edge.bundle import NETWORKS, PRECISIONS
from edge.bundle_reader import read_bundle
from edge.contract import SAMPLE_RATE, AudioBlock
from edge.inference.engine import OnnxEngine
from edge.pipeline import Pipeline
from models.student import Student
from models.student_sizes import StudentConfig
from quantize.cli import main
from quantize.data.clips import DataError
from quantize.export import qat, quantize_bundle, sensitivity
from quantize.export.calibrate import METHODS, CalibrationWindows, Calibrator, calibrate, cut
from quantize.export.fp16 import averaging, to_fp16, too_wide
from quantize.export.lint import lint
from quantize.export.onnx_runner import OnnxRunner
from quantize.export.qdq import layers, quantise_weight, to_int8
from quantize.export.snr import snr_db
from quantize.export.to_onnx import write_networks
from quantize.training.run_settings import plain_settings
from quantize.training.student_config import StudentRun

pytestmark = pytest.mark.toolchain

CONFIG = StudentConfig(
    lookaheads=(0, 2),
    width=24,
    hidden=20,
    shared=16,
    codes=16,
    slow=4,
    fast=8,
    detail=4,
    decoder=16,
)
CONDITIONING = torch.cat([CONFIG.at(late) for late in CONFIG.lookaheads]).numpy()


def export_quietly(student: Student, folder) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter of torch 2.13 uses what torch deprecates
        write_networks(student, folder)


def random_mels(*shape: int, seed: int = 0) -> np.ndarray:
    """Features that move like speech: a slow walk around -1."""
    steps = np.random.default_rng(seed).standard_normal((*shape, 40)).astype(np.float32)
    mels = np.zeros_like(steps)
    for t in range(1, shape[-1]):
        mels[..., t, :] = 0.9 * mels[..., t - 1, :] + 0.3 * steps[..., t, :]
    return np.clip(mels - 1, -4, 2)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """More only get in each other's way at this size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(3)
    student = Student(CONFIG).eval()
    student.decoder.spread.copy_(torch.linspace(0, 0.1, 52))
    # As after training: some codes are likelier than others, and change with the voice.
    student.generator.codes.weight.data.mul_(10)
    return student


@pytest.fixture(scope="module")
def models(student, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fp32")
    export_quietly(student, folder)
    return {name: onnx.load(folder / f"{name}.onnx") for name in NETWORKS}


@pytest.fixture(scope="module")
def windows() -> CalibrationWindows:
    return CalibrationWindows(random_mels(2, 300), CONDITIONING)


@pytest.fixture(scope="module")
def peaks(models, windows):
    return {k: c.compute("max") for k, c in calibrate(models, windows).items()}


@pytest.fixture(scope="module")
def run(student, tmp_path_factory):
    """A run's folder: a checkpoint and two renditions."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "renditions").mkdir()
    for k in range(2):
        path = folder / "renditions" / f"{k:03d}.npz"
        np.savez(path, mels=random_mels(900, seed=k).astype(np.float16))
    torch.save({"average": student.state_dict()}, folder / "checkpoint.pt")
    settings = plain_settings(StudentRun(data=("somewhere/take",), model=CONFIG))
    (folder / "run.yaml").write_text(yaml.safe_dump({"train": "student"} | settings))
    return folder


def of_torch(student: Student, windows: CalibrationWindows) -> np.ndarray:
    """(N * T, 52) from the whole-clip forward."""
    conditioning = torch.from_numpy(windows.control)
    with torch.no_grad():
        faces, _, _ = student(
            torch.from_numpy(windows.mels), conditioning, student.initial_state(len(windows.mels))
        )
    return faces.flatten(0, 1).numpy()


# Calibrators


def test_the_max_method_keeps_the_largest_value_to_a_bin():
    calibrator = Calibrator()
    calibrator.collect(np.array([0.5, -4.0, 1.0], np.float32))
    assert calibrator.compute("max") == pytest.approx(4.0, rel=1 / 1024)


def test_a_larger_batch_later_loses_no_count():
    calibrator = Calibrator()
    for peak in (1.0, 7.0, 3.0):
        calibrator.collect(np.linspace(-peak, peak, 101, dtype=np.float32))
    assert calibrator._counts.sum() == 303
    assert calibrator.compute("max") == pytest.approx(7.0, rel=1 / 512)


def test_a_larger_batch_later_leaves_small_values_where_they_were():
    calibrator = Calibrator()
    calibrator.collect(np.full(100_000, 1.0, np.float32))
    calibrator.collect(np.array([7.0], np.float32))
    assert calibrator.compute("percentile") == pytest.approx(1.0, rel=1 / 128)


def test_the_other_methods_cut_a_lone_outlier():
    calibrator = Calibrator()
    values = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    calibrator.collect(np.append(values, np.float32(60)))
    found = {m: calibrator.compute(m) for m in METHODS}
    assert found["max"] == pytest.approx(60, rel=0.01)
    assert 3.5 < found["percentile"] < 4.5  # 0.9999 of a normal distribution lies within 3.9
    assert found["mse"] < 40  # rounding 200 000 values to 60 / 127 costs more than one clipped
    assert found["entropy"] < 20


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_a_range_that_is_used(method):
    calibrator = Calibrator()
    calibrator.collect(np.linspace(-2, 2, 204_800, dtype=np.float32))
    assert calibrator.compute(method) == pytest.approx(2.0, rel=0.02)


def test_reset_forgets():
    calibrator = Calibrator()
    calibrator.collect(np.ones(3, np.float32) * 9)
    calibrator.reset()
    calibrator.collect(np.ones(3, np.float32))
    assert calibrator.compute("max") == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [float("inf")]])
def test_a_bad_batch_is_an_error(bad):
    with pytest.raises(DataError, match="nothing was calibrated"):
        Calibrator().collect(np.array(bad, np.float32))


def test_a_layer_that_saw_only_zeros_is_an_error():
    calibrator = Calibrator()
    calibrator.collect(np.zeros(5, np.float32))
    with pytest.raises(DataError, match="nothing but zeros"):
        calibrator.compute("max")


def test_calibration_hears_every_window_as_the_device_would(models, windows, peaks):
    latents = sensitivity.run_both(models, windows)[0]
    first = layers(models["decoder"])[0]
    expected = np.abs(latents).max()
    assert peaks[f"decoder.{first.name}"] == pytest.approx(expected, rel=1 / 512)


# The calibration set


def test_the_fingerprint_is_of_the_content(run):
    once, again = (cut(run, CONDITIONING, 4, 200, seed=0) for _ in range(2))
    assert once.fingerprint == again.fingerprint
    assert cut(run, CONDITIONING, 4, 200, seed=1).fingerprint != once.fingerprint
    changed = once.mels.copy()
    changed[3, 199, 39] += 0.001
    assert replace(once, mels=changed).fingerprint != once.fingerprint
    assert replace(once, control=once.control[::-1]).fingerprint != once.fingerprint
    longer = replace(once, mels=once.mels.reshape(2, 400, 40))  # the same numbers
    assert longer.fingerprint != once.fingerprint


def test_windows_take_files_and_lookaheads_in_turn(run):
    windows = cut(run, CONDITIONING, 4, 200, seed=0)
    assert windows.control.argmax(1).tolist() == [0, 1, 0, 1]
    streams = [np.load(run / "renditions" / f"{k:03d}.npz")["mels"] for k in range(2)]
    for i, mels in enumerate(windows.mels):
        (at,) = np.flatnonzero((streams[i % 2] == mels[0].astype(np.float16)).all(1))
        np.testing.assert_array_equal(mels, streams[i % 2][at : at + 200])


def test_a_stream_that_is_just_long_enough_is_taken_whole(tmp_path):
    mels = random_mels(200)
    windows = cut(spoil(tmp_path, mels), CONDITIONING, 1, 200, seed=0)
    np.testing.assert_allclose(windows.mels[0], mels)


def spoil(folder, mels, **more):
    (folder / "renditions").mkdir()
    np.savez(folder / "renditions" / "000.npz", **({"mels": mels} | more))
    return folder


def test_a_window_with_nan_stops_calibration(tmp_path):
    mels = random_mels(200)
    mels[100, 7] = np.nan
    with pytest.raises(DataError, match="NaN"):
        cut(spoil(tmp_path, mels), CONDITIONING, 1, 200, seed=0)


def test_features_of_another_shape_stop_calibration(tmp_path):
    with pytest.raises(DataError, match=r"\(200, 39\)"):
        cut(spoil(tmp_path, random_mels(200)[:, 1:]), CONDITIONING, 1, 200, seed=0)


def test_a_stream_that_is_too_short_stops_calibration(tmp_path):
    with pytest.raises(DataError, match="at least"):
        cut(spoil(tmp_path, random_mels(199)), CONDITIONING, 1, 200, seed=0)


def test_a_damaged_file_stops_calibration(tmp_path):
    folder = spoil(tmp_path, random_mels(9))
    (folder / "renditions" / "000.npz").write_bytes(b"half a file")
    with pytest.raises(DataError, match="not a rendition"):
        cut(folder, CONDITIONING, 1, 200, seed=0)


def test_no_streams_at_all_names_the_way_out(tmp_path):
    with pytest.raises(DataError, match="edge-quantize train"):
        cut(tmp_path, CONDITIONING, 1, 200, seed=0)


# The rewriting


def test_weights_are_rounded_a_channel_each():
    steps, scale = quantise_weight(np.array([[1.27, -0.5], [0.0, 2.54]], np.float32), axis=0)
    np.testing.assert_array_equal(steps, [[127, -50], [0, 127]])
    np.testing.assert_allclose(scale, [0.01, 0.02], rtol=1e-6)
    steps, scale = quantise_weight(np.array([[1.27, -0.5], [0.0, 2.54]], np.float32), axis=1)
    np.testing.assert_array_equal(steps, [[127, -25], [0, 127]])


def test_a_channel_of_zeros_has_a_scale_that_tensorrt_takes():
    steps, scale = quantise_weight(np.array([[0.0, 1.0], [0.0, -1.0]], np.float32), axis=1)
    np.testing.assert_array_equal(steps, [[0, 127], [0, -127]])
    assert (scale > 0).all()


def test_layers_carry_the_names_of_the_student(models, student):
    names = set(student.state_dict())
    for network, model in models.items():
        found = [f"{network}.{layer.name}" for layer in layers(model)]
        assert len(found) == len(set(found))
        assert set(found) <= names


def test_fp32_streams_as_torch_does_at_once(student, models, windows):
    faces = sensitivity.run_both(models, windows)[1]
    np.testing.assert_allclose(faces, of_torch(student, windows), atol=1e-5)


def test_fp16_streams_within_45_db_of_torch(student, models, windows):
    halves = {name: to_fp16(model) for name, model in models.items()}
    assert snr_db(of_torch(student, windows), sensitivity.run_both(halves, windows)[1]) > 45


def test_int8_streams_within_20_db_of_torch(student, models, windows, peaks):
    ints = sensitivity.int8_of(models, peaks, [])
    assert snr_db(of_torch(student, windows), sensitivity.run_both(ints, windows)[1]) > 20


def test_int8_is_what_was_trained(student, models, windows, peaks):
    keep = ["decoder.out.weight", "generator.slow.gru.weight_hh_l0"]
    ints = sensitivity.int8_of(models, peaks, keep)
    short = CalibrationWindows(windows.mels[:1, :10], windows.control[:1])
    trained = of_torch(qat.rounded(qat.copy_of(student), peaks, keep), short)
    # Later, sums that differ in the last bit round differently now and then.
    np.testing.assert_allclose(sensitivity.run_both(ints, short)[1], trained, atol=1e-6)


@pytest.mark.parametrize("kind", ["fp32", "fp16", "int8"])
def test_every_file_passes_checker_and_linter(models, peaks, kind):
    rewritten = {
        "fp32": models,
        "fp16": {name: to_fp16(model) for name, model in models.items()},
        "int8": sensitivity.int8_of(models, peaks, ["decoder.out.weight"]),
    }[kind]
    for model in rewritten.values():
        onnx.checker.check_model(model, full_check=True)
        assert lint(model) == []


@pytest.mark.parametrize("kind", ["fp32", "fp16", "int8"])
def test_nvidias_parser_and_builder_accept_every_file(models, peaks, kind):
    pytest.importorskip("tensorrt_rtx", reason="NVIDIA's parser is not installed (tensorrt-rtx)")
    from quantize.export.rtx_parser import verdict

    model = models["decoder"]
    rewritten = {
        "fp32": lambda: model,
        "fp16": lambda: to_fp16(model),
        "int8": lambda: sensitivity.int8_of(models, peaks, [])["decoder"],
    }[kind]()
    assert verdict(rewritten.SerializeToString()) == ""


def test_fp16_holds_no_float32_weights(models):
    kinds = {t.data_type for t in to_fp16(models["generator"]).graph.initializer}
    assert TensorProto.FLOAT not in kinds


def test_the_emotion_mean_stays_in_fp32_and_nothing_else_does(models):
    nodes = {node.name: node for node in models["generator"].graph.node}
    kept = averaging(models["generator"])
    assert [nodes[name].op_type for name in kept] == ["Sub", "Mul", "Add"]
    assert averaging(models["decoder"]) == []
    makers = [
        next(n.op_type for n in model.graph.node if "state_out.mood" in n.output)
        for model in (to_fp16(models["generator"]), to_fp16(models["generator"], kept))
    ]
    assert makers == ["Cast", "Add"]  # rounded to fp16 every face, and not


def test_a_node_kept_in_fp32_keeps_its_weights(models):
    layer = layers(models["generator"])[1]
    model = to_fp16(models["generator"], [layer.node])
    stored = {t.name: t.data_type for t in model.graph.initializer}
    node = next(n for n in model.graph.node if n.name == layer.node)
    kept = {name for name, kind in stored.items() if kind == TensorProto.FLOAT}
    assert layer.weight in kept
    assert kept <= set(node.input)
    OnnxRunner(model)


def test_a_layer_kept_in_fp32_is_not_rounded(models, peaks):
    own = {k.removeprefix("decoder."): v for k, v in peaks.items() if k.startswith("decoder.")}
    model = to_int8(models["decoder"], own, keep=["out.weight"])
    kinds = [t.data_type for t in model.graph.initializer if len(t.dims) == 2]
    assert sorted(kinds) == [TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT8]


def test_numbers_too_large_for_fp16_keep_their_neighbours_in_fp32(models, windows):
    loud = onnx.ModelProto.FromString(models["generator"].SerializeToString())
    for i, tensor in enumerate(loud.graph.initializer):
        if tensor.name == "network.slow.gru.bias_ih_l0":
            big = numpy_helper.to_array(tensor).copy()
            big[-1] = 1e5
            loud.graph.initializer[i].CopyFrom(numpy_helper.from_array(big, tensor.name))
    wide = too_wide(models | {"generator": loud}, windows)
    kinds = [n.op_type for n in loud.graph.node if n.name in wide["generator"]]
    assert kinds == ["Gemm", "Split", "Add", "Tanh"]
    assert wide["decoder"] == []
    half = to_fp16(loud, wide["generator"])
    feed = next(windows.feeds())
    output = OnnxRunner(half).run(feed)["latent"][:, 0]
    assert snr_db(OnnxRunner(loud).run(feed)["latent"][:, 0], output) > 45


# What stays in fp32


def test_the_scan_puts_the_most_harmful_layer_first(models, peaks, windows):
    reference = sensitivity.run_both(models, windows)[1]
    costs = sensitivity.scan(models, peaks, windows, reference)
    assert {c.layer for c in costs} == set(peaks)
    assert [c.snr_db for c in costs] == sorted(c.snr_db for c in costs)
    alone = sensitivity.int8_of(models, peaks, set(peaks) - {costs[0].layer})
    assert costs[0].snr_db == snr_db(reference, sensitivity.run_both(alone, windows)[1])


def test_layers_stay_in_fp32_only_while_they_fit(models, peaks, windows):
    reference = sensitivity.run_both(models, windows)[1]
    costs = sensitivity.scan(models, peaks, windows, reference)
    smallest = sensitivity.size(sensitivity.int8_of(models, peaks, []))
    keep, _ = sensitivity.choose(
        models, peaks, windows, reference, costs, goal_db=1000.0, budget=smallest + 4000
    )
    assert keep
    assert sensitivity.size(sensitivity.int8_of(models, peaks, keep)) <= smallest + 4000


def test_nothing_stays_in_fp32_once_the_goal_is_met(models, peaks, windows):
    reference = sensitivity.run_both(models, windows)[1]
    costs = sensitivity.scan(models, peaks, windows, reference)
    assert sensitivity.choose(models, peaks, windows, reference, costs, goal_db=5.0)[0] == []


# Training


SHORT = qat.QatSettings(streams=2, faces=20, windows=2)


def test_training_brings_the_rounded_student_nearer(student, peaks, run, tmp_path):
    windows = cut(run, CONDITIONING, 2, 40, seed=9)
    target = of_torch(student, windows)
    before = of_torch(qat.rounded(qat.copy_of(student), peaks, []), windows)
    trained = qat.finetune(student, peaks, [], run, 10, tmp_path / "qat.pt", settings=SHORT)
    after = of_torch(qat.rounded(trained, peaks, []), windows)
    assert snr_db(target, after) > snr_db(target, before) + 0.3


def test_training_learns_which_codes_were_likely(student, peaks, run, tmp_path):
    windows = cut(run, CONDITIONING, 2, 40, seed=9)

    def apart(other: Student) -> float:
        inputs = [torch.from_numpy(a) for a in (windows.mels, windows.control)]
        with torch.no_grad():
            predicted, wanted = (
                s.generator(*inputs, s.generator.initial_state(2))[0] for s in (other, student)
            )
        return float(qat.divergence(predicted.codes, wanted.codes))

    found = []
    for weight in (0.0, 1.0):
        saved, settings = tmp_path / f"{weight}.pt", replace(SHORT, codes=weight)
        trained = qat.finetune(student, peaks, [], run, 10, saved, settings=settings)
        found.append(apart(qat.rounded(trained, peaks, [])))
    assert 0 < found[1] < found[0]


def test_the_divergence_of_codes_by_hand():
    # The slow level: chances 1/2, 1/2 wanted, 1/4, 3/4 said; the fast level agrees.
    predicted = torch.tensor([[[0.0, math.log(3.0), 0.0, 0.0]]])
    wanted = torch.zeros(1, 1, 4)
    by_hand = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert qat.divergence(predicted, wanted).item() == pytest.approx(by_hand / 2)


def test_training_that_was_stopped_goes_on_to_the_same_weights(
    student, peaks, run, tmp_path, monkeypatch
):
    finetune = partial(qat.finetune, student, peaks, [], run, 3, settings=SHORT)
    whole = finetune(tmp_path / "whole.pt").state_dict()

    def stop(*_args):
        raise KeyboardInterrupt

    one_round, seen = qat._round, []

    def one_only(*args):
        if seen:
            stop()
        seen.append(1)
        return one_round(*args)

    monkeypatch.setattr(qat, "_round", one_only)
    with pytest.raises(KeyboardInterrupt):
        finetune(tmp_path / "cut.pt")
    monkeypatch.setattr(qat, "_round", one_round)
    resumed = finetune(tmp_path / "cut.pt").state_dict()
    assert set(resumed) == set(whole) == set(student.state_dict())
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_other_settings_do_not_go_on_from_an_old_training(student, peaks, run, tmp_path):
    saved = tmp_path / "qat.pt"
    qat.finetune(student, peaks, [], run, 0, saved)
    torch.save({"key": "another", "done": 99}, saved)
    again = qat.finetune(student, peaks, [], run, 0, saved)
    assert torch.equal(again.decoder.out.weight, student.decoder.out.weight)


# All of it


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    """Made by the command line itself, but for settings that no option holds."""
    out = tmp_path_factory.mktemp("out")
    small = quantize_bundle.QuantizeSettings((2, 200), (2, 200), SHORT)
    patch = pytest.MonkeyPatch()
    patch.setattr(quantize_bundle, "quantize", partial(quantize_bundle.quantize, settings=small))
    command = ["quantize", str(run / "checkpoint.pt"), "--out", str(out / "bundle")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status = main([*command, "--report", str(out), "--lookahead", "2", "--rounds", "1"])
    patch.undo()
    assert status == 0
    return read_bundle(out / "bundle")


def test_one_command_makes_a_bundle_in_three_precisions(bundle, run):
    assert bundle.precisions == PRECISIONS
    assert bundle.quantised["calibration"] == cut(run, CONDITIONING, 2, 200, seed=0).fingerprint
    record = json.loads((bundle.folder.parent / "sensitivity.json").read_text())
    assert {row["layer"] for row in record["layers"]} == set(record["peaks"])
    assert len(record["fp16"]["fp32_nodes"]["generator"]) == 3  # the mood's mean
    assert (bundle.folder.parent / "sensitivity.png").stat().st_size > 1000
    sizes = [
        sum((bundle.folder / n.file).stat().st_size for n in bundle.networks(p)) for p in PRECISIONS
    ]
    # So small a network is half names and shapes, which no precision makes smaller.
    assert max(sizes[1:]) < 0.9 * sizes[0]


@pytest.mark.parametrize("kind", PRECISIONS)
def test_the_pipeline_runs_every_precision(bundle, kind):
    generator, decoder = bundle.networks(kind)
    engines = OnnxEngine(bundle.folder, generator), OnnxEngine(bundle.folder, decoder)
    sound = np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32) * 0.1
    frames = Pipeline(bundle, engines).push(AudioBlock(sound, 0, 0.0))
    assert len(frames) == 60 - bundle.lookahead
    assert np.isfinite([f.weights for f in frames]).all()


def test_int8_steps_without_unpacking_its_weights(models, peaks, tmp_path):
    import onnxruntime

    from edge.inference.engine import session_options

    options = session_options()
    options.optimized_model_filepath = str(tmp_path / "seen.onnx")
    model = sensitivity.int8_of(models, peaks, [])["generator"].SerializeToString()
    options.log_severity_level = 4  # it warns that such a file is for this machine only
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    kinds = [n.op_type for n in onnx.load(tmp_path / "seen.onnx").graph.node]
    assert "DequantizeLinear" not in kinds
    assert kinds.count("MatMulIntegerToFloat") == len(layers(models["generator"]))


def test_the_linter_passes_a_good_bundle_and_fails_a_bad_file(bundle, tmp_path, capsys):
    assert main(["lint", *map(str, sorted(bundle.folder.glob("*.onnx")))]) == 0
    assert "6 files, 0 with findings" in capsys.readouterr().out
    kind = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "bad", [kind], [out])
    bad = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(bad, tmp_path / "bad.onnx")
    assert main(["lint", str(tmp_path / "bad.onnx")]) == 1
    assert "static-shapes: x: has a dynamic shape" in capsys.readouterr().out


def test_a_file_that_is_no_onnx_is_named(tmp_path, capsys):
    (tmp_path / "no.onnx").write_bytes(b"not one")
    assert main(["lint", str(tmp_path / "no.onnx")]) == 66
    assert "no.onnx: not a readable ONNX file" in capsys.readouterr().err
