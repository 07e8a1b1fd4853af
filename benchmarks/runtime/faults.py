"""What happens to a microphone, and how soon the face is at rest and alive again.

``python -m benchmarks.runtime.faults``: every fault once on a PipeWire server of its own, some on
PulseAudio.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks import RESULTS
from benchmarks.runtime.loop_thread import LoopThread
from benchmarks.runtime.sound_server import PIPEWIRE, PULSEAUDIO, SoundServer, missing_tools, voice
from edge.audio.microphone import Microphone
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from quantize.evaluation.record import write_record


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fault. Times in seconds; nan where the fault has no such moment."""

    rest_s: float
    """From the loss of audio to a mouth at rest."""
    back_s: float
    """From the return of the voice to a mouth that moves."""
    longest_pause_s: float
    """Longest time between two faces sent; receivers give up after 0.5 s."""
    reconnects: int
    note: str = ""


class Scene:
    """A server, a microphone with a voice in it, and a face."""

    def __init__(self, server: SoundServer, plugged: bool = True, rate: int = 48_000) -> None:
        self.server, self.rate = server, rate
        if plugged:
            self.plug()
        self.live = LoopThread(Microphone("mic.monitor", 12, wait=True))
        self.avatar = self.live.avatar
        self.began = time.monotonic()

    def plug(self) -> None:
        """The microphone is there and somebody speaks into it."""
        self.server.plug("mic", self.rate)
        self.speak()

    def speak(self) -> None:
        """Somebody speaks."""
        self.server.play("mic", voice(60))

    def until_alive(self, limit: float = 6.0) -> float:
        """Wait for the mouth to move; returns seconds."""
        then = time.monotonic()
        while math.isnan(self.avatar.moved_after(then)) and time.monotonic() < then + limit:
            time.sleep(0.05)
        return self.avatar.moved_after(then)

    def outcome(self, lost: float, back: float, note: str = "") -> Outcome:
        """What was seen so far, in figures."""
        times = np.array([t for t, _, _ in self.avatar.faces])
        pause = float(np.diff(times).max()) if len(times) > 1 else math.nan
        rest = math.nan if math.isnan(lost) else self.avatar.closed_after(lost)
        return Outcome(rest, back, pause, self.live.source.reconnects, note)

    def close(self) -> None:
        """Put everything away."""
        self.live.close()


def missing_at_start(server: SoundServer) -> Outcome:
    """The microphone comes two seconds after the program."""
    with closing(Scene(server, plugged=False)) as scene:
        time.sleep(2.0)
        at_rest = len(scene.avatar.faces)
        scene.plug()
        return scene.outcome(math.nan, scene.until_alive(), f"{at_rest} faces at rest meanwhile")


def unplugged(server: SoundServer) -> Outcome:
    """The microphone is pulled out and put back."""
    with closing(Scene(server)) as scene:
        scene.until_alive()
        time.sleep(1.0)
        lost = time.monotonic()
        server.unplug("mic")
        time.sleep(2.0)
        scene.plug()
        return scene.outcome(lost, scene.until_alive())


def frozen(server: SoundServer) -> Outcome:
    """Callbacks stop while ``active`` stays true, as with a suspended source."""
    with closing(Scene(server)) as scene:
        scene.until_alive()
        time.sleep(1.0)
        lost = time.monotonic()
        server.freeze(True)
        time.sleep(2.0)
        server.freeze(False)
        return scene.outcome(lost, scene.until_alive())


def suspended(server: SoundServer) -> Outcome:
    """The server puts the microphone to sleep and wakes it."""
    with closing(Scene(server)) as scene:
        scene.until_alive()
        time.sleep(1.0)
        lost = time.monotonic()
        server.suspend("mic", True)
        time.sleep(5.0)  # longer than a stream without a first callback is given
        server.suspend("mic", False)
        return scene.outcome(lost, scene.until_alive())


def restarted(server: SoundServer) -> Outcome:
    """The sound server is killed and started again."""
    with closing(Scene(server)) as scene:
        scene.until_alive()
        time.sleep(1.0)
        lost = time.monotonic()
        server.kill()
        time.sleep(2.0)
        server.start()
        scene.plug()
        return scene.outcome(lost, scene.until_alive())


