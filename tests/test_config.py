"""edge.yaml: every mistake names the file, the key and the way out."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from edge.config import Config, parse, read_config
from edge.contract import ConfigError


def config(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "edge.yaml"
    path.write_text(text, "utf-8")
    return read_config(path)


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert config(tmp_path, "") == Config()
    assert Config().to == ("vmc://127.0.0.1:39539",)


def test_what_is_written_is_what_counts(tmp_path: Path) -> None:
    got = config(tmp_path, "mic: USB Audio\nlookahead: 67\nmeter: true\nto: [vmc://a:1]\n")
    assert got == Config(mic="USB Audio", lookahead=67, meter=True, to=("vmc://a:1",))


def test_one_output_needs_no_list_and_none_is_none(tmp_path: Path) -> None:
    assert config(tmp_path, "to: vmc://a:1").to == ("vmc://a:1",)
    assert config(tmp_path, "to: []").to == ()
    assert config(tmp_path, "lookahead:\nrecord: null").lookahead is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("micc: default", "unknown key 'micc'; did you mean 'mic'"),
        ("looakhead: 3", "did you mean 'lookahead'"),
        ("zzzzzz: 1", "unknown key 'zzzzzz'; known: mic, to, bundle"),
        ("mic: 3", "mic: expected str, found 3"),
        ("seed: 1.5", "seed: expected int, found 1.5"),
        ("seed: true", "seed: expected int, found True"),
        ("meter: 1", "meter: expected bool, found 1"),
        ("seed: null", "seed: expected int, found None"),
        ("to: 5", "to: expected a list of strings, found 5"),
        ("to: [1]", "to: expected a list of strings"),
        ("- mic", "expected 'key: value' lines, found list"),
        ("just words", "expected 'key: value' lines, found str"),
        ("mic: [", "not YAML"),
        ("1: 2", "unknown key '1'"),
    ],
)
def test_every_mistake_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text)
    message = str(caught.value)
    assert words in message
    assert str(tmp_path / "edge.yaml") in message
    assert "\n" not in message
    assert caught.value.status == 78


def test_a_missing_file_a_folder_and_bytes_are_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    for name in ("nowhere.yaml", ".", "bytes.yaml"):
        with pytest.raises(ConfigError) as caught:
            read_config(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_every_key_has_a_default_of_its_own_kind() -> None:
    values: dict[str, Any] = {f.name: getattr(Config(), f.name) for f in fields(Config)}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    assert parse(plain, "here") == Config()
