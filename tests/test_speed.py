"""The speed benchmark: ratios within a round, peers that are not there, stages that add up."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from benchmarks import DEMO
from benchmarks.runtime.speed import EDGE, OURS, PEERS, commands, networks, summed
from benchmarks.runtime.speed_processes import CHILD, measured
from edge.bundle import DEFAULT, Network
from edge.bundle_reader import read_bundle
from edge.contract import Floats


def run(cpu: float, start: float = 1.0) -> dict[str, float]:
    return {"cpu_s_per_audio_s": cpu, "peak_rss_mb": 80.0, "start_s": start}


def test_a_ratio_is_taken_within_its_round() -> None:
    # The second round ran on a machine three times as slow: the ratio stays 2.
    rows = summed({OURS: [run(0.01), run(0.03)], "wLipSync 1.3.1": [run(0.02), run(0.06)]})
    assert rows["wLipSync 1.3.1"]["ratio_to_edgetalk"] == {"median": 2.0, "min": 2.0, "max": 2.0}
    assert rows[OURS]["cpu_s_per_audio_s"] == {"median": 0.02, "min": 0.01, "max": 0.03}


def test_a_peer_that_does_not_run_says_why(tmp_path: Path) -> None:
    output = measured([sys.executable, "-c", "raise SystemExit('no such package')"])
    assert output == {"not_run": "no such package"}
    assert "No such file" in measured([str(tmp_path / "none")])["not_run"]
    rows = summed({OURS: [run(0.01)], "wLipSync 1.3.1": [output]})
    assert rows["wLipSync 1.3.1"]["not_run"] == "no such package"
    assert rows["HeadAudio 0.1.0"]["not_run"] == "no folder of peers was given"
    assert set(rows) == {OURS, *PEERS}


def test_without_a_folder_of_peers_only_we_run(tmp_path: Path) -> None:
    assert set(commands(DEMO, None, tmp_path)) == set(EDGE)
    with_peers = commands(DEMO, tmp_path, tmp_path)
    assert set(with_peers) == {*EDGE, *PEERS}
    assert with_peers["wLipSync 1.3.1"][0] == "node"


def test_the_stages_of_a_face_add_up_to_all_of_it(tmp_path: Path, demo: Floats) -> None:
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, demo[:48_000], 16_000)
    command = [sys.executable, str(CHILD), str(clip), "1", "160", "fp32", "vmc://127.0.0.1:9"]
    found = measured([*command, "--stages"])
    assert "not_run" not in found, json.dumps(found)
    stages = found["stages_us"]
    assert set(stages) == {
        "features", "generator", "decoder", "face", "send", "encode", "everything else",
    }  # fmt: skip
    assert all(took >= 0 for took in stages.values())
    total = found["cpu_s_per_audio_s"] / 60 * 1e6
    # Less than a whole only where stopwatches make the stages look longer than the whole.
    assert sum(stages.values()) >= total - 0.5
    assert found["audio_s"] == pytest.approx(3.0)
    assert 30 < found["calls_a_face"] < 100


def test_what_a_bundle_s_networks_hold_and_do_is_counted_by_hand(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: networks are not counted")
    from onnx import TensorProto, helper

    for name, rows in (("generator", 300), ("decoder", 500)):
        weight = helper.make_tensor("w", TensorProto.FLOAT, [rows, 400], [0.0] * rows * 400)
        bias = helper.make_tensor("b", TensorProto.FLOAT, [400], [0.0] * 400)
        axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])  # not a parameter
        x, y = (
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, k])
            for n, k in (("x", rows), ("y", 400))
        )
        node = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
        graph = helper.make_graph([node], name, [x], [y], [weight, bias, axes])
        onnx.save(helper.make_model(graph), tmp_path / f"{name}.onnx")
    shapes = {"mels": (1, 1, 40), "state.slow": (1, 100), "state.near": (1, 4, 25)}
    bundle = replace(
        read_bundle(DEFAULT),
        folder=tmp_path,
        generator=Network("generator.onnx", "", shapes, {}),
        decoder=Network("decoder.onnx", "", {"state.gru": (1, 50)}, {}),
    )
    assert networks(bundle) == {
        "parameters": 300 * 400 + 400 + 500 * 400 + 400,
        "gflop_per_10_s": 0.384,  # 2 * 320,000 * 600
        "state_kb": 1.0,
    }
    real = networks(read_bundle(DEFAULT))
    assert 0.3e6 < real["parameters"] <= 1.2e6
    assert 0.1 < real["gflop_per_10_s"] <= 3
    assert real["state_kb"] <= 64


def test_the_benchmark_stays_on_one_core() -> None:
    allowed = os.sched_getaffinity(0)
    from benchmarks.runtime.speed_processes import one_core

    try:
        assert os.sched_getaffinity(0) == allowed
        assert {one_core(None)} == os.sched_getaffinity(0) == {max(allowed)}
    finally:
        os.sched_setaffinity(0, allowed)
