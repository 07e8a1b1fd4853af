"""Faults on a real PulseAudio daemon, started here in a runtime folder of its own, no PipeWire."""

from __future__ import annotations

from contextlib import closing

import pytest

from benchmarks.runtime.faults import PULSE_FAULTS
from benchmarks.runtime.sound_server import PULSEAUDIO, SoundServer
from tests.integration.sound import absent

pytestmark = pytest.mark.skipif(
    bool(absent(PULSEAUDIO)),
    reason=f"NO FAULT OF A REAL PULSEAUDIO IS TESTED: {absent(PULSEAUDIO)} not installed "
    "(apt install pulseaudio pulseaudio-utils libasound2-plugins libportaudio2 dbus-daemon)",
)


QUICK = ("unplugged", "server restarted", "suspended")


@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=() if f in QUICK else pytest.mark.slow) for f in PULSE_FAULTS],
)
def test_faces_never_stop_rest_during_the_fault_and_move_after_it(fault: str) -> None:
    with closing(SoundServer(PULSEAUDIO)) as server:
        outcome = PULSE_FAULTS[fault](server)
    assert outcome.longest_pause_s < 0.5  # receivers give up after that
    assert outcome.back_s < 6  # nan is not
    assert outcome.reconnects >= 1
    if fault != "missing at start":
        assert outcome.rest_s < 1.5
