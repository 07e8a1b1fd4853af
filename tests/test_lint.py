"""The linter against a corpus of bad files, and against NVIDIA's own parser on the same files."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'edgetalk[toolchain]'")

from edge.contract import EdgeError
from quantize.cli import main
from quantize.export.lint import RULES, lint, require
from tests.fakes import ROOT
from tests.qdq_corpus import (
    BAD,
    GOOD,
    REJECTED,
    Draft,
    cross_table,
    gemm,
    good_gemm,
    per_tensor_weight,
)
from tests.test_hostile_files import BAD_YAML, sentence

pytestmark = pytest.mark.toolchain


def name(make) -> str:
    return make.__name__


@pytest.mark.parametrize("make", GOOD, ids=name)
def test_a_good_file_passes(make):
    assert lint(make().done()) == []


@pytest.mark.parametrize("make", BAD, ids=name)
def test_a_bad_file_is_caught_by_its_rule(make):
    assert BAD[make] in {finding.rule for finding in lint(make().done())}


def test_every_rule_has_a_bad_file():
    assert set(BAD.values()) == set(RULES)


def test_a_bad_file_breaks_no_other_rule():
    # uint8 with its usual zero point 128 breaks two.
    several = {m.__name__ for m in BAD if len({f.rule for f in lint(m().done())}) > 1}
    assert several == {"uint8_activation_128"}


def test_a_file_with_findings_is_not_written():
    require(good_gemm().done(), "good.onnx")
    with pytest.raises(EdgeError, match=r"^bad\.onnx: .*\(1 findings\): per-channel-weights: "):
        require(per_tensor_weight().done(), "bad.onnx")


def test_a_finding_names_the_node_and_the_reason():
    draft = Draft()
    draft.activation(zero=draft.rng.integers(3, 4, dtype="int8"))
    draft.weight()
    found = [str(f) for f in lint(gemm(draft).done())]
    assert found == [
        "symmetric: QuantizeLinear_xq.q: its zero point is not 0",
        "symmetric: DequantizeLinear_xq: its zero point is not 0",
    ]


@pytest.mark.parametrize("what", ["a FIFO", "a device", "a folder", "8 GB of nothing", "no ONNX"])
def test_a_file_that_is_no_model_is_one_sentence(what, tmp_path, capsys):
    path = tmp_path / "decoder.onnx"
    {**BAD_YAML, "no ONNX": lambda path: path.write_bytes(b"\n\x1b[2J" * 300)}[what](path)
    assert main(["lint", str(path)]) == 66
    sentence(capsys.readouterr().err, path)


def test_no_name_of_a_node_forges_a_line(tmp_path, capsys):
    model = per_tensor_weight().done()
    for node in model.graph.node:
        node.name += "\nall.onnx: good\x1b[2J"
    (path := tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
    assert main(["lint", str(path)]) == EdgeError.status
    finding, count = capsys.readouterr().out.splitlines()
    assert finding.isprintable()
    assert count == "1 files, 1 with findings"


@pytest.mark.parametrize("make", [*GOOD, *BAD], ids=name)
def test_nvidias_parser_refuses_just_the_files_listed_as_refused(make):
    pytest.importorskip(
        "tensorrt_rtx",
        reason="NVIDIA's parser is not installed: pip install tensorrt-rtx (linter is unchecked)",
    )
    from quantize.export.rtx_parser import verdict

    message = verdict(make().done().SerializeToString())
    assert bool(message) == (make in REJECTED), message


def test_whatever_nvidias_parser_refuses_the_linter_refuses_too():
    assert set(REJECTED) <= set(BAD)
    assert good_gemm in GOOD


def test_the_documentation_holds_the_cross_table():
    pytest.importorskip("tensorrt_rtx", reason="NVIDIA's parser is not installed (tensorrt-rtx)")
    page = (ROOT / "docs" / "precision.md").read_text()
    assert "\n".join(cross_table()) in page
