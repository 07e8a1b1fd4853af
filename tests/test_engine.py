"""The engine: state carried from step to step, models that do not fit refused."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge.bundle import DEFAULT, Bundle, Network
from edge.bundle_files import sha256
from edge.bundle_reader import read_bundle
from edge.contract import Floats, MissingError
from edge.inference.engine import OnnxEngine, open_engines


def by_hand(bundle: Bundle, network: Network, steps: list[dict[str, Floats]]) -> list[Floats]:
    """The first output of each step, the state fed back by ``session.run`` and plain dicts."""
    session = onnxruntime.InferenceSession(
        str(bundle.folder / network.file), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    state = {
        name: np.zeros(shape, np.float32)
        for name, shape in network.inputs.items()
        if name.startswith("state.")
    }
    outs = []
    for given in steps:
        found = dict(zip(names, session.run(None, given | state), strict=True))
        state = {name: found[name.replace("state.", "state_out.", 1)] for name in state}
        outs.append(next(v for k, v in found.items() if not k.startswith("state_out.")))
    return outs


def mels(count: int, seed: int = 0) -> list[Floats]:
    rng = np.random.default_rng(seed)
    return [rng.normal(-1, 1, (1, 1, 40)).astype(np.float32) for _ in range(count)]


def test_stepping_equals_feeding_the_state_by_hand() -> None:
    bundle = read_bundle(DEFAULT)
    generator, decoder = open_engines(bundle)
    conditioning = bundle.conditioning_input(bundle.lookahead)
    inputs = [{"mels": m, **conditioning} for m in mels(40)]
    latents = by_hand(bundle, bundle.generator, inputs)
    weights = by_hand(bundle, bundle.decoder, [{"latent": latent} for latent in latents])
    for given, latent, face in zip(inputs, latents, weights, strict=True):
        got = generator.step(**given)["latent"].copy()
        assert np.abs(got - latent).max() < 1e-6
        assert np.abs(decoder.step(latent=latent)["weights"] - face).max() < 1e-6


def test_streams_share_weights_but_not_memory() -> None:
    bundle = read_bundle(DEFAULT)
    first = OnnxEngine(bundle.folder, bundle.decoder)
    second, alone = first.another(), OnnxEngine(bundle.folder, bundle.decoder)
    assert second._session is first._session
    shape = (20, *bundle.decoder.inputs["latent"])
    latents = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    for latent in latents:
        first.step(latent=-latent)
        assert np.array_equal(
            second.step(latent=latent)["weights"], alone.step(latent=latent)["weights"]
        )
    first.close()
    assert np.isfinite(second.step(latent=latents[0])["weights"]).all()


def test_the_same_arrays_come_back_every_step() -> None:
    bundle = read_bundle(DEFAULT)
    decoder = OnnxEngine(bundle.folder, bundle.decoder)
    shape = bundle.decoder.inputs["latent"]
    first = decoder.step(latent=np.ones(shape, np.float32))["weights"]
    second = decoder.step(latent=-np.ones(shape, np.float32))["weights"]
    assert first is second


def test_a_reset_forgets_everything_after_odd_and_even_counts() -> None:
    bundle = read_bundle(DEFAULT)
    generator = OnnxEngine(bundle.folder, bundle.generator)
    conditioning = bundle.conditioning_input(bundle.lookahead)

    def latents(given: list[Floats]) -> list[Floats]:
        return [generator.step(mels=m, **conditioning)["latent"].copy() for m in given]

    fresh = latents(mels(3))
    assert not np.array_equal(latents(mels(3))[0], fresh[0])  # it does remember
    for count in (1, 2):
        latents(mels(count, seed=9))
        generator.reset()
        assert all(np.array_equal(a, b) for a, b in zip(latents(mels(3)), fresh, strict=True))
        generator.reset()


def refusal(folder: Path, network: Network) -> str:
    with pytest.raises(MissingError) as caught:
        OnnxEngine(folder, network)
    assert network.file in str(caught.value)
    return str(caught.value)


def test_shapes_that_differ_from_the_yaml_are_refused() -> None:
    bundle = read_bundle(DEFAULT)
    wide = {**bundle.decoder.inputs, "latent": (1, 1, 65)}
    assert "bundle.yaml says" in refusal(bundle.folder, replace(bundle.decoder, inputs=wide))
    more = {**bundle.decoder.outputs, "weights": (1, 1, 53)}
    assert "bundle.yaml says" in refusal(bundle.folder, replace(bundle.decoder, outputs=more))
    fewer = {k: v for k, v in bundle.decoder.inputs.items() if k == "latent"}
    assert "bundle.yaml says" in refusal(bundle.folder, replace(bundle.decoder, inputs=fewer))


def test_another_network_under_the_right_name_is_refused(bundle_copy: Path) -> None:
    (bundle_copy / "decoder.onnx").write_bytes((bundle_copy / "generator.onnx").read_bytes())
    network = read_bundle(DEFAULT).decoder
    network = replace(network, sha256=sha256(bundle_copy / "decoder.onnx"))
    assert "bundle.yaml says" in refusal(bundle_copy, network)


def test_bytes_that_are_no_model_are_refused(bundle_copy: Path) -> None:
    (bundle_copy / "decoder.onnx").write_bytes(b"\x08\x07not a model")
    assert "cannot load" in refusal(bundle_copy, read_bundle(DEFAULT).decoder)


def test_closing_twice_is_fine() -> None:
    bundle = read_bundle(DEFAULT)
    for engine in open_engines(bundle):
        engine.close()
        engine.close()


@pytest.mark.skipif(sys.platform != "linux", reason="OTHER SYSTEMS REFUSE SUCH A NAME")
def test_a_bundle_in_a_folder_whose_name_is_not_utf8_runs(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xe9"))
    shutil.copytree(DEFAULT, folder)
    generator, _ = open_engines(read_bundle(folder), "onnxruntime")
    there, _ = open_engines(read_bundle(DEFAULT), "onnxruntime")
    inputs = {"mels": mels(1)[0], **read_bundle(DEFAULT).conditioning_input(4)}
    assert np.array_equal(generator.step(**inputs)["latent"], there.step(**inputs)["latent"])


def test_a_network_that_is_gone_since_it_was_checked_is_one_sentence(bundle_copy: Path) -> None:
    bundle = read_bundle(bundle_copy)
    (bundle_copy / "decoder.onnx").unlink()
    with pytest.raises(MissingError, match=r"decoder\.onnx: No such file .*; check --bundle"):
        open_engines(bundle, "onnxruntime")
