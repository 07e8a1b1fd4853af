"""Reloading while faces flow, and outputs that come and go."""

from __future__ import annotations

import json
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.config import Config, EmotionSettings, read_config
from edge.contract import INDEX, AudioBlock, BlendshapeFrame, ConfigError, MissingError
from edge.control.live_settings import LiveSettings
from edge.control.status import describe
from edge.inference.engine import open_engines
from edge.outputs import open_output
from edge.outputs.output_set import Outputs
from edge.pipeline import Pipeline
from edge.run_stats import RunStats
from edge.wiring import make_pipeline
from tests.fakes import FakeClock, FakeSource, noise
from tests.test_control_orders import Desk, FakeSink

FACE = BlendshapeFrame(np.full(52, 0.5, np.float32), 0, 0.0)


def reloaded(new: Config | Callable[[], Config]) -> Desk:
    """A desk after a reload that found ``new``."""
    desk = Desk(load=new if callable(new) else lambda: new)
    desk.outputs.send(FACE)
    desk.live.read_again()
    desk.live.inbox.drain()
    return desk


def test_a_reload_changes_what_can_change_now() -> None:
    new = Config(
        to=("b", "c"), lookahead=0, gains={"jawOpen": 0.5}, emotion=EmotionSettings("sad", 0.5, 0.0)
    )
    desk = reloaded(new)
    assert [row["to"] for row in desk.outputs.listed()] == ["b", "c"]
    assert desk.pipeline.lookahead == 0
    assert desk.live.gains == {"jawOpen": 0.5}
    weights, _ = desk.pipeline.face.shape(np.zeros(52, np.float32), False)
    assert weights[INDEX["mouthFrownLeft"]] > 0.1
    assert desk.pipeline.face.emotion_blend.name == "sadness"


def test_what_waits_for_a_start_is_named_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reloaded(Config(to=("a", "b"), mic="other", bundle="elsewhere", gains={"jawOpen": 2.0}))
    assert caplog.messages == [
        "reload: changed gains",
        "reload: takes effect when edge-run starts again: mic, bundle",
    ]


def test_a_bad_file_is_refused_with_its_reason_and_the_old_one_runs_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text("gainz: {jawOpen: 0.5}\n")
    desk = reloaded(lambda: read_config(path))
    assert caplog.messages == [
        "reload refused, the old configuration runs on: "
        f"{path}: unknown key 'gainz'; did you mean 'gains'?"
    ]
    assert desk.live.config == Config(to=("a", "b"))
    path.write_text("to: [a, b]\ngains: {jawOpen: 0.5}\n")
    desk.live.read_again()
    desk.live.inbox.drain()
    assert desk.live.gains == {"jawOpen": 0.5}


