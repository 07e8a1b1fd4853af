"""A bundle is read whole or refused with a sentence that says what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.bundle import DEFAULT
from edge.bundle_files import sha256
from edge.bundle_reader import read_bundle
from edge.contract import MissingError, UsageError
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline

Change = Callable[[dict[str, Any]], Any]


def edit(folder: Path, change: Change) -> None:
    path = folder / "bundle.yaml"
    raw = yaml.safe_load(path.read_text())
    change(raw)
    path.write_text(yaml.safe_dump(raw, sort_keys=False))


def refusal(folder: Path) -> str:
    with pytest.raises(MissingError) as caught:
        read_bundle(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    return message


def test_the_shipped_bundle_is_whole() -> None:
    bundle = read_bundle(DEFAULT)
    assert bundle.lookahead in bundle.lookaheads
    assert bundle.lookaheads == tuple(sorted(bundle.lookaheads))
    assert max(bundle.lookaheads) <= 8  # 133 ms
    assert all(0 <= weight <= 1 for weight in bundle.rest.values())


def test_drawing_needs_a_bundle_with_codes(bundle_copy: Path) -> None:
    edit(bundle_copy, lambda raw: [raw.pop(key, None) for key in ("codes", "emotions")])
    bundle = read_bundle(bundle_copy)
    with pytest.raises(UsageError, match="no codes to draw; leave --temperature out"):
        Pipeline(bundle, open_engines(bundle), temperature=1.0)


def test_what_is_written_is_read_back(bundle_copy: Path) -> None:
    bundle = replace(read_bundle(bundle_copy), name="again", rest={"jawOpen": 0.125}, data=("a",))
    bundle.write()
    assert read_bundle(bundle_copy) == bundle
    assert not list(bundle_copy.glob("*.part"))


def test_the_hash_names_the_networks_and_nothing_else(bundle_copy: Path) -> None:
    bundle = read_bundle(bundle_copy)
    assert len(bundle.hash) == 12
    assert replace(bundle, name="other").hash == bundle.hash
    decoder = replace(bundle.decoder, sha256="0" * 64)
    assert replace(bundle, decoder=decoder).hash != bundle.hash


def test_a_folder_without_a_bundle_says_which_option_to_use(tmp_path: Path) -> None:
    assert "--bundle" in refusal(tmp_path)
    assert "--bundle" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "content", [b"", b"- 1\n- 2\n", b"a: [1\n", b"\xff\xfe\x00", b"just words", b"a: &a *a"]
)
def test_yaml_that_is_no_bundle_asks_for_an_export(bundle_copy: Path, content: bytes) -> None:
    (bundle_copy / "bundle.yaml").write_bytes(content)
    assert "export" in refusal(bundle_copy)


def put(*keys: str, value: Any) -> Change:
    def change(raw: dict[str, Any]) -> None:
        for key in keys[:-1]:
            raw = raw[key]
        raw[keys[-1]] = value

    return change


def drop(*keys: str) -> Change:
    def change(raw: dict[str, Any]) -> None:
        for key in keys[:-1]:
            raw = raw[key]
        del raw[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("schema", value=2), "schema 2, this edge-run reads 1"),
        (drop("schema"), "schema None"),
        (put("sample_rate", value=48_000), "made for sample_rate 48000"),
        (put("fps", value=25), "made for fps 25"),
        (put("mels", value=80), "made for mels 80"),
        (put("window", value=512), "made for window 512"),
        (lambda raw: raw["shapes"].reverse(), "blendshapes or their order"),
        (lambda raw: raw["shapes"].pop(), "blendshapes or their order"),
        (put("lookahead", value=3), "look-ahead or rest pose"),
        (put("rest", "jawAjar", value=0.5), "look-ahead or rest pose"),
        (put("generator", "file", value="gone.onnx"), "gone.onnx: missing from the bundle"),
        (put("decoder", "sha256", value="0" * 64), r"decoder.onnx: damaged"),
    ],
)
def test_a_bundle_that_does_not_fit_says_why(bundle_copy: Path, change: Change, words: str) -> None:
    edit(bundle_copy, change)
    assert words in refusal(bundle_copy)


KEYS = ["fps", "shapes", "name", "lookaheads", "lookahead", "generator", "decoder", "rest", "data"]


@pytest.mark.parametrize("key", [*KEYS, "git"])
def test_every_missing_key_is_named(bundle_copy: Path, key: str) -> None:
    edit(bundle_copy, drop(key))
    assert f"'{key}'" in refusal(bundle_copy)


@pytest.mark.parametrize("value", [None, 5, "word", [1, "two"], {"a": {"b": "c"}}])
@pytest.mark.parametrize(
    "keys",
    [("lookaheads",), ("lookahead",), ("generator",), ("rest",), ("decoder", "inputs")],
)
def test_values_of_another_kind_are_refused(
    bundle_copy: Path, keys: tuple[str, ...], value: Any
) -> None:
    edit(bundle_copy, put(*keys, value=value))
    refusal(bundle_copy)


@pytest.mark.parametrize("name", ["generator.onnx", "decoder.onnx"])
def test_one_flipped_bit_is_damage(bundle_copy: Path, name: str) -> None:
    data = bytearray((bundle_copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle_copy / name).write_bytes(data)
    assert f"{name}: damaged" in refusal(bundle_copy)


@pytest.mark.parametrize("name", ["generator.onnx", "decoder.onnx"])
def test_a_missing_network_is_named(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).unlink()
    assert f"{name}: missing" in refusal(bundle_copy)


@pytest.mark.parametrize(
    "change",
    [
        put("lookaheads", value=[0, 4]),
        put("generator", "inputs", "mels", value=[1, 1, 80]),
        put("decoder", "outputs", "weights", value=[1, 1, 51]),
        put("decoder", "inputs", "latent", value=[1, 1, 7]),
        put("decoder", "inputs", "state.gru", value=[1, 1]),
        drop("generator", "outputs", "latent"),
        drop("generator", "inputs", "control"),
        put("styles", value=["facegood"]),
    ],
)
def test_networks_that_do_not_fit_each_other_are_refused(bundle_copy: Path, change: Change) -> None:
    edit(bundle_copy, change)
    assert "export" in refusal(bundle_copy)


def test_the_hash_of_a_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_bundle_in_a_path_with_spaces_and_umlauts_works(bundle_copy: Path) -> None:
    there = Path(shutil.move(bundle_copy, bundle_copy.parent / "Bündel mit Leerzeichen"))
    assert read_bundle(there).folder == there
