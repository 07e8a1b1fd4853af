"""The doctor and the probe: each trouble gets its verdict, its way out and its exit status."""

import json
import os
import socket
import sys
import types

import numpy as np
import pytest

from edge import doctor as doctor_module
from edge import machine
from edge.bundle import DEFAULT, read_bundle
from edge.config import Config
from edge.contract import ARKIT_52, INDEX, SAMPLE_RATE, AudioBlock, ConfigError, MissingError
from edge.doctor import doctor, judge, look_at_microphones, look_at_networks, look_at_output
from edge.engine import open_engines
from edge.finding import Finding
from edge.pipeline import Pipeline
from edge.probe import POSES, faces, send_probe

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


class Heard:
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
        source = Heard(np.asarray(samples, np.float32))
        monkeypatch.setitem(sys.modules, "sounddevice", PortAudio(devices))
        monkeypatch.setattr(doctor_module, "open_source", lambda mic, queue_ms: source)
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


def jetson(tmp_path, governor="schedutil"):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text(
        "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
    )
    cpu = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    cpu.mkdir(parents=True)
    (cpu / "scaling_governor").write_text(governor + "\n")
    return tmp_path


def verdicts(findings):
    return {f.what: (f.verdict, f.text) for f in findings}


def test_a_jetson_is_known_with_its_power_mode_and_governor(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    answers = {"nvpmodel": "NV Power Mode: 15W\n0\n"}
    found = verdicts(
        machine.look_at_machine(jetson(tmp_path), lambda words: answers.get(words[0], ""))
    )
    assert found["jetson"] == ("ok", "Jetson Linux 36.4.3, JetPack 6")
    assert found["tensorrt"][0] == "warn"
    assert "--system-site-packages" in found["tensorrt"][1]
    assert found["power"][0] == "warn"
    assert "NV Power Mode: 15W 0" in found["power"][1]
    assert found["clocks"][0] == "warn"
    assert "sudo jetson_clocks" in found["clocks"][1]


def test_a_jetson_at_full_power_has_nothing_to_complain_about(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: object())
    answers = {"nvpmodel": "NV Power Mode: MAXN\n0\n", "dpkg-query": "6.2+b77"}
    found = verdicts(
        machine.look_at_machine(
            jetson(tmp_path, "performance"), lambda words: answers.get(words[0], "")
        )
    )
    assert found["jetson"] == ("ok", "Jetson Linux 36.4.3, JetPack 6.2+b77")
    assert [found[what][0] for what in ("tensorrt", "power", "clocks")] == ["ok"] * 3


def test_other_machines_need_no_tensorrt_and_no_power_mode(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    found = verdicts(machine.look_at_machine(tmp_path, lambda words: ""))
    assert [found[what][0] for what in ("jetson", "tensorrt", "clocks")] == ["ok"] * 3
    assert "power" not in found


def test_refused_real_time_is_a_warning_with_the_line_to_add(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    found = verdicts(machine.look_at_machine(tmp_path, lambda words: ""))
    assert found["realtime"][0] == "warn"
    assert "USER - rtprio 50" in found["realtime"][1]


def test_trying_real_time_leaves_this_thread_as_it_was(tmp_path):
    list(machine.look_at_machine(tmp_path, lambda words: ""))
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_program_that_fails_or_is_not_there_says_nothing():
    assert machine.run_command(["/no/such/program"]) == ""
    assert machine.run_command(["sh", "-c", "echo x; exit 1"]) == ""
    assert machine.run_command(["sh", "-c", "echo x"]) == "x\n"


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


def test_scripts_get_the_same_as_json(found, capsys):
    assert doctor(Config(), open_pipeline, as_json=True) == 69
    said = json.loads(capsys.readouterr().out)
    assert said["status"] == 69
    assert said["findings"][1] == {
        "what": "bundle", "verdict": "fail", "text": "gone", "status": 69,
    }  # fmt: skip


class Sink:
    def __init__(self):
        self.weights = []

    def send(self, frame):
        self.weights.append(frame.weights.copy())


def test_the_probe_shows_five_vowels_and_two_blinks_60_times_a_second_and_ends_at_rest():
    now, said, sink = [10.0], [], Sink()

    def sleep(seconds):
        now[0] += seconds + 0.0004  # a sleep is always a little too long

    send_probe([sink], said.append, lambda: now[0], sleep)
    assert said == ["A", "I", "U", "E", "O", "blink", "blink", "rest"]
    assert (len(sink.weights) - 1) / 60 == pytest.approx(now[0] - 10, abs=0.001)
    assert 5.5 < now[0] - 10 < 6.5
    assert not sink.weights[-1].any()


def test_the_probe_opens_the_mouth_for_a_and_shuts_both_eyes_for_a_blink():
    seen = {name: weights.max() for name, weights in faces() if weights.any()}
    assert set(seen) == {"A", "I", "U", "E", "O", "blink"}
    widest = np.max([weights for name, weights in faces() if name == "A"], axis=0)
    assert widest[INDEX["jawOpen"]] == pytest.approx(0.7, abs=0.01)
    shut = np.max([weights for name, weights in faces() if name == "blink"], axis=0)
    assert [ARKIT_52[i] for i in np.flatnonzero(shut)] == ["eyeBlinkLeft", "eyeBlinkRight"]


def test_the_mouth_is_shut_between_two_poses():
    weights = [weights for _, weights in faces()]
    each = (len(weights) - 1) // len(POSES)
    assert all(weights[i * each].max() < 1e-3 for i in range(len(POSES)))


def test_an_interrupted_probe_leaves_a_neutral_face():
    sink = Sink()

    def sleep(seconds):
        if len(sink.weights) == 20:
            raise KeyboardInterrupt

    send_probe([sink], lambda text: None, lambda: 0.0, sleep)
    assert sink.weights[-2].any()
    assert not sink.weights[-1].any()
