"""The doctor and the probe: each trouble gets its verdict, its way out and its exit status."""

import json
import socket
import sys
import types

import numpy as np
import pytest

from edge import cli
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.config import Config
from edge.contract import SAMPLE_RATE, AudioBlock, ConfigError, MissingError
from edge.diagnostics import doctor as doctor_module
from edge.diagnostics.doctor import (
    doctor,
    judge,
    look_at_microphones,
    look_at_networks,
    look_at_output,
)
from edge.diagnostics.finding import Finding
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline

SECOND = np.arange(SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE


def speech(level=0.2, floor=0.001):
    """Two seconds: a second of noise at ``floor``, then a tone that comes and goes."""
    noise = np.random.default_rng(0).normal(0, floor, 2 * SAMPLE_RATE).astype(np.float32)
    noise[SAMPLE_RATE:] += np.float32(level) * np.sin(2 * np.pi * 200 * SECOND)
    return noise


@pytest.mark.parametrize(
    ("samples", "verdict", "words"),
    [
        (speech(), "ok", "hears speech"),
        (np.zeros(2 * SAMPLE_RATE, np.float32), "warn", "digital silence"),
        (np.clip(speech(5.0), -1, 1), "warn", "clips"),
        (speech(0.0, 0.0005), "warn", "hears too little"),
        (speech(0.0, 0.1), "warn", "steady noise"),
        (np.where(speech() > 0.1, np.float32("nan"), speech()), "warn", "no sound (NaN"),
        (np.full(2 * SAMPLE_RATE, np.inf, np.float32), "warn", "no sound (NaN"),
    ],
    ids=["speech", "muted", "clipping", "quiet", "noise", "nan", "inf"],
)
def test_what_a_microphone_hears_gets_a_verdict(samples, verdict, words):
    found = judge(samples)
    assert (found.verdict, found.status) == (verdict, 0)
    assert words in found.text


def test_levels_are_in_decibels_of_full_scale():
    tone = np.float32(0.1) * np.sin(2 * np.pi * 100 * SECOND)  # RMS 0.1 / sqrt 2: -23 dBFS
    assert "loudest -23 dBFS, noise floor -23 dBFS" in judge(tone).text


class PortAudio(types.ModuleType):
    """What list_microphones needs of sounddevice."""

    def __init__(self, devices):
        super().__init__("sounddevice")
        self.query_devices = lambda: devices
        self.default = types.SimpleNamespace(device=[0, 0])


USB = {"name": "USB Audio", "max_input_channels": 1, "default_samplerate": 48000.0}


class Recorded:
    """A source that plays one block, then says nothing more while its clock goes on."""

    def __init__(self, samples):
        self.blocks = [AudioBlock(samples, 0, 0.0)] if len(samples) else []
        self.now, self.dropped, self.closed = 0.0, 0, False

    def clock(self):
        return self.now

    def read(self, timeout):
        if self.blocks:
            return self.blocks.pop()
        self.now += timeout
        return None

    def close(self):
        self.closed = True


@pytest.fixture
def plug(monkeypatch):
    def plug(devices, samples=()):
        source = Recorded(np.asarray(samples, np.float32))
        monkeypatch.setitem(sys.modules, "sounddevice", PortAudio(devices))
        monkeypatch.setattr(doctor_module, "open_source", lambda mic, queue_ms, channel: source)
        return source

    return plug


def test_the_chosen_microphone_is_listened_to_and_let_go(plug):
    source = plug([USB], speech())
    found = list(look_at_microphones(Config(), source.clock))
    assert [(f.what, f.verdict) for f in found] == [("portaudio", "ok"), ("microphone", "ok")]
    assert found[0].text == "0 USB Audio (48000 Hz)"
    assert source.closed


def test_no_microphone_at_all_is_status_66(plug):
    plug([])
    (found,) = look_at_microphones(Config())
    assert (found.verdict, found.status) == ("fail", 66)
    assert "plug one in" in found.text


def test_a_microphone_that_gives_no_audio_is_status_66(plug):
    source = plug([USB])
    found = list(look_at_microphones(Config(mic="USB Audio"), source.clock))[-1]
    assert source.now > 3.0  # Pulse was measured to need up to 1.9 s
    assert (found.verdict, found.status) == ("fail", 66)
    assert "'USB Audio' opens but gives no audio" in found.text


def test_missing_portaudio_is_status_69(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    (found,) = look_at_microphones(Config())
    assert (found.verdict, found.status) == ("fail", 69)
    assert "install" in found.text


def test_a_file_is_not_listened_to():
    (found,) = look_at_microphones(Config(mic="file:nothing-there.wav"))
    assert found.verdict == "ok"


def open_pipeline(config):
    bundle = read_bundle(DEFAULT)
    return bundle, Pipeline(bundle, open_engines(bundle))


def test_the_shipped_bundle_is_whole_and_timed():
    bundle, engine = look_at_networks(Config(), open_pipeline)
    assert bundle.verdict == "ok"
    assert read_bundle(DEFAULT).hash in bundle.text
    assert "look-aheads 0, 33" in bundle.text
    assert engine.what == "engine"
    assert "us (p50)" in engine.text


def test_a_slow_machine_is_warned_about(monkeypatch):
    monkeypatch.setattr(doctor_module, "step_us", lambda pipeline: (9000.0, 20000.0))
    _, engine = look_at_networks(Config(), open_pipeline)
    assert engine.verdict == "warn"
    assert "20000 us (p99) of 16667" in engine.text


def test_a_missing_bundle_is_status_69():
    def nothing(config):
        raise MissingError("no bundle.yaml there")

    (found,) = look_at_networks(Config(), nothing)
    assert (found.verdict, found.status) == ("fail", 69)


def receiver():
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.setblocking(False)
    return udp, f"vmc://127.0.0.1:{udp.getsockname()[1]}"


def test_a_listening_avatar_gets_an_empty_bundle_that_moves_nothing():
    udp, url = receiver()
    with udp:
        assert look_at_output(url).verdict == "ok"
        assert udp.recv(4096) == b"#bundle\0\0\0\0\0\0\0\0\1"


def test_an_avatar_that_does_not_listen_is_a_warning():
    udp, url = receiver()
    udp.close()
    found = look_at_output(url)
    assert (found.verdict, found.status) == ("warn", 0)
    assert "nobody listens" in found.text


def test_a_host_that_has_no_address_is_status_69(monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    found = look_at_output("vmc://kiosk.invalid:39539")
    assert (found.verdict, found.status) == ("fail", 69)
    assert "kiosk.invalid" in found.text


def test_a_scheme_that_does_not_exist_is_status_78():
    assert look_at_output("vcm://127.0.0.1").status == ConfigError.status


@pytest.fixture
def found(monkeypatch):
    findings = [
        Finding("microphone", "fail", "none", 66),
        Finding("bundle", "fail", "gone", 69),
        Finding("clocks", "warn", "slow"),
    ]
    monkeypatch.setattr(doctor_module, "examine", lambda config, opener: iter(findings))
    return findings


def test_the_exit_status_is_that_of_what_must_be_mended_first(found, capsys):
    assert doctor(Config(), open_pipeline, as_json=False) == 69
    assert capsys.readouterr().out.splitlines()[0] == "fail  microphone  none"
    del found[:2]
    assert doctor(Config(), open_pipeline, as_json=False) == 0


def test_no_name_in_a_finding_forges_a_line_or_colours_the_terminal(found, capsys):
    found[:] = [Finding("bundle", "warn", "a\nok    output      all is well\x1b[2J")]
    doctor(Config(), open_pipeline, as_json=False)
    (line,) = capsys.readouterr().out.splitlines()
    assert line == r"warn  bundle      a\nok    output      all is well\x1b[2J"


def test_no_name_of_a_microphone_forges_a_line_of_the_list(monkeypatch, capsys):
    evil = USB | {"name": "USB\n* 1 default\x1b[2J"}
    monkeypatch.setitem(sys.modules, "sounddevice", PortAudio([evil]))
    assert cli.main(["--list-mics"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert r"USB\n* 1 default\x1b[2J" in line


def test_scripts_get_the_same_as_json(found, capsys):
    assert doctor(Config(), open_pipeline, as_json=True) == 69
    report = json.loads(capsys.readouterr().out)
    assert report["status"] == 69
    assert report["findings"][1] == {
        "what": "bundle", "verdict": "fail", "text": "gone", "status": 69,
    }  # fmt: skip


def test_the_command_line_asks_the_doctor_and_gives_back_his_status(capsys):
    status = cli.main(["--doctor", "--json", "--mic", "file:x", "--to", "vcm://127.0.0.1"])
    assert status == 78
    found = json.loads(capsys.readouterr().out)
    assert found["status"] == 78
    assert {f["what"] for f in found["findings"]} >= {"bundle", "engine", "realtime", "output"}


def test_the_command_line_sends_the_probe_to_every_output(monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "send_probe", seen.extend)
    assert cli.main(["--probe", "--to", "vmc://127.0.0.1:39539", "--to", "vmc://127.0.0.1"]) == 0
    assert len(seen) == 2
