"""Building engines: what is kept, what makes a new one, what a failure says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bundle import DEFAULT, Bundle
from edge.bundle_reader import read_bundle
from edge.contract import MissingError
from edge.inference.build import build, build_plan, default_precision, main
from edge.inference.tensorrt.cuda import l4t
from edge.inference.tensorrt.engine_cache import (
    EngineTarget,
    cache_folder,
    keep_precision,
    plan_path,
    read_plan,
)
from edge.inference.tensorrt.layer_report import summarise
from tests.fake_gpu import FakeCuda, FakeGpu, FakeTensorrt

ORIN = EngineTarget("tensorrt 10.3.0", "Orin", "87", "R36.4.3")


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bundle:
    """The shipped bundle, and an empty cache."""
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    return read_bundle(DEFAULT)


def test_engines_are_kept_with_what_they_are(bundle: Bundle) -> None:
    paths = build(bundle, "fp32", FakeTensorrt(FakeGpu()), ORIN)
    assert paths == [plan_path(n, "fp32", ORIN) for n in (bundle.generator, bundle.decoder)]
    for path in paths:
        plan = read_plan(path)
        assert plan is not None
        assert plan.startswith(b"PLAN")
        note = json.loads(path.with_suffix(".json").read_text())
        assert (note["gpu"], note["precision"], note["layers"]) == ("Orin", "fp32", {"Int8": 1})
        assert "CaskConvolution" in path.with_suffix(".layers.json").read_text()
    assert not list(paths[0].parent.glob("*.part"))


@pytest.mark.parametrize("field", ["tensorrt", "gpu", "sm", "l4t"])
def test_another_machine_has_other_engines(bundle: Bundle, field: str) -> None:
    other = replace(ORIN, **{field: "other"})
    assert plan_path(bundle.generator, "fp32", ORIN) != plan_path(bundle.generator, "fp32", other)


def test_network_precision_and_dla_each_name_another_engine(bundle: Bundle) -> None:
    changed = replace(bundle.generator, sha256="0" * 64)
    paths = {
        plan_path(bundle.generator, "fp32", ORIN),
        plan_path(changed, "fp32", ORIN),
        plan_path(bundle.generator, "fp16", ORIN),
        plan_path(bundle.generator, "fp32", ORIN, dla=True),
    }
    assert len(paths) == 4


def test_another_workspace_names_another_engine(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan_path(bundle.generator, "fp32", ORIN)
    monkeypatch.setattr("edge.inference.tensorrt.engine_cache.WORKSPACE", 1 << 20)
    assert plan_path(bundle.generator, "fp32", ORIN) != before


def test_a_damaged_engine_counts_as_none(bundle: Bundle) -> None:
    path, other = build(bundle, "fp32", FakeTensorrt(FakeGpu()), ORIN)
    path.write_bytes(path.read_bytes()[:-1])
    assert read_plan(path) is None
    for note in ("{", "[]", "{}", '"text"'):
        other.with_suffix(".json").write_text(note)
        assert read_plan(other) is None


def test_the_timing_cache_is_handed_on(bundle: Bundle) -> None:
    trt = FakeTensorrt(FakeGpu())
    build(bundle, "fp32", trt, ORIN)
    assert trt.timings == [b"", b"t"]


def test_a_timing_cache_of_another_version_is_begun_anew(bundle: Bundle) -> None:
    trt = FakeTensorrt(FakeGpu())
    folder = plan_path(bundle.generator, "fp32", ORIN).parent
    folder.mkdir(parents=True)
    (folder / "timing.cache").write_bytes(b"foreign")
    build(bundle, "fp32", trt, ORIN)
    assert trt.timings == [b"foreign", b"", b"t"]
    assert (folder / "timing.cache").read_bytes() == b"tt"


def test_a_build_without_a_timing_cache_is_a_build(bundle: Bundle) -> None:
    trt = FakeTensorrt(FakeGpu())
    builder = trt.Builder

    def without(logger: object) -> object:
        made = builder(logger)  # type: ignore[arg-type]
        config = made.create_builder_config()
        config.create_timing_cache = lambda old: None
        made.create_builder_config = lambda: config
        return made

    trt.Builder = without  # type: ignore[method-assign]
    paths = build(bundle, "fp32", trt, ORIN)
    assert all(map(read_plan, paths))
    assert not (paths[0].parent / "timing.cache").exists()


def test_the_builder_is_told_its_memory_and_to_keep_the_names_of_layers(bundle: Bundle) -> None:
    trt = FakeTensorrt(FakeGpu())
    build_plan(DEFAULT / "decoder.onnx", trt)
    (config,) = trt.configs
    assert config.limits == {trt.MemoryPoolType.WORKSPACE: 256 << 20}
    assert config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
    assert config.flags == []
    assert not hasattr(config, "default_device_type")


def test_a_builder_error_is_one_sentence_and_not_one_of_the_parser(bundle: Bundle) -> None:
    trt = FakeTensorrt(FakeGpu())
    trt.builder_error = "Could not find any\nimplementation for node"
    with pytest.raises(
        MissingError, match=r"onnx: TensorRT cannot build it \(Could not find any i"
    ):
        build_plan(DEFAULT / "generator.onnx", trt)


def test_a_cache_that_cannot_be_written_is_one_sentence(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "file"))
    with pytest.raises(MissingError, match=r"cannot keep engines \(Not a directory\)"):
        build(bundle, "fp32", FakeTensorrt(FakeGpu()), ORIN)


def test_a_parser_error_is_one_sentence(bundle: Bundle) -> None:
    trt = FakeTensorrt(FakeGpu())
    trt.parser_error = "Non-zero zero point\nis not supported"
    with pytest.raises(MissingError, match=r"generator\.onnx: TensorRT cannot read it \(Non-zero"):
        build_plan(DEFAULT / "generator.onnx", trt)


def test_dla_is_refused_where_there_is_none_or_it_takes_nothing(bundle: Bundle) -> None:
    with pytest.raises(MissingError, match="has no DLA"):
        build(bundle, "fp32", FakeTensorrt(FakeGpu()), ORIN, dla=True)
    with pytest.raises(MissingError, match="DLA took none"):
        build(bundle, "fp32", FakeTensorrt(FakeGpu(), dla_cores=2), ORIN, dla=True)


def test_the_dla_is_used_with_the_gpu_for_the_rest(bundle: Bundle) -> None:
    trt = FakeTensorrt(FakeGpu(), dla_cores=2)
    trt.dla_layers = 3
    path, _ = build(bundle, "fp16", trt, ORIN, dla=True)
    config = trt.configs[0]
    assert (config.default_device_type, config.DLA_core) == (trt.DeviceType.DLA, 0)
    assert config.flags == [trt.BuilderFlag.GPU_FALLBACK]
    note = json.loads(path.with_suffix(".json").read_text())
    assert (note["dla"], note["layers"]) == (True, {"Int8": 1, "on DLA": 3})


def test_edge_build_builds_what_the_cache_lacks_and_all_of_it_by_force(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = FakeGpu()
    trt = FakeTensorrt(gpu)
    monkeypatch.setattr("edge.inference.build.load_tensorrt", lambda: trt)
    monkeypatch.setattr("edge.inference.build.open_cuda", lambda: FakeCuda(gpu))
    only = ["--precision", "int8"]
    assert main(only) == 0
    paths = [Path(line) for line in capsys.readouterr().out.split()]
    assert [read_plan(path) is not None for path in paths] == [True, True]
    assert (main(only), trt.builds) == (0, 2)
    paths[1].unlink()
    assert (main(only), trt.builds) == (0, 4)
    assert (main([*only, "--force"]), trt.builds) == (0, 6)
    assert (main([]), trt.builds) == (0, 6 + 2 * (len(bundle.precisions) - 1))
    assert all(cuda.closed for cuda in gpu.cudas.values())


def test_the_summary_counts_types_of_matrix_layers() -> None:
    def layer(kind: str, dtype: str) -> dict[str, object]:
        return {"LayerType": kind, "Inputs": [{"Format/Datatype": dtype}]}

    layers = [
        layer("CaskConvolution", "Thirty-two wide channel vectorized Int8 format"),
        layer("CaskGemmMatrixMultiply", "Row major linear FP16 format"),
        layer("gemm", "Float"),
        layer("Myelin", "Half"),
        {"LayerType": "MatrixMultiply", "Inputs": [{"Format": "Row major INT8"}]},  # of 10.3
        layer("Reformat", "Half"),
        "a name alone",
    ]
    found = summarise(json.dumps({"Layers": layers}))
    assert found == {"Int8": 2, "FP16": 1, "FP32": 1, "fused": 1}
    assert summarise("") == {}


def test_a_measured_precision_is_the_default_only_on_its_machine(bundle: Bundle) -> None:
    both = {"fp16": bundle.generator, "int8": bundle.generator}
    many = replace(
        bundle,
        generator=replace(bundle.generator, variants=both),
        decoder=replace(bundle.decoder, variants=both),
    )
    assert default_precision(many, ORIN) == "fp16"
    keep_precision(many, ORIN, "int8")
    assert default_precision(many, ORIN) == "int8"
    assert default_precision(many, replace(ORIN, l4t="R39.2")) == "fp16"
    keep_precision(many, ORIN, "int4")  # of a version to come
    assert default_precision(many, ORIN) == "fp16"


def test_the_cache_is_systemds_then_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("STATE_DIRECTORY", "/s")
    assert cache_folder() == Path("/s")
    monkeypatch.setenv("CACHE_DIRECTORY", "/one:/two")  # a unit may name several
    assert cache_folder() == Path("/one")
    monkeypatch.delenv("CACHE_DIRECTORY")
    monkeypatch.delenv("STATE_DIRECTORY")
    assert cache_folder() == Path("/x/edgetalk")


def test_l4t_reads_a_jetsons_release_file(tmp_path: Path) -> None:
    file = tmp_path / "nv_tegra_release"
    file.write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
    assert l4t(file) == "R36.4.3"
    assert l4t(tmp_path / "none") == ""


def test_edge_build_without_a_driver_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "edge.inference.tensorrt.cuda.load_driver.__defaults__", ("libcuda-of-nobody.so.1",)
    )
    assert main([]) == 69
    assert capsys.readouterr().err.startswith("edge-build: no NVIDIA driver on this machine")
