"""Files that bomb or lie: one short sentence, the right exit status, no time and no memory."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.cli import main
from edge.contract import ConfigError, InputError, MissingError, one_line, quoted
from edge.files import open_regular, read_regular
from edge.inference.engine import open_engines
from edge.preview.replay import read_clip, read_record
from edge.safe_yaml import MOST_BYTES, read_yaml

ROOT = Path(__file__).parents[1]
LAUGHS = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))]
)
MERGES = "\n".join(
    ["a0: &a0 {x: 1}", *(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 60))]
)
MESSAGE = 420
"""Letters of a message without the path: a value of 80, a list of keys and the way out."""

Make = Callable[[Path], object]


def text(content: str) -> Make:
    return lambda path: path.write_text(content, "utf-8")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(8 << 30)


BAD_YAML = {
    "an alias bomb": text(LAUGHS),
    "an alias bomb of merges": text(MERGES),
    "an alias bomb in a list of outputs": text(LAUGHS + "\nto: *a59"),
    "600 brackets": text("to: " + "[" * 600 + "]" * 600),
    "50,000 brackets": text("[" * 50_000),
    "itself": text("to: &a [*a]"),
    "infinity": text("seed: .inf"),
    "no number": text("gains: {jawOpen: .nan}"),
    "10 MB": text("mic: " + "x" * 10_000_000),
    "a value of 200 kB": text("mic: '" + "x" * 200_000 + "'"),
    "a key of 3 kB": text("x" * 3000 + ": 1"),
    "a key nobody can write": text("0x" + "f" * 4000 + ": 1"),
    "a number nobody can write": text("seed: 0x" + "f" * 4000),
    "a number beyond floating point": text("gains: {jawOpen: 0x" + "f" * 4000 + "}"),
    "a number of base 60": text("seed: " + ":".join(["59"] * 1300)),
    "an empty number": text("seed: !!int ''"),
    "a date that is none": text("mic: 2026-99-99"),
    "a class": text("mic: !!python/object/apply:os.system [id]"),
    "an unknown emotion of 300 letters": text("emotion: {name: " + "x" * 300 + "}"),
    "an unknown engine of 300 letters": text("engine: " + "x" * 300),
    "a host of 300 letters": text("control: {host: " + "x" * 300 + "}"),
    "a zero byte": text('mic: "file:a\\0b"'),
    "a zero byte in a list": text('to: ["vmc://a\\0b"]'),
    "a newline in a key": text('"mic\\n<6>all is well": 1'),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\xfa"),
    "a FIFO": lambda path: os.mkfifo(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "8 GB of nothing": sparse,
    "a folder": lambda path: path.mkdir(),
    "itself by a link": lambda path: path.symlink_to(path),
}


def sentence(message: str, path: Path) -> str:
    """What a message says beside the path, after checking that it is one short line."""
    assert message.endswith("\n")
    assert message.count("\n") == 1
    assert "Traceback" not in message
    message = message.replace(str(path), "").strip()
    assert len(message) < MESSAGE
    assert message.isprintable()
    return message


@pytest.mark.parametrize("what", BAD_YAML)
def test_a_configuration_that_bombs_or_lies_is_one_sentence(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edge.yaml"
    BAD_YAML[what](path)
    began = time.process_time()
    assert main(["--config", str(path), "--print-config"]) == 78
    assert time.process_time() - began < 1
    sentence(capsys.readouterr().err, path)


def test_ordinary_aliases_are_read(tmp_path: Path) -> None:
    (path := tmp_path / "edge.yaml").write_text("a: &a [1, 2]\nb: *a\nc: {d: *a}\n")
    assert read_yaml(path) == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


def test_a_file_as_large_as_allowed_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text("# " + "x" * (MOST_BYTES - 2))
    assert read_yaml(path) is None
    path.write_text("# " + "x" * (MOST_BYTES - 1))
    with pytest.raises(OSError, match="larger than 256 kB"):
        read_yaml(path)


def test_a_file_that_hides_its_size_is_bounded_all_the_same(tmp_path: Path) -> None:
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("NO /proc HERE")
    assert maps.stat().st_size == 0
    with pytest.raises(OSError, match="larger than"):
        read_regular(maps, 1024)


def test_a_device_is_refused_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", None)  # opening a tape or a watchdog acts on it
    with pytest.raises(OSError, match="no regular file"):
        open_regular(Path("/dev/null"), 1024)


Change = Callable[[dict], object]


def put(*keys: str, value: object) -> Change:
    def change(raw: dict) -> None:
        for key in keys[:-1]:
            raw = raw[key]
        raw[keys[-1]] = value

    return change


LIES: dict[str, Change] = {
    "infinite look-ahead": put("lookaheads", value=[0, float("inf")]),
    "negative look-ahead": put("lookaheads", value=[-1, 2, 4, 8]),
    "look-ahead of an hour": put("lookaheads", value=[0, 2, 4, 216_000]),
    "the same look-ahead twice": put("lookaheads", value=[0, 4, 4, 8]),
    "a rest pose without end": put("rest", "jawOpen", value=float("inf")),
    "a rest pose that is no number": put("rest", "jawOpen", value=float("nan")),
    "a rest pose beyond the range": put("rest", "jawOpen", value=2.0),
    "an unknown emotion": lambda raw: raw["emotions"].__setitem__(0, "hapiness"),
    "an emotion of 300 letters": lambda raw: raw["emotions"].__setitem__(0, "x" * 300),
    "too few emotions": lambda raw: raw["emotions"].pop(),
    "too many styles": put("styles", value=["a"] * 50),
    "no styles": lambda raw: raw.pop("styles"),
    "a state of terabytes": lambda raw: [
        raw["generator"][side].__setitem__(name, [1, 10**12])
        for side, name in (("inputs", "state.near"), ("outputs", "state_out.near"))
    ],
    "a state of no size": put("generator", "inputs", "state.near", value=[1, -160]),
    "a network outside": put("decoder", "file", value="../decoder.onnx"),
    "a network elsewhere": put("decoder", "file", value="/etc/passwd"),
    "a name of 300 letters": put("decoder", "file", value="x" * 300),
    "a name with a zero byte": put("decoder", "file", value="a\0b"),
    "codes outside": put("codes", "file", value="../codes.npz"),
    "a sha256 that is none": put("decoder", "sha256", value=7),
    "a schema of 3000 digits": put("schema", value=10**3000),
    "a shape that is a word": put("decoder", "inputs", "latent", value="wide"),
}


@pytest.mark.parametrize("what", LIES)
def test_a_bundle_that_lies_is_one_sentence(what: str, bundle_copy: Path) -> None:
    path = bundle_copy / "bundle.yaml"
    raw = yaml.safe_load(path.read_text())
    LIES[what](raw)
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    began = time.process_time()
    with pytest.raises(MissingError) as caught:
        read_bundle(bundle_copy).tables()
    assert time.process_time() - began < 1
    sentence(f"{caught.value}\n", bundle_copy)
    assert caught.value.status == 69


@pytest.mark.parametrize("what", [w for w in BAD_YAML if "number" not in w])
def test_a_bundle_that_bombs_is_one_sentence(what: str, bundle_copy: Path) -> None:
    (path := bundle_copy / "bundle.yaml").unlink()
    BAD_YAML[what](path)
    began = time.process_time()
    with pytest.raises(MissingError) as caught:
        read_bundle(bundle_copy)
    assert time.process_time() - began < 1
    sentence(f"{caught.value}\n", path)


def test_a_long_name_of_a_bundle_is_cut(bundle_copy: Path) -> None:
    path = bundle_copy / "bundle.yaml"
    path.write_text(path.read_text().replace("name: edgetalk", f"name: {'x' * 300}"))
    assert len(read_bundle(bundle_copy).name) == 80


def replaced(folder: Path, file: str, data: bytes) -> None:
    """Put other bytes into the bundle and their hash into ``bundle.yaml``: the liar's own work."""
    (folder / file).write_bytes(data)
    path = folder / "bundle.yaml"
    raw = yaml.safe_load(path.read_text())
    for part in (raw["codes"], raw["generator"], raw["decoder"]):
        if part["file"] == file:
            part["sha256"] = hashlib.sha256(data).hexdigest()
    path.write_text(yaml.safe_dump(raw, sort_keys=False))


