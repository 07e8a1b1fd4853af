"""Building engines: what is kept, what makes a new one, what a failure says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge.build import build, build_plan, default_precision, main, summarise
from edge.bundle import DEFAULT, Bundle, read_bundle
from edge.contract import MissingError
from edge.cuda import l4t
from edge.plans import Target, cache_folder, keep_precision, plan_path, read_plan
from tests.fake_gpu import FakeGpu, FakeTensorrt

ORIN = Target("tensorrt 10.3.0", "Orin", "87", "R36.4.3")


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
    monkeypatch.setattr("edge.plans.WORKSPACE", 1 << 20)
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


def test_the_summary_counts_types_of_matrix_layers() -> None:
    def layer(kind: str, dtype: str) -> dict[str, object]:
        return {"LayerType": kind, "Inputs": [{"Format/Datatype": dtype}]}

    layers = [
        layer("CaskConvolution", "Thirty-two wide channel vectorized Int8 format"),
        layer("CaskGemmMatrixMultiply", "Row major linear FP16 format"),
        layer("gemm", "Float"),
        layer("Myelin", "Half"),
        layer("Reformat", "Half"),
        "a name alone",
    ]
    found = summarise(json.dumps({"Layers": layers}))
    assert found == {"Int8": 1, "FP16": 1, "FP32": 1, "fused": 1}
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
    monkeypatch.setattr("edge.cuda.load_driver.__defaults__", ("libcuda-of-nobody.so.1",))
    assert main([]) == 69
    assert capsys.readouterr().err.startswith("edge-build: no NVIDIA driver on this machine")
