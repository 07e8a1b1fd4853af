"""One bundle with its networks in several precisions, without the toolchain."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace

import pytest
import yaml

from edge.bundle import DEFAULT, File
from edge.bundle_files import sha256
from edge.bundle_reader import read_bundle
from edge.contract import MissingError, UsageError


@pytest.fixture
def bundle(tmp_path):
    """The shipped fp32 networks alone, as a bundle of the first version had them."""
    folder = tmp_path / "bundle"
    shutil.copytree(DEFAULT, folder)
    whole = read_bundle(folder)
    plain = replace(
        whole,
        generator=replace(whole.generator, variants={}),
        decoder=replace(whole.decoder, variants={}),
        quantised={},
    )
    plain.write()
    return read_bundle(folder)


def add(bundle, precision):
    """Pretend: any file does, nothing runs it."""
    networks = {}
    for name in ("generator", "decoder"):
        path = bundle.folder / f"{name}.{precision}.onnx"
        path.write_text(f"{name} in {precision}")
        network = getattr(bundle, name)
        variants = dict(network.variants) | {precision: File(path.name, sha256(path))}
        networks[name] = replace(network, variants=variants)
    replace(bundle, **networks).write()
    return read_bundle(bundle.folder)


def test_a_bundle_of_fp32_alone_reads_and_is_named_as_before(bundle):
    raw = yaml.safe_load((bundle.folder / "bundle.yaml").read_text())
    assert raw["schema"] == 1
    assert "quantised" not in raw
    assert set(raw["generator"]) == {"file", "sha256", "inputs", "outputs"}
    assert bundle.precisions == ("fp32",)
    assert bundle.networks() == bundle.networks("fp32") == (bundle.generator, bundle.decoder)
    both = bundle.generator.sha256 + bundle.decoder.sha256
    assert bundle.hash == hashlib.sha256(both.encode()).hexdigest()[:12]


def test_each_precision_has_its_own_files_and_the_same_shapes(bundle):
    both = add(add(bundle, "int8"), "fp16")
    assert both.precisions == ("fp32", "fp16", "int8")
    generator, decoder = both.networks("int8")
    assert (generator.file, decoder.file) == ("generator.int8.onnx", "decoder.int8.onnx")
    assert generator.sha256 == sha256(both.folder / "generator.int8.onnx")
    assert generator.inputs == bundle.generator.inputs
    assert both.networks("fp32")[0].file == bundle.generator.file


def test_the_name_of_a_bundle_covers_every_precision(bundle):
    half = add(bundle, "fp16")
    assert len({bundle.hash, half.hash, add(half, "int8").hash}) == 3


def test_a_precision_that_is_not_there_is_named_with_those_that_are(bundle):
    with pytest.raises(UsageError, match=r"no int8 networks.* it has fp32, fp16$"):
        add(bundle, "fp16").networks("int8")


def test_a_precision_that_only_one_network_has_does_not_count(bundle):
    half = add(bundle, "fp16")
    replace(half, decoder=bundle.decoder).write()
    assert read_bundle(half.folder).precisions == ("fp32",)


def test_a_damaged_file_of_any_precision_is_found_before_anything_runs(bundle):
    half = add(bundle, "fp16")
    (half.folder / "decoder.fp16.onnx").write_text("decoder in fp17")
    with pytest.raises(MissingError, match=r"decoder\.fp16\.onnx: damaged"):
        read_bundle(half.folder)


def test_variants_that_are_not_a_mapping_make_the_bundle_unreadable(bundle):
    path = bundle.folder / "bundle.yaml"
    raw = yaml.safe_load(path.read_text())
    raw["generator"]["variants"] = ["fp16"]
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(MissingError, match="not a readable bundle"):
        read_bundle(bundle.folder)