def moved(server: SoundServer) -> Outcome:
    """Another microphone with steady noise is there when ours goes: we must not listen to it."""
    with closing(Scene(server)) as scene:
        server.plug("other")
        server.play("other", voice(60))
        scene.until_alive()
        time.sleep(1.0)
        lost = time.monotonic()
        server.unplug("mic")
        time.sleep(2.0)
        wrong = not math.isnan(scene.avatar.moved_after(lost + 0.5))
        scene.plug()
        outcome = scene.outcome(lost, scene.until_alive(), "heard the other one" if wrong else "")
        server.unplug("other")
        return outcome


def dirt(kind: str) -> Callable[[SoundServer], Outcome]:
    """A fault in the samples: how soon is the mouth at rest with it, and alive with a voice?"""
    rng = np.random.default_rng(0)
    t = np.arange(16_000 * 8) / 16_000

    def scenario(server: SoundServer) -> Outcome:
        noise = {
            "nan": np.where(rng.random(len(t)) < 0.01, np.nan, 0.0),
            "infinite": np.where(rng.random(len(t)) < 0.01, np.inf, 0.0),
            "denormal": np.full(len(t), 1e-40),
            "DC": np.full(len(t), 0.3),
            "hum": 0.05 * np.sin(2 * np.pi * 50 * t) + 0.02 * np.sin(2 * np.pi * 150 * t),
        }[kind]
        with closing(Scene(server)) as scene:
            scene.until_alive()
            time.sleep(1.0)
            lost = time.monotonic()
            server.play("mic", noise.astype(np.float32))
            time.sleep(7.0)
            seen = scene.avatar.since(lost + 1)
            note = f"mouth at most {seen[:, 1].max():.2f} from rest in seconds 1 to 7"
            scene.speak()
            return scene.outcome(lost, scene.until_alive(), note)

    return scenario


def clipping(server: SoundServer) -> Outcome:
    """A voice 30 dB too loud."""
    with closing(Scene(server)) as scene:
        scene.until_alive()
        server.play("mic", np.clip(voice(20) * 30, -1, 1))
        return scene.outcome(math.nan, scene.until_alive())


FAULTS: dict[str, Callable[[SoundServer], Outcome]] = {
    "missing at start": missing_at_start,
    "unplugged": unplugged,
    "frozen (suspended)": frozen,
    "server restarted": restarted,
    "unplugged beside another": moved,
    "clipping": clipping,
    **{kind: dirt(kind) for kind in ("nan", "infinite", "denormal", "DC", "hum")},
}

PULSE_FAULTS = {
    **{n: FAULTS[n] for n in ("missing at start", "unplugged", "server restarted")},
    "frozen": frozen,
    "suspended": suspended,
}


def main() -> None:
    """Run, print a table, write JSON."""
    p = argparse.ArgumentParser("benchmarks.runtime.faults", description=__doc__)
    p.add_argument("--only", help="one fault by name, as in the table")
    args = p.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if absent := missing_tools() + missing_tools(PULSEAUDIO):
        raise SystemExit(f"faults: not installed: {', '.join(absent)}")
    rows = [(name, PIPEWIRE, scenario) for name, scenario in FAULTS.items()]
    rows += [(f"PulseAudio: {name}", PULSEAUDIO, do) for name, do in PULSE_FAULTS.items()]
    table = {}
    print(f"{'fault':28} {'rest s':>7} {'back s':>7} {'pause s':>8} reconnects")
    for name, daemons, scenario in rows:
        if args.only in (None, name):
            with closing(SoundServer(daemons)) as server:
                o = scenario(server)
            print(
                f"{name:28} {o.rest_s:7.2f} {o.back_s:7.2f} {o.longest_pause_s:8.3f} "
                f"{o.reconnects:5}  {o.note}",
                flush=True,
            )
            table[name] = {k: None if v != v else v for k, v in asdict(o).items()}
    if args.only is None:
        print(
            write_record("faults", {"bundle": read_bundle(DEFAULT).hash, "faults": table}, RESULTS)
        )


if __name__ == "__main__":
    main()
