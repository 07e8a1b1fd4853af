"""Latency, the deadline, the ladder and the books, on a clock that only moves when told to."""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import pytest

from edge import realtime
from edge.contract import FPS, SAMPLE_RATE, AudioBlock, BlendshapeFrame, Floats
from edge.load_shedder import DOWN, HALF_RATE, HALF_STEPS, METER, RECORD, STEPS, UP, LoadShedder
from edge.pipeline import Pipeline
from edge.run_stats import BOUNDS, RunStats, quantile
from edge.runtime import run
from tests.fakes import fake_bundle

BLOCK = SAMPLE_RATE // 100


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Engine:
    """Counts its steps; hands out the same array every time, as the real one does."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.steps, self._out = 0, {name: np.zeros(shape, np.float32)}
        self._name = name

    def step(self, **inputs: Floats) -> dict[str, Floats]:
        self.steps += 1
        self._out[self._name][...] = self.steps
        return self._out

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


class Sink:
    def __init__(self, duty: str = "output") -> None:
        self.duty, self.frames = duty, list[BlendshapeFrame]()

    def send(self, frame: BlendshapeFrame) -> None:
        self.frames.append(frame)

    def close(self) -> None:
        pass


class Script:
    """A source: (seconds that pass, block) pairs; ``None`` for a block means silence."""

    state, dropped, reconnects = "listening", 0, 0

    def __init__(self, clock: Clock, script: list[tuple[float, AudioBlock | None]]) -> None:
        self._clock, self._script = clock, script

    def read(self, timeout: float) -> AudioBlock | None:
        if not self._script:
            raise EOFError
        wait, block = self._script[0]
        if wait > timeout:
            self._script[0] = (wait - timeout, block)
            self._clock.now += timeout + 1e-9
            return None
        self._script.pop(0)
        self._clock.now += wait
        return block

    def close(self) -> None:
        pass


def pipeline(lookahead: int = 0) -> Pipeline:
    return Pipeline(
        fake_bundle(lookahead), (Engine("latent", (1, 1, 4)), Engine("weights", (1, 1, 52)))
    )


def block(n: int, captured_at: float, start: int | None = None) -> AudioBlock:
    samples = np.full(BLOCK, 0.1, np.float32)
    return AudioBlock(samples, n * BLOCK if start is None else start, captured_at)


def play(
    script: list[tuple[float, AudioBlock | None]], lookahead: int = 0
) -> tuple[RunStats, Sink]:
    clock, stats, sink = Clock(), RunStats(), Sink()
    run(Script(clock, script), pipeline(lookahead), [sink], threading.Event(), stats, clock)
    return stats, sink


def on_time(blocks: int) -> list[tuple[float, AudioBlock | None]]:
    return [(0.01, block(n, 100 + (n + 1) * 0.01)) for n in range(blocks)]


def test_latency_counts_from_the_sample_that_completes_the_face_not_from_its_block() -> None:
    # One block of 300 samples completes face 0 at sample 266, 34 samples before its end.
    samples = np.zeros(300, np.float32)
    stats, sink = play([(0.02, AudioBlock(samples, 0, 100.02))])
    assert sink.frames[0].captured_at == pytest.approx(100.02 - 34 / 16000)
    assert stats.total == pytest.approx(34 / 16000)


def test_a_face_past_the_deadline_is_dropped_and_counted_and_the_next_one_is_sent() -> None:
    script = on_time(100)
    # The worker stalls for a second; what the queue kept of it comes at once.
    for n in range(100, 112):
        script.append((1.0 if n == 100 else 0.0, block(n, 100 + (n + 1) * 0.01)))
    script += [(0.01, block(n, 102.0 + (n - 111) * 0.01)) for n in range(112, 160)]
    stats, sink = play(script)
    assert stats.dropped["late"] == 7  # 12 blocks are 7.2 faces
    assert stats.worst < 0.15
    assert stats.faces + stats.dropped["late"] == stats.captured == 160 * 3 // 5
    assert len(sink.frames) == stats.faces + stats.rested + 1


@pytest.mark.parametrize("lookahead", [0, 2])
def test_every_face_is_shown_or_dropped_across_gaps_short_and_long(lookahead: int) -> None:
    script = on_time(30)
    script += [(0.01, block(n + 5, 100.4 + n * 0.01)) for n in range(30, 60)]  # 50 ms: filled
    script += [(0.01, block(n + 99, 101.0 + n * 0.01)) for n in range(60, 90)]  # anew
    stats, sink = play(script, lookahead)
    assert stats.captured == (90 + 99) * 3 // 5 - lookahead
    assert stats.captured == stats.faces + sum(stats.dropped.values())
    # 94 blocks (56.4 faces) were lost to the long gap, and the faces that waited for them.
    assert stats.dropped["lost"] in (56 + lookahead, 57 + lookahead)
    assert len(sink.frames) == stats.faces + stats.rested + 1


def test_the_look_ahead_at_the_start_is_not_lost() -> None:
    stats, _ = play(on_time(100), lookahead=2)
    assert stats.dropped["lost"] == 0
    assert stats.faces == stats.captured == 60 - 2


def test_faces_go_on_at_rest_within_70_ms_and_are_not_made_up_for_after_a_stall() -> None:
    stats, _ = play([*on_time(10), (0.07 + 10.5 / FPS, None)])
    assert stats.rested == 11


def test_faces_at_rest_that_a_stalled_output_missed_are_not_made_up_for() -> None:
    clock, stats = Clock(), RunStats()

    class Stalls(Sink):
        def send(self, frame: BlendshapeFrame) -> None:
            super().send(frame)
            if len(self.frames) == 3:
                clock.now += 1.0

    # Three faces in 0.07 s and 2/60 s; after the stall one at once and four in 4/60 s.
    script: list[tuple[float, AudioBlock | None]] = [(0.07 + 6.5 / FPS, None)]
    run(Script(clock, script), pipeline(), [Stalls()], threading.Event(), stats, clock)
    assert stats.rested == 8


def test_the_mouth_is_at_rest_within_0_3_s_of_lost_audio() -> None:
    faces = round((0.3 - 0.07) * FPS)
    assert (1 - 0.2) ** faces < 0.06  # edge.face.CLOSE a face


def test_quantiles_are_linear_within_a_bucket_and_the_last_bucket_is_open() -> None:
    counts = [0] * (len(BOUNDS) + 1)
    counts[8] = 100  # 0.459 to 0.5 ms
    assert quantile(counts, 0.5) == pytest.approx((BOUNDS[7] + BOUNDS[8]) / 2)
    assert quantile([0] * 98, 0.99) == 0.0
    assert quantile([0] * 97 + [5], 0.99) == BOUNDS[-1] == pytest.approx(1.024)


def test_recent_latency_forgets_what_is_older_than_a_minute() -> None:
    stats = RunStats()
    for _ in range(3600):
        stats.add(0.5)
    for _ in range(3600):
        stats.add(0.002)
    assert stats.latency_ms()[1] < 3
    assert stats.quantile_ms(0.99) > 400
    bounds, counts, total = stats.histogram()
    assert (sum(counts), len(counts)) == (7200, len(bounds) + 1)
    assert total == pytest.approx(3600 * 0.502)
    assert stats.worst == 0.5


def test_the_ladder_goes_down_one_step_at_a_time_logs_each_once_and_climbs_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "edge.load_shedder")
    ladder = LoadShedder(0.05)
    steps = []
    for _ in range(DOWN * 10):
        ladder.add(0.06)
        steps.append(ladder.step)
    assert sorted(set(steps)) == [0, 1, 2, 3, 4]
    assert steps.index(1) == DOWN - 1
    assert len(caplog.records) == 4
    for _ in range(UP * 10):
        ladder.add(0.01)
        steps.append(ladder.step)
    assert ladder.step == 0
    assert len(caplog.records) == 8
    assert caplog.records[-1].message.endswith(STEPS[0])


def test_one_late_face_in_twenty_does_not_move_the_ladder() -> None:
    ladder = LoadShedder(0.05)
    for n in range(DOWN * 10):
        ladder.add(0.2 if n % 20 == 0 else 0.01)
    assert ladder.step == 0


def test_the_ladder_lays_down_the_meter_then_the_record_and_never_the_outputs() -> None:
    ladder = LoadShedder(0.05)
    served = []
    for ladder.step in range(len(STEPS)):
        served.append([d for d in ("meter", "record", "output") if ladder.wants(Sink(d))])
    assert served[METER - 1] == ["meter", "record", "output"]
    assert served[METER] == ["record", "output"]
    assert served[RECORD:] == [["output"]] * 3


def test_a_machine_that_is_late_for_long_sends_half_the_faces_and_steps_half_the_networks() -> None:
    clock, stats, sink, meter = Clock(), RunStats(), Sink(), Sink("meter")
    slow = [(0.01, block(n, 100 + (n + 1) * 0.01 - 0.1)) for n in range(3000)]
    engines = pipeline()
    run(Script(clock, slow), engines, [sink, meter], threading.Event(), stats, clock)
    assert engines.half
    assert stats.dropped["thinned"] > 0.4 * (stats.captured - 4 * DOWN)
    assert stats.captured == stats.faces + sum(stats.dropped.values())
    assert len(meter.frames) < DOWN + 5 < len(sink.frames)
    assert HALF_RATE < HALF_STEPS


def test_at_half_steps_faces_between_are_interpolated() -> None:
    p = pipeline()
    p.half = True
    mels = np.zeros((1, 1, 40), np.float32)
    raws = [float(p._networks(face, mels)[0]) for face in range(6)]
    # The networks count their steps: 1, 2, 3; even faces go half the way there.
    assert raws == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]


def test_refused_rights_are_one_warning_that_names_the_limits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.sched_setscheduler", refuse)
    monkeypatch.setattr(realtime, "_libc_call", lambda *_: False)
    realtime.be_realtime()
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "LimitRTPRIO" in caplog.text
    assert "LimitMEMLOCK" in caplog.text


def test_timer_slack_is_one_nanosecond_after_the_call() -> None:
    found: list[int] = []

    def ask() -> None:  # in a thread of its own: slack belongs to a thread
        if realtime.tight_timers():
            found.append(ctypes.CDLL(None).prctl(30, 0, 0, 0, 0))  # PR_GET_TIMERSLACK

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    if not found:
        pytest.skip("no prctl here: timer slack is a Linux habit")
    assert found == [1]
