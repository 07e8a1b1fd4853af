"""NVIDIA's own parser and builder (TensorRT-RTX, not a Jetson's TensorRT) take what ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import MissingError
from edge.inference.build import build_plan

trt = pytest.importorskip("tensorrt_rtx", reason="NVIDIA's parser: pip install tensorrt-rtx")
bundle = read_bundle(DEFAULT)

# RTX keeps no timing cache and warns about it; a Jetson's TensorRT does keep one.
pytestmark = pytest.mark.filterwarnings("ignore:.*TensorRT-RTX:DeprecationWarning")


@pytest.mark.parametrize("precision", bundle.precisions)
@pytest.mark.parametrize("which", [0, 1], ids=["generator", "decoder"])
def test_every_shipped_network_builds(precision: str, which: int) -> None:
    built = build_plan(bundle.folder / bundle.networks(precision)[which].file, trt)
    assert len(built.plan) > 10_000


def test_what_is_no_network_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(MissingError, match=r"broken\.onnx: TensorRT cannot read it \(.+\)"):
        build_plan(path, trt)
