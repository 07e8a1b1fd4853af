"""Faults on a real PipeWire server, started here in a runtime folder of its own.

The figures of issue and README come from ``benchmarks.runtime.faults``; the limits here are wide,
because a busy machine must not turn a test red.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.runtime.faults import FAULTS
from benchmarks.runtime.sound_server import SoundServer, voice
from edge.audio.microphone import Microphone
from edge.audio.portaudio import import_sounddevice, quiet, restart
from edge.contract import InputError
from tests.integration.sound import absent

pytestmark = pytest.mark.skipif(
    bool(absent()),
    reason=f"NO REAL MICROPHONE FAULT IS TESTED: {absent()} not installed (apt install pipewire "
    "wireplumber pipewire-pulse pulseaudio-utils libasound2-plugins libportaudio2 dbus-daemon)",
)

BACK_IN = {name for name in FAULTS if name not in ("missing at start", "clipping")}


@pytest.fixture
def server() -> Iterator[SoundServer]:
    with closing(SoundServer()) as made:
        yield made


QUICK = ("missing at start", "unplugged", "frozen (suspended)", "server restarted")


@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=() if f in QUICK else pytest.mark.slow) for f in FAULTS],
)
def test_faces_never_stop_rest_during_the_fault_and_move_after_it(
    server: SoundServer, fault: str
) -> None:
    outcome = FAULTS[fault](server)
    assert outcome.longest_pause_s < 0.5  # receivers give up after that
    assert outcome.back_s < 6  # nan is not
    if fault in BACK_IN:
        assert outcome.rest_s < 1.5
    assert "heard the other one" not in outcome.note
    if "away" in outcome.note:
        assert float(outcome.note.split()[1]) < 0.1


def test_a_source_that_does_not_exist_is_refused_by_its_name(server: SoundServer) -> None:
    server.plug("mic")
    with pytest.raises(InputError, match=r"'nosuch\.monitor' cannot be opened"):
        Microphone("nosuch.monitor", 12)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_named_source_at_its_own_rate_carries_the_voice(server: SoundServer, rate: int) -> None:
    server.play(server.plug("mic", rate, 2).removesuffix(".monitor"), voice(30))
    loudest, till = 0.0, time.monotonic() + 10
    with closing(Microphone("mic.monitor", 12)) as mic:
        while loudest < 0.05 and time.monotonic() < till:
            if (block := mic.read(0.1)) is not None:
                loudest = max(loudest, float(abs(block.samples).max()))
    assert loudest >= 0.05


ALONE = """
import json, sys
from contextlib import closing
from benchmarks.runtime.reconnects import measure
from benchmarks.runtime.sound_server import SoundServer
with closing(SoundServer()) as server:
    found = measure(server, int(sys.argv[1]), unplugs=2, missing_s=5)
with open(sys.argv[2], "w") as file:
    json.dump(found, file)
"""


@pytest.mark.parametrize("times", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_reconnects_leave_no_thread_no_file_and_no_memory(times: int, tmp_path: Path) -> None:
    # In a process of its own: this one has grown by whatever tests ran before, and still does.
    path = tmp_path / "found.json"
    subprocess.run([sys.executable, "-c", ALONE, str(times), str(path)], check=True, timeout=3600)
    found = json.loads(path.read_text())
    for rows in (found["stream_ends"], found["unplugged"]):
        before, after = rows[0], rows[-1]
        assert (after["threads"], after["fds"]) == (before["threads"], before["fds"])
        assert after["rss_kb"] - before["rss_kb"] < 2000


class MallInfo(ctypes.Structure):
    _fields_ = tuple((f"field{n}", ctypes.c_size_t) for n in range(10))
    """The eighth, ``uordblks``, is what is in use."""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="NO LEAK OF PORTAUDIO'S RESTART IS LOOKED FOR: it needs glibc 2.33 or later",
)
def test_listing_devices_anew_keeps_no_memory() -> None:
    sounddevice = import_sounddevice()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = MallInfo

    def used(rounds: int) -> int:
        with quiet():
            for _ in range(rounds):
                restart(sounddevice)
        return int(mallinfo2().field7)

    before = used(10)
    assert used(30) - before < 100_000
