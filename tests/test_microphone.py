"""The microphone on a PortAudio made of Python, which fails as the real one was seen to fail."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.audio.devices import PULSE_KEYS, choose
from edge.audio.microphone import STUCK, DeviceSearch, Microphone
from edge.audio.portaudio import (
    _spare_shared_memory,
    loud,
    pulse_config,
    quiet,
    restart,
    surroundings,
)
from edge.audio.portaudio_stream import FIRST, LOST, ArrivalClock, LevelMeter
from edge.contract import SAMPLE_RATE, InputError, MissingError


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


class PortAudioError(Exception):
    pass


class Stream:
    def __init__(self, audio: PortAudio, **settings: Any) -> None:
        audio.check(settings["device"], settings["channels"], settings["samplerate"])
        self.settings, self.audio, self.active, self.aborted = settings, audio, True, False
        self._data = np.zeros((settings["blocksize"], settings["channels"]), np.float32)
        audio.open.append(self)

    def start(self) -> None:
        if self.audio.refuses_start:
            raise PortAudioError("Device unavailable")

    def hear(self, *values: float) -> None:
        """One callback; ``values`` by channel. The array is the same every time, and is spoilt."""
        self._data[...] = values
        self.settings["callback"](self._data, len(self._data), None, None)
        self._data[...] = 99

    def abort(self) -> None:
        self.aborted = True
        if self.audio.daemon_is_dead:
            raise PortAudioError("Wait timed out")

    def stop(self) -> None:
        raise AssertionError("stop() can hang for 18 s; use abort()")

    def close(self) -> None:
        self.audio.open.remove(self)


class PortAudio:
    """The parts of sounddevice that are used."""

    PortAudioError = PortAudioError

    def __init__(self, *devices: dict[str, Any], default: int = 0) -> None:
        self.devices, self.open = list(devices), list[Stream]()
        self.default = SimpleNamespace(device=[default, -1])
        self.refuses_start = self.daemon_is_dead = False
        self.initialized = 1
        self.accepts = lambda channels, rate: True

    def query_devices(self) -> list[dict[str, Any]]:
        assert self.initialized == 1
        return self.devices

    def check(self, device: int, channels: int, rate: int) -> None:
        if not self.accepts(channels, rate):
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")

    def check_input_settings(self, device: int, channels: int, dtype: str, samplerate: int) -> None:
        self.check(device, channels, samplerate)

    def InputStream(self, **settings: Any) -> Stream:
        return Stream(self, **settings)

    def _exit_handler(self) -> None:
        """What sounddevice does at exit."""

    def _terminate(self) -> None:
        assert not self.open, "PortAudio must not be ended under an open stream"
        self.initialized -= 1

    def _initialize(self) -> None:
        self.initialized += 1


def device(index: int, name: str, channels: int = 1, rate: float = 44100.0) -> dict[str, Any]:
    return {
        "index": index, "name": name, "max_input_channels": channels, "default_samplerate": rate,
    }  # fmt: skip


USB = device(0, "USB Audio: - (hw:1,0)")


@pytest.fixture(autouse=True)
def unnamed_source(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("PULSE_SOURCE", "PULSE_PROP"):
        monkeypatch.setenv(key, "")


def microphone(audio: PortAudio, clock: Clock, mic: str = "default", **more: Any) -> Microphone:
    """One whose thread sleeps: the test looks after it."""
    mic_ = Microphone.__new__(Microphone)
    mic_._look_after = lambda: None  # type: ignore[method-assign]
    mic_.__init__(mic, 12, clock=clock, sounddevice=audio, **more)  # type: ignore[misc]
    mic_._stop.wait = lambda timeout=None: False  # type: ignore[method-assign,assignment]
    return mic_


def test_samples_are_copied_and_the_chosen_channel_is_heard() -> None:
    audio, clock = PortAudio(device(0, "array", 4)), Clock()
    mic = microphone(audio, clock, channel=2)
    audio.open[0].hear(0.5, 0.25)
    block = mic.read(0)
    assert block is not None
    assert (block.start, block.end, block.captured_at) == (0, 160, 50.0)
    assert block.samples[0] == 0.25


def test_a_device_that_refuses_16_khz_opens_at_its_own_rate_and_is_resampled() -> None:
    audio, clock = PortAudio(USB), Clock()
    audio.accepts = lambda channels, rate: rate == 44_100
    mic = microphone(audio, clock)
    assert audio.open[0].settings["samplerate"] == 44_100
    ends = []
    for _ in range(100):
        clock.now += 0.01
        audio.open[0].hear(0.1)
        block = mic.read(0)
        assert block is not None
        ends.append(block.end)
        # Its last sample is as old as the filter is long, and that is said.
        assert 0.001 < clock.now - block.captured_at < 0.003
    assert 15_960 <= ends[-1] <= 16_000


def test_a_device_that_takes_only_all_of_its_16_channels_is_opened_with_16() -> None:
    audio = PortAudio(device(0, "tegra-x", 16, 48000.0))
    audio.accepts = lambda channels, rate: (channels, rate) == (16, 48_000)
    chosen = choose(audio, "default", 3)
    assert (chosen.channels, chosen.channel, chosen.rate) == (16, 3, 48_000)
    assert "refused" in chosen.why


def test_a_default_that_is_a_jetson_ape_input_is_passed_over_with_the_reason() -> None:
    ape = device(0, "NVIDIA Jetson Orin APE: - (hw:1,0)", 16)
    chosen = choose(PortAudio(ape, device(1, "USB")), "default")
    assert (chosen.device, "wired to nothing" in chosen.why) == (1, True)
    assert choose(PortAudio(ape), "default").device == 0
    assert choose(PortAudio(ape, device(1, "USB")), "jetson").device == 0


def test_names_are_exact_first_then_parts_then_sources_behind_a_server() -> None:
    audio = PortAudio(device(0, "USB Audio 2"), device(1, "USB Audio"), device(2, "pulse", 32))
    assert choose(audio, "USB Audio").device == 1
    assert choose(audio, "audio 2").device == 0
    assert choose(audio, "2").device == 2
    assert "PULSE_SOURCE" not in os.environ
    chosen = choose(audio, "alsa_input.usb-mic")
    assert (chosen.device, chosen.rate) == (2, SAMPLE_RATE)
    assert os.environ["PULSE_SOURCE"] == "alsa_input.usb-mic"
    assert os.environ["PULSE_PROP"] == "node.dont-reconnect=true"
    choose(audio, "default")
    assert "PULSE_SOURCE" not in os.environ


@pytest.mark.parametrize(
    ("mic", "channel", "says"),
    [
        ("nosuch", 1, "no microphone 'nosuch'"),
        ("7", 1, "no microphone '7'"),
        ("-1", 1, "no microphone '-1'"),
        ("", 1, "name is empty"),
        (" ", 1, "name is empty"),
        ("0", 3, "channel 3"),
    ],
)
def test_a_microphone_that_is_not_there_is_one_sentence(mic: str, channel: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        choose(PortAudio(device(0, "USB")), mic, channel)


def test_without_wait_a_missing_microphone_is_an_error_and_with_wait_it_is_waited_for() -> None:
    audio, clock = PortAudio(), Clock()
    with pytest.raises(InputError, match="no microphone found"):
        microphone(audio, clock)
    mic = microphone(audio, clock, wait=True)
    assert (mic.state, mic.read(0)) == ("missing", None)
    mic.look()
    assert (mic.state, mic.reconnects) == ("missing", 0)
    audio.devices.append(USB)
    mic.look()
    assert (mic.state, mic.reconnects, len(audio.open)) == ("listening", 1, 1)


def test_callbacks_that_stop_are_noticed_though_the_stream_says_it_is_active() -> None:
    audio, clock = PortAudio(USB), Clock()
    mic = microphone(audio, clock)
    clock.now += FIRST - 0.01  # the first sound may take 1.9 s
    mic.look()
    audio.open[0].hear(0.1)
    first = audio.open[0]
    clock.now += LOST - 0.01
    mic.look()
    assert audio.open == [first]
    clock.now += 0.02
    mic.look()
    assert first.aborted
    assert audio.open != [first]
    assert mic.reconnects == 1


def test_time_without_a_stream_is_a_jump_on_the_axis() -> None:
    audio, clock = PortAudio(USB), Clock()
    mic = microphone(audio, clock)
    audio.open[0].hear(0.1)
    assert (block := mic.read(0)) is not None
    assert block.end == 160
    audio.open[0].active = False
    mic.look()
    clock.now += 2.0
    audio.open[0].hear(0.1)
    assert (block := mic.read(0)) is not None
    assert (block.start, block.end) == (32_000, 32_160)


def test_a_device_lost_with_its_server_is_closed_and_opened_when_it_is_back() -> None:
    audio, clock = PortAudio(USB), Clock()
    mic = microphone(audio, clock)
    audio.daemon_is_dead, audio.open[0].active, audio.devices = True, False, []
    mic.look()
    assert (mic.state, audio.open, audio.initialized) == ("missing", [], 1)
    audio.devices, audio.refuses_start = [USB], True
    mic.look()
    assert (mic.state, audio.open) == ("missing", [])
    audio.daemon_is_dead = audio.refuses_start = False
    mic.look()
    assert (mic.state, len(audio.open)) == ("listening", 1)


def test_a_portaudio_that_fails_to_end_or_to_start_is_tried_again() -> None:
    audio, clock = PortAudio(USB), Clock()
    mic = microphone(audio, clock)
    fail = True

    def initialize() -> None:
        if fail:
            raise PortAudioError("Internal PortAudio error")
        audio.initialized = 1

    def terminate() -> None:
        if audio.initialized == 0:
            raise PortAudioError("PortAudio not initialized [PaErrorCode -10000]")
        audio.initialized = 0

    audio._initialize, audio._terminate = initialize, terminate  # type: ignore[method-assign]
    audio.open[0].active = False
    audio.devices = []
    for _ in range(5):
        mic.look()
    assert (mic.state, audio.initialized) == ("missing", 0)
    fail, audio.devices = False, [USB]
    mic.look()
    assert (mic.state, audio.initialized) == ("listening", 1)


def test_devices_are_listed_anew_after_a_change_and_otherwise_seldom() -> None:
    clock, around = Clock(), ["one card"]
    search = DeviceSearch(clock, lambda: list(around))

    def listed(seconds: float) -> list[float]:
        times, end = [], clock.now + seconds
        while clock.now < end:
            if search.worthwhile():
                times.append(clock.now)
                search.done()
            clock.now += 1.0
        return times

    search.lost()
    start = clock.now
    # Opening alone is tried first; then one listing, and one a minute while nothing changes.
    assert listed(130) == [start + 3, start + 63, start + 123]
    around.append("another card")
    start = clock.now
    assert listed(30) == [start + k for k in range(10)]
    search.lost()
    assert [search.worthwhile() for _ in range(4)] == [False, False, False, True]
    # One that failed is owed.
    assert search.worthwhile()
    search.done()
    assert not search.worthwhile()


def test_a_card_or_a_server_s_socket_that_appears_changes_the_surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.audio.portaudio.CARDS", tmp_path / "cards")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    nothing = surroundings()
    assert surroundings() == nothing
    (tmp_path / "cards").write_text(" 0 [PCH]\n")
    card = surroundings()
    assert card != nothing
    (tmp_path / "pulse").mkdir()
    (tmp_path / "pulse" / "native").touch()
    assert surroundings() not in (nothing, card)


def test_listing_devices_does_not_ask_for_a_source_that_may_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key in PULSE_KEYS:
        monkeypatch.setenv(key, "gone")
    restart(PortAudio(USB))
    assert not set(PULSE_KEYS) & set(os.environ)


def test_nothing_leaks_over_1000_reconnects() -> None:
    audio, clock = PortAudio(USB), Clock()
    mic = microphone(audio, clock)

    def lose() -> None:
        audio.open[0].hear(0.1)
        mic.read(0)
        clock.now += 1.0
        mic.look()

    lose()
    before = (len(os.listdir("/proc/self/fd")), threading.active_count())
    for _ in range(1000):
        lose()
    assert mic.reconnects == 1001
    assert (len(audio.open), audio.initialized) == (1, 1)
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
    mic.close()
    assert audio.open == []


def test_a_sound_system_that_hangs_ends_the_run_with_a_sentence_and_the_process_can_exit(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    audio, clock = PortAudio(USB), Clock()
    hung, let_go = threading.Event(), threading.Event()
    forgotten: list[object] = []
    monkeypatch.setattr("atexit.unregister", forgotten.append)

    def never_returns(**settings: object) -> None:
        hung.set()
        let_go.wait()
        raise PortAudioError("too late")

    mic = Microphone("default", 12, clock=clock, sounddevice=audio)
    assert mic.read(0) is None  # silence alone is no error, however long
    audio.InputStream = never_returns  # type: ignore[assignment,method-assign]
    clock.now += 1000
    assert hung.wait(5)
    assert mic.read(0) is None
    clock.now += STUCK + 1
    with pytest.raises(MissingError, match="hung for 20 s over microphone 'default'; start again"):
        mic.read(0)
    os.write(2, b"why it ends\n")  # opening is silenced, which must not outlive it
    assert "why it ends" in capfd.readouterr().err
    mic._thread.join = lambda timeout=None: None  # type: ignore[method-assign]
    mic.close()
    assert forgotten == [audio._exit_handler]  # which would wait for ever
    let_go.set()
    threading.Thread.join(mic._thread)


def test_pulse_audio_is_told_to_spare_shared_memory_and_the_user_s_settings_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "pulse"
    (home / "client.conf.d").mkdir(parents=True)
    (home / "client.conf").write_text("default-source = mine\n")
    (home / "client.conf.d" / "more.conf").write_text("autospawn = no\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("PULSE_CLIENTCONFIG", "")
    _spare_shared_memory.__wrapped__()
    assert Path(os.environ["PULSE_CLIENTCONFIG"]).read_text().splitlines() == [
        f".include {home}/client.conf",
        f".include {home}/client.conf.d/more.conf",
        "enable-shm = no",
    ]
    monkeypatch.setenv("PULSE_CLIENTCONFIG", str(home / "client.conf.d" / "more.conf"))
    assert pulse_config() == [home / "client.conf.d" / "more.conf"]


def test_a_service_s_user_without_a_home_has_the_system_s_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key in ("PULSE_CLIENTCONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(key, "")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as where nobody knows it
    assert all(path.is_relative_to("/etc/pulse") for path in pulse_config())


def test_silenced_file_descriptors_come_back(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        os.write(2, b"ALSA lib noise\n")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
    with quiet():
        os.write(2, b"ALSA lib noise\n")
        loud()  # what made us quiet hangs
        os.write(2, b"why it ends\n")
    assert capfd.readouterr().err == "why it ends\n"


def test_capture_time_is_the_sample_clock_not_the_burst() -> None:
    arrivals = ArrivalClock(1000)
    # Blocks of 10 ms that come in pairs, every 20 ms.
    found = [arrivals.captured_at(10 * n, 7 + 0.01 * (n + n % 2)) for n in range(1, 60)]
    assert found[5:] == pytest.approx([7 + 0.01 * n for n in range(6, 60)])


def test_a_device_clock_that_drifts_for_a_day_never_ages_a_block() -> None:
    # 200 ppm for a day are 17 s. Every 10 s the last 40 blocks of them are looked at.
    for rate in (0.9998, 1.0002):
        arrivals, ages = ArrivalClock(16_000), []
        for second in range(0, 86_400, 10):
            for n in range(second * 100, second * 100 + 40):
                arrived = 5 + (n + 1) * 0.01 * rate
                ages.append(arrived - arrivals.captured_at((n + 1) * 160, arrived))
        assert max(abs(a) for a in ages[40:]) < 0.1 if rate < 1 else True
        # Once the window is full of new blocks the age is that of 0.3 s of drift: nothing.
        assert abs(ages[-1]) < 0.001


def test_audio_lost_inside_the_device_is_forgotten_within_0_4_s() -> None:
    arrivals = ArrivalClock(16_000)
    for n in range(100):
        arrivals.captured_at((n + 1) * 160, (n + 1) * 0.01)
    ages = []
    for n in range(100, 140):  # 0.6 s are missing, and no flag says so
        arrived = (n + 1) * 0.01 + 0.6
        ages.append(arrived - arrivals.captured_at((n + 1) * 160, arrived))
    assert ages[0] == pytest.approx(0.6)
    assert ages[-1] == pytest.approx(0.0, abs=1e-9)


def test_an_offset_fades_without_a_step_and_speech_passes() -> None:
    level, out = LevelMeter(), []
    time = np.arange(160 * 200) / 16_000
    voice = (0.1 * np.sin(2 * np.pi * 110 * time)).astype(np.float32)
    for n in range(200):
        out.append(level.push(voice[n * 160 : (n + 1) * 160] + np.float32(0.3)))
    heard = np.concatenate(out)
    assert abs(heard[-16_000:].mean()) < 0.003
    assert np.abs(heard[-16_000:] - voice[-16_000:]).max() < 0.02
    assert np.abs(np.diff(heard)).max() < np.abs(np.diff(voice)).max() * 1.1


def test_blocks_of_nan_and_infinity_are_silence_and_clipped_ones_stay_in_range() -> None:
    audio, clock = PortAudio(USB), Clock()
    mic = microphone(audio, clock)
    for value, expected in ((np.nan, 0), (np.inf, 0), (-np.inf, 0), (1e-40, 0), (30.0, 1)):
        audio.open[0].hear(value)
        block = mic.read(0)
        assert block is not None
        assert abs(block.samples[0] - expected) < 1e-6
        assert np.isfinite(block.samples).all()
        mic._opening.level = LevelMeter()  # type: ignore[union-attr]


def test_an_index_never_means_a_name_that_holds_it() -> None:
    audio = PortAudio(device(0, "USB 1 (hw:1,0)"), device(2, "pulse", 32))
    with pytest.raises(InputError, match="no microphone '1' by that index"):
        choose(audio, "1")


def test_without_a_channel_the_one_with_the_voice_is_heard(demo: np.ndarray) -> None:
    audio, clock = PortAudio(device(0, "headset", 2, 16_000.0)), Clock()
    mic = microphone(audio, clock)
    assert str(mic._choice) == (
        "'headset': channel with the voice of 2, 16000 Hz, the default; 16 kHz is taken"
    )
    heard, stream = [], audio.open[0]
    for start in range(0, 3 * SAMPLE_RATE, 160):
        stream._data[:, 0], stream._data[:, 1] = 0.25, demo[start : start + 160]
        stream.settings["callback"](stream._data, 160, None, None)
        clock.now += 0.01
        block = mic.read(0)
        assert block is not None
        heard.append(block.samples)
    late = np.concatenate(heard)[2 * SAMPLE_RATE :]
    assert np.corrcoef(late, demo[2 * SAMPLE_RATE : 3 * SAMPLE_RATE])[0, 1] > 0.99


def test_a_source_of_a_server_is_not_asked_for_a_channel_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pactl"
    program.write_text("#!/bin/sh\nprintf '1\\tdesk\\tmodule.c\\ts16le 2ch 48000Hz\\tIDLE\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    audio = PortAudio(device(0, "pulse", 32))
    assert choose(audio, "desk", 2).channel == 2
    with pytest.raises(InputError, match="source 'desk' has no channel 3, only 2"):
        choose(audio, "desk", 3)