def npz(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as stored:
        for name, data in members.items():
            stored.writestr(f"{name}.npy", data)
    return out.getvalue()


def npy(array: object) -> bytes:
    out = io.BytesIO()
    np.save(out, np.asarray(array), allow_pickle=True)
    return out.getvalue()


def huge(claim: str) -> bytes:
    """An array that says it is larger than it is."""
    return npy(np.zeros((4, 48), np.float32)).replace(b"(4, 48)", claim.encode())


with np.load(DEFAULT / "codes.npz") as shipped:
    GOOD = {name: npy(shipped[name]) for name in shipped}
BAD_NPZ = {
    "a zip bomb": npz(**GOOD | {"slow": bytes(400_000_000)}),
    "a size of terabytes": npz(**GOOD | {"slow": huge("(9**13, 8)")}),
    "a size of gigabytes": npz(**GOOD | {"slow": huge("(99999999, 8)")}),
    "an array missing": npz(slow=GOOD["slow"]),
    "Python objects": npz(**GOOD | {"slow": npy(np.array([{}], object))}),
    "words": npz(**GOOD | {"slow": npy(["a", "b"])}),
    "another count": npz(**GOOD | {"slow": npy(np.zeros((3, 48)))}),
    "emotions of another count": npz(**GOOD | {"emotion_bias": npy(np.zeros(2))}),
    "what is no number": npz(**GOOD | {"emotion_bias": npy(np.full(8, np.nan))}),
    "no zip": b"PK\x03\x04 it says",
    "half": npz(**GOOD)[:3000],
    "damaged inside": (lambda d: d[:300] + bytes(200) + d[500:])(npz(**GOOD)),
}


@pytest.mark.parametrize("what", BAD_NPZ)
def test_arrays_that_bomb_or_lie_are_one_sentence(what: str, bundle_copy: Path) -> None:
    replaced(bundle_copy, "codes.npz", BAD_NPZ[what])
    began = time.process_time()
    with pytest.raises(MissingError, match="export it again") as caught:
        read_bundle(bundle_copy).tables()
    assert time.process_time() - began < 1
    sentence(f"{caught.value}\n", bundle_copy)


def entry(key: bytes, value: bytes, overlong: bool = False) -> bytes:
    """A pair as ONNX stores where a tensor lies, if need be with needless zeros."""
    if overlong:
        return b"\x8a\x80\x00\x88\x00" + key + b"\x12" + bytes([len(value)]) + value
    return b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(value)]) + value


