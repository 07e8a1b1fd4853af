"""TensorRT's engine on a fake GPU that computes: turns, graphs, state, and the way back to CPU."""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edge.inference.build
import edge.inference.engine
import edge.inference.tensorrt.engine_trt
from edge.bundle import DEFAULT, Bundle, Network
from edge.bundle_reader import read_bundle
from edge.contract import Floats, MissingError, UsageError
from edge.inference.engine import FallbackEngine, OnnxEngine, open_engines
from edge.inference.tensorrt.engine_trt import TensorrtEngine, TensorrtErrors
from tests.fake_gpu import FakeCuda, FakeGpu, FakeTensorrt, Severity


@pytest.fixture
def bundle() -> Bundle:
    return read_bundle(DEFAULT)


@pytest.fixture
def gpu() -> FakeGpu:
    return FakeGpu()


@pytest.fixture
def trt(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTensorrt:
    """A machine with a GPU, TensorRT and an empty cache."""
    fake = FakeTensorrt(gpu)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)  # type: ignore[arg-type]
    monkeypatch.setattr(edge.inference.engine.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(edge.inference.build, "load_driver", lambda: None)
    monkeypatch.setattr(edge.inference.build, "open_cuda", lambda: FakeCuda(gpu))
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    return fake


def plan_of(bundle: Bundle, network: Network) -> bytes:
    return b"PLAN" + (bundle.folder / network.file).read_bytes()


def random_inputs(bundle: Bundle, steps: int, seed: int = 0) -> list[dict[str, Floats]]:
    rng = np.random.default_rng(seed)
    conditioning = bundle.conditioning_input(bundle.lookahead)
    mels = [rng.normal(-1, 1, (1, 1, 40)).astype(np.float32) for _ in range(steps)]
    return [{"mels": each, **conditioning} for each in mels]


def run(engine: Any, given: list[dict[str, Floats]], name: str = "latent") -> Floats:
    return np.stack([engine.step(**inputs)[name].copy() for inputs in given])


@pytest.mark.parametrize("graph", [True, False])
def test_thirty_steps_equal_onnx_runtime(bundle: Bundle, gpu: FakeGpu, graph: bool) -> None:
    network = bundle.generator
    cuda = FakeCuda(gpu)
    engine = TensorrtEngine(plan_of(bundle, network), network, FakeTensorrt(gpu), cuda, graph)
    given = random_inputs(bundle, 30)
    expected = run(OnnxEngine(bundle.folder, network), given)
    assert np.abs(run(engine, given) - expected).max() < 1e-6
    assert cuda.launches == (30 if graph else 0)
    engine.close()


def test_a_step_allocates_nothing_and_returns_the_same_arrays(bundle: Bundle, gpu: FakeGpu) -> None:
    cuda = FakeCuda(gpu)
    network = bundle.generator
    engine = TensorrtEngine(plan_of(bundle, network), network, FakeTensorrt(gpu), cuda)
    before, given = cuda.allocations, random_inputs(bundle, 3)
    arrays = {id(engine.step(**inputs)["latent"]) for inputs in given}
    assert len(arrays) == 1
    assert cuda.allocations == before
    engine.close()


@pytest.mark.parametrize("steps", [3, 4])
def test_reset_forgets_after_odd_and_even_steps(bundle: Bundle, gpu: FakeGpu, steps: int) -> None:
    network = bundle.generator
    trt = FakeTensorrt(gpu)
    engine = TensorrtEngine(plan_of(bundle, network), network, trt, FakeCuda(gpu))
    given = random_inputs(bundle, 6)
    first = run(engine, given)
    engine.reset()
    run(engine, random_inputs(bundle, steps, seed=1))
    engine.reset()
    assert np.array_equal(run(engine, given), first)
    engine.close()


def test_closing_twice_frees_all_memory(bundle: Bundle, gpu: FakeGpu) -> None:
    network = bundle.generator
    engine = TensorrtEngine(plan_of(bundle, network), network, FakeTensorrt(gpu), FakeCuda(gpu))
    assert gpu.memory
    engine.close()
    engine.close()
    assert not gpu.memory


def test_an_engine_may_be_reset_and_stepped_in_other_threads(bundle: Bundle, gpu: FakeGpu) -> None:
    network = bundle.generator
    engine = TensorrtEngine(plan_of(bundle, network), network, FakeTensorrt(gpu), FakeCuda(gpu))
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        one.submit(engine.reset).result()
        other.submit(run, engine, random_inputs(bundle, 1)).result()
    engine.close()


def test_an_engine_left_open_is_closed_at_exit_and_a_closed_one_dropped(
    bundle: Bundle, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[object] = []
    at_exit = SimpleNamespace(register=kept.append, unregister=kept.remove)
    monkeypatch.setattr(edge.inference.tensorrt.engine_trt, "atexit", at_exit)
    network = bundle.generator
    engine = TensorrtEngine(plan_of(bundle, network), network, FakeTensorrt(gpu), FakeCuda(gpu))
    assert kept == [engine.close]
    engine.close()
    assert kept == []


def test_a_damaged_plan_is_one_sentence_and_frees_the_device(bundle: Bundle, gpu: FakeGpu) -> None:
    cuda = FakeCuda(gpu)
    with pytest.raises(MissingError, match=r"generator\.onnx: .*edge-build.*Magic tag does not"):
        TensorrtEngine(b"?", bundle.generator, FakeTensorrt(gpu), cuda)
    assert cuda.closed


def test_an_engine_of_other_networks_is_refused(bundle: Bundle, gpu: FakeGpu) -> None:
    plan = plan_of(bundle, bundle.decoder)
    with pytest.raises(MissingError, match=r"generator\.onnx: .* not what bundle.yaml says"):
        TensorrtEngine(plan, bundle.generator, FakeTensorrt(gpu), FakeCuda(gpu))


def broken(_: object = None) -> None:
    raise RuntimeError("no such\nkernel")


@pytest.mark.parametrize(
    ("spoilt", "value", "message"),
    [
        ("dtype", "float16", "mels is not float32; export the bundle again"),
        ("create_execution_context", lambda: None, "no execution context"),
        ("refuses", "mels", "TensorRT refuses the memory for mels"),
        ("fails", True, "a step failed"),
        ("create_execution_context", broken, r"TensorRT failed to start it \(no such kernel\)"),
    ],
)
def test_whatever_fails_at_the_start_is_one_sentence_and_frees_the_device(
    bundle: Bundle, gpu: FakeGpu, spoilt: str, value: object, message: str
) -> None:
    trt, cuda, network = FakeTensorrt(gpu), FakeCuda(gpu), bundle.generator
    trt.spoil = lambda engine: setattr(engine, spoilt, value)
    with pytest.raises(MissingError, match=rf"^generator\.onnx: {message}"):
        TensorrtEngine(plan_of(bundle, network), network, trt, cuda)
    assert cuda.closed
    assert not gpu.memory


def test_a_failure_is_explained_by_its_own_error_and_not_by_an_older_one() -> None:
    complaints = TensorrtErrors(FakeTensorrt(FakeGpu()))
    assert complaints.first() == "it does not say why"
    for message in ("one", "a  consequence\nof it"):
        complaints.logger.log(Severity.ERROR, message)
    assert complaints.first() == "one"
    complaints.logger.log(Severity.INTERNAL_ERROR, "two\n lines")
    assert complaints.first() == "two lines"


def test_tensorrt_builds_what_its_cache_lacks_once(bundle: Bundle, trt: FakeTensorrt) -> None:
    for _ in range(2):
        for engine in open_engines(bundle, "tensorrt"):
            engine.close()
    assert trt.builds == 2


def test_engines_for_the_dla_run_only_when_asked_for(bundle: Bundle, trt: FakeTensorrt) -> None:
    trt.dla_cores, trt.dla_layers = 2, 1
    for engine in open_engines(bundle, "tensorrt-dla"):
        engine.close()
    assert trt.builds == 2
    for name in ("auto", "tensorrt", "tensorrt-dla"):
        for engine in open_engines(bundle, name):
            engine.close()
    assert trt.builds == 4  # auto took none of them, tensorrt made its own


def test_a_dla_that_takes_nothing_is_one_sentence(bundle: Bundle, trt: FakeTensorrt) -> None:
    trt.dla_cores = 2
    with pytest.raises(MissingError, match=r"generator.*: DLA took none of its layers"):
        open_engines(bundle, "tensorrt-dla")


def test_auto_runs_on_the_cpu_and_builds_nothing_without_built_engines(
    bundle: Bundle, trt: FakeTensorrt, gpu: FakeGpu, caplog: pytest.LogCaptureFixture
) -> None:
    engines = open_engines(bundle)
    assert [type(engine) for engine in engines] == [OnnxEngine, OnnxEngine]
    assert trt.builds == 0
    assert all(cuda.closed for cuda in gpu.cudas.values())
    assert caplog.text.count("run edge-build") == 1


def test_the_driver_is_probed_before_tensorrt_is_touched(
    bundle: Bundle, trt: FakeTensorrt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_driver() -> None:
        raise MissingError("no driver")

    monkeypatch.setattr(edge.inference.build, "load_driver", no_driver)
    monkeypatch.setattr(
        edge.inference.build, "load_tensorrt", lambda: pytest.fail("TensorRT was touched")
    )
    with pytest.raises(MissingError, match="no driver"):
        open_engines(bundle, "tensorrt")


def test_a_second_network_that_fails_closes_the_first(
    bundle: Bundle, trt: FakeTensorrt, gpu: FakeGpu
) -> None:
    trt.spoil = lambda engine: setattr(engine, "fails", "weights" in engine.shapes)
    with pytest.raises(MissingError, match=r"decoder.*a step failed"):
        open_engines(bundle, "tensorrt")
    assert not gpu.memory
    assert len(gpu.cudas) == 2
    assert all(cuda.closed for cuda in gpu.cudas.values())


def test_a_service_on_auto_builds_in_the_background_for_its_next_start(
    bundle: Bundle, trt: FakeTensorrt, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("edge.inference.build.subprocess.Popen", started.append)
    open_engines(bundle, "auto", "fp32")
    assert started == []  # somebody at a terminal can run edge-build
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    generator, _ = open_engines(bundle, "auto", "fp32")
    assert isinstance(generator, OnnxEngine)
    (command,) = started
    assert command[:3] == ["nice", "-n", "19"]
    assert command[4:] == [
        "-m", "edge.inference.build", "--bundle", str(bundle.folder), "--precision", "fp32"
    ]  # fmt: skip


def test_auto_takes_built_engines(bundle: Bundle, trt: FakeTensorrt) -> None:
    for engine in open_engines(bundle, "tensorrt"):
        engine.close()
    generator, decoder = open_engines(bundle)
    given = random_inputs(bundle, 5)
    expected = run(OnnxEngine(bundle.folder, bundle.networks("fp32")[0]), given)
    assert trt.engines
    # The bundle's own default may be fp16 here, which this fake runs as ONNX Runtime does.
    assert np.abs(run(generator, given) - expected).max() < 0.05
    generator.close()
    decoder.close()


def test_auto_says_nothing_where_tensorrt_is_not_installed(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(edge.inference.engine.importlib.util, "find_spec", lambda name: None)
    assert isinstance(open_engines(bundle)[0], OnnxEngine)
    assert not caplog.records


def test_a_gpu_that_fails_mid_stream_hands_over_to_the_cpu_and_says_so_once(
    bundle: Bundle, trt: FakeTensorrt, gpu: FakeGpu, caplog: pytest.LogCaptureFixture
) -> None:
    for engine in open_engines(bundle, "tensorrt", "fp32"):
        engine.close()
    generator, decoder = open_engines(bundle, "auto", "fp32")
    given = random_inputs(bundle, 8)
    run(generator, given[:3])
    for cuda in gpu.cudas.values():
        cuda.broken = True
    caplog.set_level(logging.INFO)
    after = run(generator, given[3:])
    decoder.step(latent=after[0])
    fresh = run(OnnxEngine(bundle.folder, bundle.generator), given[3:])
    assert np.array_equal(after, fresh)
    assert caplog.text.count("ONNX Runtime runs instead") == 1
    assert not gpu.memory


def test_a_gpu_that_fails_on_reset_hands_over_too(bundle: Bundle) -> None:
    class Broken:
        closed = False

        def step(self, **inputs: Floats) -> dict[str, Floats]:
            raise AssertionError

        def reset(self) -> None:
            raise MissingError("CUDA: gone")

        def close(self) -> None:
            self.closed = True
            raise MissingError("CUDA: still gone")

    broken = Broken()
    spare = OnnxEngine(bundle.folder, bundle.generator)
    engine = FallbackEngine(broken, lambda: spare, edge.inference.engine.LogOnce())
    engine.reset()
    assert broken.closed
    latent = bundle.decoder.inputs["latent"]
    assert run(engine, random_inputs(bundle, 1)).shape == (1, *latent)


def test_demanded_tensorrt_does_not_fall_back(
    bundle: Bundle, trt: FakeTensorrt, gpu: FakeGpu
) -> None:
    generator, decoder = open_engines(bundle, "tensorrt", "fp32")
    for engine in trt.engines:
        engine.fails = True
    for cuda in gpu.cudas.values():
        cuda.broken = True
    with pytest.raises(MissingError, match="launch failure"):
        generator.step(**random_inputs(bundle, 1)[0])
    generator.close()
    decoder.close()


def test_an_unknown_engine_is_a_usage_error(bundle: Bundle) -> None:
    with pytest.raises(
        UsageError, match="'cuda': choose one of auto, onnxruntime, tensorrt, tensorrt-dla"
    ):
        open_engines(bundle, "cuda")
