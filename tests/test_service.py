"""What systemd is told, on the very socket it would listen on."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from edge.contract import BlendshapeFrame
from edge.service.sd_notify import PATIENCE, STATUS_EVERY, open_service
from tests.fakes import DEMO, ROOT


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Stats:
    def __init__(self):
        self.faces = self.rested = 0
        self.dropped = {}

    def latency_ms(self):
        return 7.14, 9.86


class Source:
    dropped = 0
    state = "listening"


class Manager:
    """systemd's end of the socket."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def received(self):
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


FACE = BlendshapeFrame(np.zeros(52, np.float32), 0, 0.0)


class Kiosk:
    """A service, its clock, its stats and the manager that listens."""

    def __init__(self, manager, name, **environ):
        self.manager, self.clock, self.stats, self.source = manager, Clock(), Stats(), Source()
        environ = {"NOTIFY_SOCKET": name, **environ}
        self.service = open_service(self.stats, self.source, environ, self.clock)

    def speak(self, seconds, fps=60):
        self._run("faces", seconds, fps)

    def rest(self, seconds, fps=60):
        self._run("rested", seconds, fps)

    def _run(self, kind, seconds, fps):
        for _ in range(round(seconds * fps)):
            self.clock.now += 1 / fps
            setattr(self.stats, kind, getattr(self.stats, kind) + 1)
            self.service.send(FACE)


@pytest.fixture
def kiosk(tmp_path):
    kiosk = Kiosk(Manager(str(tmp_path / "n")), str(tmp_path / "n"), WATCHDOG_USEC="8000000")
    yield kiosk
    kiosk.manager.socket.close()
    kiosk.service._notify.close()


def test_a_name_that_begins_with_at_is_an_abstract_socket():
    manager = Manager(f"\0edgetalk-test-{os.getpid()}")
    kiosk = Kiosk(manager, f"@edgetalk-test-{os.getpid()}")
    kiosk.speak(1 / 60)
    kiosk.service.close()
    assert manager.received() == ["READY=1", "STOPPING=1"]
    manager.socket.close()


def test_nothing_is_opened_where_no_manager_asked():
    assert open_service(Stats(), Source(), {}) is None
    assert open_service(Stats(), Source(), {"NOTIFY_SOCKET": "vsock:2:1"}) is None


def test_ready_comes_once_with_the_first_face_from_audio(kiosk):
    kiosk.rest(1.0)
    assert "READY=1" not in kiosk.manager.received()
    kiosk.speak(1 / 60)
    assert kiosk.manager.received() == ["READY=1"]
    kiosk.speak(1)
    assert "READY=1" not in kiosk.manager.received()


def test_a_kiosk_without_its_microphone_is_ready_after_three_seconds_at_rest(kiosk):
    kiosk.source.state = "missing"
    kiosk.rest(PATIENCE - 0.1)
    assert "READY=1" not in kiosk.manager.received()
    kiosk.rest(0.2)
    assert "READY=1" in kiosk.manager.received()
    kiosk.rest(STATUS_EVERY)
    (status,) = (text for text in kiosk.manager.received() if text.startswith("STATUS="))
    assert status.startswith("STATUS=waiting for microphone; 60.0 faces/s")


def test_a_listening_microphone_that_says_nothing_is_told_apart(kiosk):
    kiosk.rest(STATUS_EVERY + 0.1)
    (status,) = (text for text in kiosk.manager.received() if text.startswith("STATUS="))
    assert status.startswith("STATUS=microphone listening, no audio; 60.0 faces/s")


def test_the_watchdog_is_fed_by_faces_a_quarter_of_its_time_apart(kiosk):
    kiosk.speak(8.0)  # WatchdogSec=8
    assert kiosk.manager.received().count("WATCHDOG=1") == 4


def test_the_watchdog_starves_when_no_face_leaves(kiosk):
    kiosk.speak(1.0)
    kiosk.manager.received()
    kiosk.clock.now += 60
    assert kiosk.manager.received() == []


def test_a_watchdog_meant_for_another_process_is_not_fed(tmp_path):
    manager = Manager(str(tmp_path / "n"))
    kiosk = Kiosk(manager, str(tmp_path / "n"), WATCHDOG_USEC="8000000", WATCHDOG_PID="1")
    kiosk.speak(8.0)
    assert "WATCHDOG=1" not in manager.received()
    kiosk.service.close()
    manager.socket.close()


def test_status_tells_mic_rate_latency_rest_and_drops_of_the_last_seconds(kiosk):
    kiosk.speak(2.5)
    kiosk.manager.received()
    kiosk.speak(1.0)
    kiosk.rest(0.5)
    kiosk.stats.dropped = {"late": 2}
    kiosk.source.dropped = 1
    kiosk.speak(0.5)
    (status,) = (text for text in kiosk.manager.received() if text.startswith("STATUS="))
    assert status == (
        "STATUS=microphone listening; 60.0 faces/s, latency p50 7.1 ms, p99 9.9 ms, "
        "30 at rest, 3 dropped"
    )


def test_status_comes_at_most_once_a_second(kiosk):
    kiosk.speak(10)
    assert 1 <= sum(text.startswith("STATUS=") for text in kiosk.manager.received()) <= 10


def test_a_reload_is_announced_and_ends_with_the_next_face(kiosk):
    kiosk.speak(0.1)
    kiosk.manager.received()
    kiosk.service.reloading()
    (messages,) = kiosk.manager.received()
    first, second = messages.split("\n")
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    assert int(second.partition("=")[2]) > 0
    kiosk.speak(1 / 60)
    assert kiosk.manager.received() == ["READY=1"]


def test_a_manager_that_is_gone_stops_no_face(tmp_path):
    kiosk = Kiosk(None, str(tmp_path / "nobody"), WATCHDOG_USEC="8000000")
    kiosk.speak(10)
    kiosk.service.close()


def test_ready_is_told_again_if_the_manager_was_too_busy_to_hear_it(tmp_path):
    kiosk = Kiosk(None, str(tmp_path / "n"))
    kiosk.speak(1 / 60)
    manager = Manager(str(tmp_path / "n"))
    kiosk.speak(1 / 60)
    assert manager.received() == ["READY=1"]
    kiosk.service.close()
    manager.socket.close()


def test_edge_run_tells_the_manager_when_it_begins_and_when_it_ends(tmp_path):
    """The whole program; where no systemd can be booted, this is what is left of that test."""
    manager = Manager(str(tmp_path / "n"))
    manager.socket.settimeout(20)
    words = ["--mic", f"file:{DEMO}", "--to", "vmc://127.0.0.1:39539"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edge.cli", *words],
        env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "1000000"},
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        messages = {manager.socket.recv(4096).decode() for _ in range(2)}
        process.terminate()
        _, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
    assert messages == {"READY=1", "WATCHDOG=1"}
    assert process.returncode == 0, stderr
    manager.socket.setblocking(False)
    assert manager.received()[-1] == "STOPPING=1"
    manager.socket.close()