@pytest.mark.parametrize("place", [b"weights.bin", b"../../secret", b"/etc/passwd"])
@pytest.mark.parametrize("overlong", [False, True])
@pytest.mark.parametrize("at", [0, 1024 * 1024 - 5])
def test_a_network_with_weights_elsewhere_is_refused(
    place: bytes, overlong: bool, at: int, bundle_copy: Path
) -> None:
    data = bytes(at) + entry(b"location", place, overlong)
    replaced(bundle_copy, "decoder.onnx", data)
    with pytest.raises(MissingError, match=r"decoder\.onnx: has weights in another file"):
        read_bundle(bundle_copy)


def test_what_onnx_writes_for_weights_elsewhere_is_refused(bundle_copy: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the toolchain is not installed")
    model = onnx.load(bundle_copy / "decoder.onnx")
    onnx.save(
        model, bundle_copy / "other.onnx", save_as_external_data=True, size_threshold=0,
        location="weights.bin",
    )  # fmt: skip
    replaced(bundle_copy, "decoder.onnx", (bundle_copy / "other.onnx").read_bytes())
    with pytest.raises(MissingError, match="has weights in another file"):
        read_bundle(bundle_copy)


def test_a_sparse_network_is_refused_unread(bundle_copy: Path) -> None:
    sparse(bundle_copy / "decoder.onnx")
    began = time.process_time()
    with pytest.raises(MissingError, match=r"decoder\.onnx: is larger than 65536 kB"):
        read_bundle(bundle_copy)
    assert time.process_time() - began < 1


@pytest.mark.skipif(os.geteuid() != 0, reason="ONLY ROOT CAN TRY TO BE SOMEBODY ELSE")
def test_what_another_user_may_not_read_says_so() -> None:
    code = (
        "import os, sys; from pathlib import Path; from edge.bundle_reader import read_bundle; "
        "from edge.config import read_config; from edge.contract import EdgeError\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "for read in (read_config, lambda p: read_bundle(p.parent / 'bundle')):\n"
        "    try: read(Path(sys.argv[1]))\n"
        "    except EdgeError as error: print(error.status, error)\n"
    )
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        (folder := Path(name)).chmod(0o755)
        (config := folder / "edge.yaml").write_text("seed: 1")
        config.chmod(0o600)
        (bundle := folder / "bundle").mkdir(0o700)
        done = subprocess.run(
            [sys.executable, "-c", code, str(config)], cwd=ROOT, capture_output=True, text=True,
            check=True, timeout=60,
        )  # fmt: skip
    assert done.stdout.splitlines() == [
        f"78 {config}: Permission denied; check --config",
        f"69 {bundle / 'bundle.yaml'}: Permission denied; check --bundle",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="ONLY ROOT CAN TRY TO BE SOMEBODY ELSE")
def test_a_network_that_another_user_may_not_read_says_so() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        (folder := Path(name)).chmod(0o755)
        shutil.copytree(DEFAULT, bundle := folder / "bundle")
        (bundle / "generator.onnx").chmod(0o600)
        read_bundle(bundle)  # loads what is loaded late
        os.seteuid(65534)
        try:
            with pytest.raises(MissingError, match=r"generator\.onnx: no permission to read it"):
                read_bundle(bundle)
        finally:
            os.seteuid(0)


def test_bombs_cost_no_memory(tmp_path: Path, bundle_copy: Path) -> None:
    (config := tmp_path / "edge.yaml").write_text(LAUGHS + "\nto: *a59")
    replaced(bundle_copy, "codes.npz", BAD_NPZ["a zip bomb"])
    code = (
        "import re, sys; from edge.cli import main\n"
        "assert main(['--config', sys.argv[1], '--print-config']) == 78\n"
        "assert main(['--mic', 'file:edge/assets/demo.flac', '--offline', '--bundle', "
        "sys.argv[2]]) == 69\n"
        # Not ru_maxrss, in which the memory of the process that started this one counts.
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(config), str(bundle_copy)], cwd=ROOT, text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300


@pytest.mark.parametrize("read", [read_record, read_clip])
@pytest.mark.parametrize("what", ["a FIFO", "a device", "a folder", "itself by a link"])
def test_a_replay_of_what_is_no_file_is_one_sentence(
    read: Callable[[Path], object], what: str, tmp_path: Path
) -> None:
    path = tmp_path / "record.csv"
    BAD_YAML[what](path)
    with pytest.raises(InputError) as caught:
        read(path)
    sentence(f"{caught.value}\n", path)


def test_a_record_whose_first_line_never_ends_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.csv"
    with path.open("wb") as file:
        file.truncate(300 << 20)
    began = time.process_time()
    with pytest.raises(InputError):
        read_record(path)
    assert time.process_time() - began < 1


def test_values_in_messages_are_short_and_on_one_line() -> None:
    assert quoted("a\nb") == r"'a\nb'"
    assert len(quoted("x" * 300)) == 80
    assert quoted(10**5000) == "a very long int"
    nested: list[object] = ["x"]
    for _ in range(60):
        nested = [nested, nested]
    assert len(quoted(nested)) <= 80
    assert one_line("für alle") == "für alle"
    assert str(ConfigError("a\nb\x1b")) == r"a\nb\x1b"


def test_a_network_that_cannot_be_loaded_prints_nothing_beside_the_sentence(
    bundle_copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = (bundle_copy / "decoder.onnx").read_bytes()
    replaced(bundle_copy, "decoder.onnx", data.replace(b"Gemm", b"\xe6emm"))
    with pytest.raises(MissingError, match=r"decoder\.onnx: ONNX Runtime cannot load it") as caught:
        open_engines(read_bundle(bundle_copy), "onnxruntime")
    sentence(f"{caught.value}\n", bundle_copy)
    assert capfd.readouterr() == ("", "")
