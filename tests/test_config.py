"""edge.yaml: every mistake names the file, the key and the way out."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from edge.cli import main
from edge.config import (
    Config,
    ControlSettings,
    EmotionSettings,
    changed,
    dump,
    parse,
    plain,
    read_config,
)
from edge.contract import ConfigError
from edge.safe_yaml import read_yaml
from tests.fakes import ROOT

EXAMPLE = ROOT / "systemd" / "edge.yaml"


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


def test_sections_are_read_key_by_key(tmp_path: Path) -> None:
    got = config(
        tmp_path,
        """
        gains: {jawOpen: 2, eyeBlinkLeft: 0.0}
        emotion: {name: joy, intensity: 0.5}
        control: {host: 0.0.0.0, port: 4000, allow: [10.0.0.0/24, 192.168.1.9]}
        """,
    )
    assert got.gains == {"jawOpen": 2.0, "eyeBlinkLeft": 0.0}
    assert got.emotion == EmotionSettings(name="joy", intensity=0.5, blend=0.5)
    assert got.control == ControlSettings("0.0.0.0", 4000, ("10.0.0.0/24", "192.168.1.9"))
    assert config(tmp_path, "control: null").control is None
    assert config(tmp_path, "control: {host: '::1'}").control == ControlSettings("::1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: -1", "seed: expected 0 to 4294967295, found -1"),
        ("queue_ms: 9", "queue_ms: expected 10 to 10000, found 9"),
        ("lookahead: 1001", "lookahead: expected 0 to 1000"),
        ("control: {prot: 1}", "unknown key 'control.prot'; did you mean 'port'?"),
        ("control: {zzz: 1}", "unknown key 'control.zzz'; known: host, port, allow"),
        ("control: {port: 0}", "control.port: expected 1 to 65535, found 0"),
        ("control: {port: '1'}", "control.port: expected int, found '1'"),
        ("control: 39541", "control: expected 'key: value' lines, found int"),
        ("control: {host: kiosk}", "control.host: 'kiosk' is not an address"),
        ("control: {host: 0.0.0.0}", "0.0.0.0 is open to other machines; name those"),
        ("control: {allow: [10.0.0.300]}", "control.allow: '10.0.0.300' is not an address"),
        ("gains: {jawOpenn: 1}", "unknown shape 'jawOpenn'; did you mean 'jawOpen'?"),
        ("gains: {jawOpen: 4.1}", "gains.jawOpen: expected 0 to 4, found 4.1"),
        ("gains: {jawOpen: .nan}", "gains.jawOpen: expected 0 to 4, found nan"),
        ("gains: {jawOpen: yes}", "gains.jawOpen: expected float, found True"),
        ("gains: [jawOpen]", "gains: expected 'name: number' lines"),
        ("emotion: {name: hapy}", "emotion.name: unknown emotion 'hapy'; did you mean 'happy'?"),
        ("emotion: {intensity: 1.5}", "emotion.intensity: expected 0 to 1, found 1.5"),
        ("emotion: {blend: .inf}", "emotion.blend: expected 0 to 60, found inf"),
    ],
)
def test_a_mistake_in_a_section_names_the_path_of_its_key(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "edge.yaml"))
    assert "\n" not in str(caught.value)


def test_the_example_has_every_key_with_its_default() -> None:
    assert read_config(EXAMPLE) == Config()
    raw = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    assert list(raw) == [f.name for f in fields(Config)]
    assert list(raw["control"]) == [f.name for f in fields(ControlSettings)]
    assert list(raw["emotion"]) == [f.name for f in fields(EmotionSettings)]
    assert raw == plain(Config())


@pytest.mark.parametrize(
    "what",
    [
        Config(),
        Config(mic="Mikrofon für alle", to=(), lookahead=0, gains={"jawOpen": 1.25}, control=None),
        Config(
            emotion=EmotionSettings("sad", 0.1, 3.0),
            control=ControlSettings("::", 1, ("fe80::/10",)),
        ),
    ],
)
def test_what_is_printed_reads_back_as_the_same(tmp_path: Path, what: Config) -> None:
    assert config(tmp_path, dump(what)) == what


def test_what_changed_is_named() -> None:
    old = Config()
    assert changed(old, Config()) == []
    assert changed(old, Config(mic="x", gains={"jawOpen": 0.0})) == ["mic", "gains"]


def test_flags_win_and_are_checked_like_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "edge.yaml").write_text("seed: 3\nmic: x\ncontrol: {allow: [10.0.0.1]}\n")
    given = ["--config", str(tmp_path / "edge.yaml"), "--print-config"]
    assert main([*given, "--seed", "7", "--to", "vmc://a:1", "--control", "5000"]) == 0
    got = parse(yaml.safe_load(capsys.readouterr().out), "printed")
    allowed = ControlSettings(port=5000, allow=("10.0.0.1",))
    assert got == Config(mic="x", seed=7, to=("vmc://a:1",), control=allowed)
    assert main([*given, "--control", "off"]) == 0
    assert "control: null" in capsys.readouterr().out
    for wrong in (["--seed", "-1"], ["--control", "often"], ["--control", "70000"]):
        assert main([*given, *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("key", "value"), [("engine", "cuda"), ("precision", "fp8")])
def test_a_word_that_is_no_choice_is_answered_with_the_choices(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"edge.yaml: {key}: expected .*, found '{value}'"):
        parse({key: value}, "edge.yaml")
    assert parse({key: None if key == "precision" else "auto"}, "edge.yaml") == Config()


def test_a_home_in_a_path_is_found_and_an_empty_microphone_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = parse(
        {
            "mic": "file:~/a.wav",
            "bundle": "~/b",
            "record": "csv:~/c.csv",
            "record_audio": "~/d.wav",
        },
        "edge.yaml",
    )
    assert (found.mic, found.bundle) == ("file:/home/me/a.wav", "/home/me/b")
    assert (found.record, found.record_audio) == ("csv:/home/me/c.csv", "/home/me/d.wav")
    assert parse({"mic": "~x", "record": "a~.csv"}, "edge.yaml").mic == "~x"
    with pytest.raises(ConfigError, match=r"edge\.yaml: mic: an empty name"):
        parse({"mic": " "}, "edge.yaml")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("seed: 1\nmic: a\nseed: 2", "'seed' is there twice; write it once"),
        ("gains: {jawOpen: 1, jawOpen: 2}", "'jawOpen' is there twice; write it once"),
        ("mic: !!timestamp x", "a value that is not of the kind that its tag (!!) says"),
        ("mic: !!bool x", "a value that is not of the kind that its tag (!!) says"),
    ],
)
def test_what_yaml_would_pass_over_or_trip_over_is_one_sentence(
    tmp_path: Path, text: str, why: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text)
    assert str(caught.value) == f"{tmp_path}/edge.yaml: not YAML ({why}); check --config"


def test_a_key_beside_a_merged_one_is_not_written_twice(tmp_path: Path) -> None:
    text = "emotion: &a {name: fear, blend: 1}\ncontrol: null\n"
    assert config(tmp_path, text).emotion.name == "fear"
    (path := tmp_path / "merged.yaml").write_text("a: &a {b: 1}\nc: {<<: *a, b: 2}\n")
    assert read_yaml(path) == {"a": {"b": 1}, "c": {"b": 2}}
