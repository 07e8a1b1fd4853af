"""What ``benchmarks.runtime.gpu`` writes and prints, on the fake GPU: nothing is measured here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile

import benchmarks.runtime.gpu as gpu_bench
from benchmarks.runtime.gpu import fastest, main, power, times
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import Floats, MissingError
from edge.inference.tensorrt.engine_cache import EngineTarget, measured_precision
from quantize.evaluation.gpu_table import gpu_table
from tests.fake_gpu import FakeCuda, FakeGpu, FakeTensorrt
from tests.fakes import ROOT

ORIN = EngineTarget("tensorrt 10.3.0", "Orin", "87", "R36.4.3")
ROW = {"engine": "tensorrt 10.3.0", "cuda_graph": True, "snr_db": 50.0, "p99_us": 90.0}


@contextmanager
def orin(folder: Path) -> Iterator[FakeGpu]:
    """An Orin with TensorRT, an empty cache and an empty folder of records."""
    gpu = FakeGpu()
    trt = FakeTensorrt(gpu)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_bench, "load_driver", lambda: None)
        patch.setattr(gpu_bench, "load_tensorrt", lambda name="tensorrt": trt)
        patch.setattr(gpu_bench, "open_cuda", lambda: FakeCuda(gpu))
        patch.setattr("edge.inference.tensorrt.engine_cache.l4t", lambda: "R36.4.3")
        patch.setattr(gpu_bench, "GPU_RECORDS", folder / "records")
        patch.setenv("CACHE_DIRECTORY", str(folder))
        yield gpu


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[FakeGpu]:
    with orin(tmp_path) as gpu:
        yield gpu


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, demo: Floats) -> Path:
    """A second of the demo clip."""
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    soundfile.write(path, demo[16_000:32_000], 16_000)
    return path


class Run(NamedTuple):
    """What is left of a run of the command line."""

    record: dict[str, Any]
    left_open: dict[int, Floats]
    default: str | None


@pytest.fixture(scope="module")
def run(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("orin")
    with orin(folder) as gpu:
        assert main(["--clip", str(clip), "--clip", str(clip), "--steps", "20"]) == 0
        (path,) = (folder / "records").glob("*.json")
        assert path.name.startswith("orin-2")
        default = measured_precision(read_bundle(DEFAULT), ORIN)
    return Run(json.loads(path.read_text()), gpu.memory, default)


@pytest.fixture
def record(run: Run) -> dict[str, Any]:
    return run.record


def test_a_record_says_what_was_measured_where(record: dict[str, Any], run: Run) -> None:
    bundle = read_bundle(DEFAULT)
    expected = {
        "bundle": bundle.hash, "clips": ["clip.wav", "clip.wav"], "faces": 120, "steps": 20,
        "gpu": "Orin", "sm": "87", "l4t": "R36.4.3", "tensorrt": "tensorrt 10.3.0",
        "cuda_through": "fake", "power": power(),
    }  # fmt: skip
    assert {key: record[key] for key in expected} == expected
    assert set(record) == {*expected, "date", "fastest", "rows"}
    assert not run.left_open, "an engine was left open"


def test_every_precision_is_there_with_and_without_graph_beside_the_cpu(
    record: dict[str, Any],
) -> None:
    cpu, *rows = record["rows"]
    assert (cpu["engine"], cpu["precision"]) == ("onnxruntime", "fp32")
    bundle = read_bundle(DEFAULT)
    assert [(r["precision"], r["cuda_graph"]) for r in rows] == [
        (precision, graph) for precision in bundle.precisions for graph in (True, False)
    ]
    for row in record["rows"]:
        assert 0 < row["p50_us"] <= row["p99_us"] <= row["max_us"]
    for row in rows:
        assert row["layers"] == [{"Int8": 1}, {"Int8": 1}]  # what the fake's inspector says
    for row in (r for r in rows if r["precision"] == "fp32"):
        assert row["snr_db"] > 100
        assert row["max_error"] < 1e-5
    for row in (r for r in rows if r["precision"] == "int8"):
        assert 20 < row["snr_db"] < 60
        assert 0 < row["max_error"] < 0.1


def test_the_fastest_becomes_the_default_of_this_device(run: Run) -> None:
    assert run.record["fastest"] == fastest(run.record["rows"])
    assert run.default == run.record["fastest"]


def test_a_precision_too_far_from_onnx_runtime_cannot_be_the_fastest() -> None:
    rows = [
        ROW | {"precision": "fp32"},
        ROW | {"precision": "fp16", "p99_us": 50.0, "snr_db": 44.9},
        ROW | {"precision": "int8", "p99_us": 60.0, "snr_db": 30.0},
        ROW | {"precision": "fp32", "p99_us": 10.0, "cuda_graph": False},
    ]
    assert fastest(rows) == "int8"
    rows[2]["snr_db"] = 29.9
    assert fastest(rows) == "fp32"
    assert fastest(rows[1:2]) is None


def test_every_face_of_the_clips_is_stepped_and_then_again_for_the_times() -> None:
    class Generator:
        def __init__(self) -> None:
            self.received: list[float] = []

        def step(self, **inputs: Floats) -> dict[str, Floats]:
            self.received.append(float(inputs["mels"][0]))
            return {"latent": inputs["mels"]}

        def reset(self) -> None: ...
        def close(self) -> None: ...

    class Decoder(Generator):
        def step(self, **inputs: Floats) -> dict[str, Floats]:
            return {"weights": np.full((1, 1, 52), inputs["latent"][0], np.float32)}

    generator, mels = Generator(), [np.full(40, i, np.float32) for i in range(3)]
    faces, took = gpu_bench.run(read_bundle(DEFAULT), (generator, Decoder()), mels, 4)
    assert faces[:, 0].tolist() == [0, 1, 2]
    assert generator.received == [0, 1, 2, 0, 1, 2, 0]
    assert len(took) == 4


def test_times_are_in_microseconds() -> None:
    took = np.full(1000, 50e-6, np.float32)
    took[:5] = 1e-3
    found = times(took)
    assert found["p50_us"] == pytest.approx(50)
    assert found["p99_us"] == pytest.approx(50)
    assert found["max_us"] == pytest.approx(1000)


def test_tensorrt_rtx_is_taken_where_tensorrt_is_not_installed(
    machine: FakeGpu, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = FakeTensorrt(machine, "1.7.1")
    trt.__name__ = "tensorrt_rtx"

    def load(name: str = "tensorrt") -> FakeTensorrt:
        if name != "tensorrt_rtx":
            raise MissingError("no")
        return trt

    monkeypatch.setattr(gpu_bench, "load_tensorrt", load)
    found = gpu_bench.measure(read_bundle(DEFAULT), [clip], 3)
    assert found["tensorrt"] == "tensorrt_rtx 1.7.1"


def test_without_a_driver_nothing_is_measured_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "edge.inference.tensorrt.cuda.load_driver.__defaults__", ("libcuda-of-nobody.so.1",)
    )
    monkeypatch.setattr(gpu_bench, "GPU_RECORDS", tmp_path / "records")
    assert main([]) == 69
    stderr = capsys.readouterr().err
    assert stderr.startswith(
        "benchmarks.runtime.gpu: nothing measured: no NVIDIA driver on this machine"
    )
    assert not gpu_bench.GPU_RECORDS.exists()


def test_the_table_names_the_device_of_each_row(tmp_path: Path) -> None:
    rows = [
        {"engine": "onnxruntime", "precision": "fp32",
         "p50_us": 61.2, "p99_us": 80.0, "max_us": 400.4},
        {"engine": "tensorrt 10.3.0", "precision": "int8", "cuda_graph": False, "snr_db": 41.26,
         "p50_us": 100.0, "p99_us": 120.0, "max_us": 900.0},
    ]  # fmt: skip
    orin = {"gpu": "Orin", "l4t": "R36.4.3", "date": "2027-01-02T03:04:05+00:00", "rows": rows}
    (tmp_path / "orin-2027-01-02.json").write_text(json.dumps(orin))
    assert gpu_table(tmp_path).splitlines()[2:] == [
        "| Orin R36.4.3 | 2027-01-02 | onnxruntime | fp32 |  | 61 | 80 | 400 |  |",
        "| Orin R36.4.3 | 2027-01-02 | tensorrt 10.3.0 | int8 | no | 100 | 120 | 900 | 41.3 |",
    ]
    assert len({line.count("|") for line in gpu_table(tmp_path).splitlines()}) == 1


def test_without_records_the_table_says_that_no_gpu_was_measured(tmp_path: Path) -> None:
    assert gpu_table(tmp_path) == "No GPU was measured: benchmarks/records is empty."


def test_the_documentation_holds_the_table_of_the_records() -> None:
    page = (ROOT / "docs" / "jetson.md").read_text()
    assert gpu_table(gpu_bench.GPU_RECORDS) in page