def test_a_lookahead_that_the_bundle_lacks_refuses_the_whole_file(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = reloaded(Config(to=("c",), lookahead=50, gains={"jawOpen": 0.5}))
    assert "look-ahead 50 ms: this bundle offers 0, 33, 67, 133 ms" in caplog.text
    assert desk.live.gains == {}
    assert [row["to"] for row in desk.outputs.listed()] == ["a", "b"]


def test_what_osc_has_set_stays_unless_its_key_changed() -> None:
    desk = Desk(load=lambda: Config(to=("a", "b"), lookahead=0))
    desk.say("/edge/gain", "jawOpen", 1.5)
    desk.say("/edge/lookahead", 133)
    desk.live.read_again()
    desk.live.inbox.drain()
    assert desk.live.gains == {"jawOpen": 1.5}
    assert desk.pipeline.lookahead == 0
    desk.say("/edge/lookahead", 133)
    desk.live.read_again()  # the same file once more
    desk.live.inbox.drain()
    assert desk.pipeline.lookahead == 8


def test_reloads_are_at_least_a_second_apart(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()  # started without --config
    for at, reason in ((0.0, 0), (0.5, 1), (0.9, 2), (1.1, 2)):
        desk.now = at
        desk.say("/edge/reload")
        assert desk.commands.refused["reload"] == reason
    assert sum("without --config" in text for text in caplog.messages) == 1


def test_a_reload_that_fails_each_second_is_logged_once_and_again_when_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "edge.yaml"
    desk = Desk(load=lambda: read_config(path))

    def reload(text: str, times: int) -> None:
        path.write_text(text)
        for _ in range(times):
            desk.live.read_again()
            desk.live.inbox.drain()

    caplog.set_level(logging.INFO)
    reload("gainz: {}\n", 60)
    reload("to: [a, b]\n", 60)
    reload("gainz: {}\n", 60)
    assert [text.partition(":")[0] for text in caplog.messages] == [
        "reload refused, the old configuration runs on",
        "reload",
        "reload refused, the old configuration runs on",
    ]


def test_an_output_that_is_switched_off_hears_a_neutral_face_and_no_more() -> None:
    outputs = Outputs(("a", "b"), FakeSink)
    first, second = outputs.prepare(("a", "b")).values()
    assert isinstance(first, FakeSink)
    assert isinstance(second, FakeSink)
    outputs.enable(1, False)
    outputs.send(FACE)
    outputs.enable(1, False)
    assert [f.weights.max() for f in first.seen] == [0.0]
    assert [f.weights.max() for f in second.seen] == [0.5]
    outputs.enable(1, True)
    outputs.send(FACE)
    assert len(first.seen) == 2
    outputs.enable(7, True)  # a reload has taken it away
    outputs.close()
    assert not first.open
    assert not second.open


def test_a_reload_keeps_open_sinks_and_closes_those_left_out() -> None:
    outputs = Outputs(("a", "b"), FakeSink)
    old = outputs.prepare(("a", "b"))
    outputs.enable(2, False)
    new = outputs.prepare(("c", "b"))
    outputs.adopt(new)
    assert new["b"] is old["b"]
    gone = old["a"]
    assert isinstance(gone, FakeSink)
    assert not gone.open
    assert [f.weights.max() for f in gone.seen] == [0.0]
    assert [row["on"] for row in outputs.listed()] == [True, False]


def test_outputs_that_cannot_all_be_opened_leave_none_open() -> None:
    opened: list[FakeSink] = []

    def open_output(url: str) -> FakeSink:
        if url == "bad":
            raise MissingError("cannot find host")
        opened.append(FakeSink(url))
        return opened[-1]

    outputs = Outputs(("a",), open_output)
    with pytest.raises(MissingError):
        outputs.prepare(("a", "c", "bad"))
    assert [sink.open for sink in opened] == [True, False]
    with pytest.raises(MissingError):
        Outputs(("a", "bad"), open_output)
    assert not opened[-1].open


def test_a_file_that_goes_away_is_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    def gone() -> Config:
        raise ConfigError("edge.yaml: No such file or directory; check --config")

    desk = reloaded(gone)
    assert "No such file" in caplog.text
    assert desk.live.config == Config(to=("a", "b"))


def until_stamp(receiver: socket.socket) -> Iterator[bytes]:
    """Datagrams up to and with ``/edge/time``, the last of a face."""
    data = b""
    while not data.startswith(b"/edge/time"):
        data = receiver.recv(65536)
        yield data


def test_a_new_look_ahead_changes_the_delay_in_json_osc_and_status() -> None:
    bundle = read_bundle(DEFAULT)
    pipeline = Pipeline(bundle, open_engines(bundle), bundle.lookahead_of(67))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        to = f"127.0.0.1:{receiver.getsockname()[1]}"
        config = Config(to=(f"json://{to}", f"osc://{to}?stamp=1"))
        live = LiveSettings(bundle, pipeline, Outputs(config.to, open_output), config)

        def delays(frame: BlendshapeFrame) -> list[float]:
            live.outputs.send(frame)
            found = list(until_stamp(receiver))
            status = describe(live, RunStats(), FakeSource(FakeClock(), []))
            (osc,) = struct.unpack(">f", found[-1][-4:])
            return [json.loads(found[0])["delay"], osc, status["delay"]]

        sound = noise(1.0)
        *_, last = pipeline.push(AudioBlock(sound, 0, 0.0))
        assert delays(last) == pytest.approx([5 / 60] * 3, abs=1e-5)
        live.lookahead(0)
        live.inbox.drain()
        first, *_, last = pipeline.push(AudioBlock(sound, len(sound), 0.0))
        for frame in (first, last, pipeline.rest(0.0)):
            assert delays(frame) == pytest.approx([1 / 60] * 3, abs=1e-5)
        live.lookahead(133)
        live.inbox.drain()
        frames = pipeline.push(AudioBlock(sound, 2 * len(sound), 0.0))
        steps = [round(f.delay * 60) for f in frames[:10]]
        assert steps == [2, 3, 4, 5, 6, 7, 8, 9, 9, 9]  # held until the new one has caught up
        live.outputs.close()


def test_the_configured_gains_and_emotion_are_applied_once_at_the_start() -> None:
    bundle = read_bundle(DEFAULT)
    emotion = EmotionSettings("happy", 0.5, 1.0)
    config = Config(to=(), gains={"mouthSmileLeft": 0.0}, emotion=emotion)
    pipeline = make_pipeline(config, bundle, open_engines(bundle), bundle.lookahead)
    half = [pipeline.rest(0.0) for _ in range(30)][-1]
    assert (half.emotion, half["mouthSmileLeft"]) == ("happiness", 0.0)
    assert half["mouthSmileRight"] > 0.05
    live = LiveSettings(bundle, pipeline, Outputs((), FakeSink), config)
    assert live.gains == {"mouthSmileLeft": 0.0}
    whole = [pipeline.rest(0.0) for _ in range(30)][-1]
    # A fade that began anew with LiveSettings would be half way.
    assert (half.emotion_strength, whole.emotion_strength) == pytest.approx((0.25, 0.5))
