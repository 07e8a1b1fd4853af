"""A control datagram to what changes; every refusal is counted by its reason."""

from __future__ import annotations

import json
import logging
import math
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.bundle import DEFAULT, Bundle
from edge.bundle_reader import read_bundle
from edge.conditioning import Conditioning, ConditioningLayout
from edge.config import Config
from edge.contract import INDEX, BlendshapeFrame
from edge.control.commands import MOST_BYTES, ControlCommands, Status
from edge.control.live_settings import DEPTH, LiveSettings
from edge.control.osc_parser import Value
from edge.control.status import describe
from edge.face import Face
from edge.outputs.osc import message
from edge.outputs.output_set import Outputs
from edge.run_stats import RunStats
from edge.words import spell
from tests.fakes import FakeClock, FakeSource, fake_bundle

HERE = "127.0.0.1"
BUNDLE = read_bundle(DEFAULT)


class FakePipeline:
    """Takes what ``LiveSettings`` changes in a pipeline."""

    def __init__(self, layout: ConditioningLayout) -> None:
        self.face = Face({}, 0, 0)
        self.lookahead = 4
        self.voice_emotion: object = None
        self.follows: list[float | None] = []
        self.expected: list[tuple[NDArray[np.int8], float]] = []
        self.conditioning = Conditioning(layout, 4)
        self.delay = 5 / 60

    def expect(self, sounds: NDArray[np.int8], seconds: float) -> None:
        self.expected.append((sounds, seconds))

    def follow_voice_emotion(self, blend: float | None) -> None:
        self.follows.append(blend)

    def set_lookahead(self, lookahead: int) -> None:
        self.lookahead = lookahead


class FakeSink:
    def __init__(self, url: str) -> None:
        self.seen: list[BlendshapeFrame] = []
        self.open = True

    def send(self, frame: BlendshapeFrame) -> None:
        assert self.open
        self.seen.append(frame)

    def close(self) -> None:
        self.open = False


class Desk:
    """Orders and everything they reach."""

    def __init__(
        self,
        allow: tuple[str, ...] = (),
        load: Callable[[], Config] | None = None,
        bundle: Bundle = BUNDLE,
    ) -> None:
        self.now = 0.0
        self.pipeline = FakePipeline(bundle.layout)
        self.outputs = Outputs(("a", "b"), FakeSink)
        config = Config(to=("a", "b"))
        self.live = LiveSettings(
            bundle,
            self.pipeline,  # type: ignore[arg-type]
            self.outputs,
            config,
            load,
            lambda: self.now,
        )
        status: Status = lambda: {"at": self.now, "pending": self.live.pending}  # noqa: E731
        self.commands = ControlCommands(self.live, status, allow, lambda: self.now)

    def say(self, address: str, *values: float | int | str) -> None:
        """One message, and the next face."""
        self.commands.take(message(address, *values), HERE)
        self.live.inbox.drain()

    def status(self) -> dict[str, Any]:
        self.now += 1
        answer = self.commands.take(message("/edge/ping"), HERE)[1][1]
        found: dict[str, Any] = json.loads(answer[answer.index(b"{") :].rstrip(b"\0"))
        return found


def test_every_command_takes_effect() -> None:
    desk = Desk()
    face = desk.pipeline.face
    desk.say("/edge/emotion", "happy", 0.8, 0.0)
    face.shape(face._rest, True)
    assert (face.emotion_blend.name, face.emotion_blend.strength) == (
        "happiness",
        pytest.approx(0.8),
    )
    desk.say("/edge/gain", "jawOpen", 1.5)
    desk.say("/edge/gain", "cheekPuff", 2)
    assert desk.live.gains == {"jawOpen": 1.5, "cheekPuff": 2.0}
    desk.say("/edge/gain", "jawOpen", 1.0)
    assert desk.live.gains == {"cheekPuff": 2.0}
    assert face._gains is not None
    assert face._gains[INDEX["cheekPuff"]] == 2.0
    desk.say("/edge/lookahead", 133)
    assert desk.pipeline.lookahead == 8
    desk.say("/edge/lookahead", 0.0)
    assert desk.pipeline.lookahead == 0
    for word, name in (("neutral", "neutral"), ("mute", "muted")):
        for values, on in (((), True), ((0,), False), ((1,), True), ((0.0,), False)):
            desk.say(f"/edge/{word}", *values)
            assert getattr(face, name) is on
    desk.say("/edge/output/2/enable", 0)
    assert [row["on"] for row in desk.outputs.listed()] == [True, False]
    desk.say("/edge/output/2/enable")
    assert [row["on"] for row in desk.outputs.listed()] == [True, True]
    assert not desk.commands.refused


def test_nothing_changes_before_the_next_face() -> None:
    desk = Desk()
    desk.commands.take(message("/edge/mute"), HERE)
    assert not desk.pipeline.face.muted
    desk.live.inbox.drain()
    assert desk.pipeline.face.muted


def test_words_and_a_style_reach_a_bundle_that_knows_them() -> None:
    desk = Desk(bundle=fake_bundle())
    desk.say("/edge/text", "mum", 1.5)
    desk.say("/edge/text", "oh")
    desk.say("/edge/text", "你好")  # nothing to spell, so nothing to change
    desk.say("/edge/text", "")
    desk.say("/edge/style", "calm", 0.5)
    assert desk.pipeline.conditioning.style == ("calm", 0.5)
    desk.say("/edge/style", "broad")
    assert desk.pipeline.conditioning.style == ("broad", 1.0)
    assert [(list(sounds), at) for sounds, at in desk.pipeline.expected] == [
        (list(spell("mum")), 1.5),
        (list(spell("oh")), 0.0),
        ([], 0.0),
    ]
    assert not desk.status()["pending"]
    desk.say("/edge/style", "calm", 0.7)
    assert describe(desk.live, RunStats(), FakeSource(FakeClock(), []))["style"] == ["calm", 0.7]
    desk.say("/edge/style", "clam", 0.5)
    assert desk.commands.refused == {"value": 1}
    assert desk.pipeline.conditioning.style == ("calm", pytest.approx(0.7))


def test_what_engines_cannot_use_is_kept_reported_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    desk = Desk(bundle=fake_bundle(styles=()))
    desk.say("/edge/style", "broad", 1.0)
    desk.say("/edge/style", "calm", 0.5)
    desk.say("/edge/emotion", "sad", 1.0)
    desk.say("/edge/emotion/auto")
    assert desk.status()["pending"] == {"style": ["calm", 0.5], "emotion": "auto"}
    assert len(caplog.messages) == 2
    desk.say("/edge/emotion", "sad", 1.0)
    assert "emotion" not in desk.status()["pending"]


def test_auto_fades_an_override_out() -> None:
    desk = Desk()
    blend = desk.pipeline.face.emotion_blend
    desk.say("/edge/emotion", "fear", 1.0, 0.0)
    blend.next()
    desk.say("/edge/emotion/auto")
    seen = [blend.next().max() for _ in range(40)]
    assert seen[5] > 0.1
    assert (seen[-1], blend.name) == (0.0, None)


def test_auto_follows_the_voice_where_the_bundle_hears_one_and_a_name_ends_it() -> None:
    desk = Desk()
    desk.pipeline.voice_emotion = object()
    desk.say("/edge/emotion/auto")
    assert desk.pipeline.follows == [0.5]
    assert "emotion" not in desk.status()["pending"]
    desk.say("/edge/emotion", "sad", 1.0)
    assert desk.pipeline.follows == [0.5, None]


def test_a_ping_is_answered_with_its_arguments_and_the_status() -> None:
    desk = Desk()
    spent, answers = desk.commands.take(message("/edge/ping", 7, "x", 0.5), HERE)
    assert spent == 1
    assert answers[0] == b"/edge/pong\0\0,isf\0\0\0\0\0\0\0\7x\0\0\0\x3f\0\0\0"
    assert answers[1].startswith(b"/edge/status\0\0\0\0,s\0\0{")
    big = b"/edge/ping\0\0,hdf\0\0\0\0" + struct.pack(">qdf", 2**40, math.inf, math.nan)
    assert desk.commands.take(big, HERE)[1][0] == b"/edge/pong\0\0,\0\0\0"


def test_a_status_is_made_at_most_ten_times_a_second() -> None:
    desk = Desk()
    first = desk.commands.take(message("/edge/ping"), HERE)[1][1]
    desk.now = 0.05
    assert desk.commands.take(message("/edge/ping"), HERE)[1][1] is first
    desk.now = 0.15
    assert b'"at": 0.15' in desk.commands.take(message("/edge/ping"), HERE)[1][1]


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("reason", "address", "values"),
    [
        ("address", "/edge/emotions", ("happy", 1.0)),
        ("address", "/", ()),
        ("address", "/edge/output/99999/enable", ()),
        ("address", "/edge/output/\u0662/enable", ()),
        ("types", "/edge/emotion", ()),
        ("types", "/edge/emotion", (1.0, "happy")),
        ("types", "/edge/emotion", ("happy", 1.0, 1.0, 1.0)),
        ("types", "/edge/emotion/auto", (1,)),
        ("types", "/edge/text", (5,)),
        ("types", "/edge/style", ()),
        ("types", "/edge/gain", ("jawOpen", "1")),
        ("types", "/edge/lookahead", ("67",)),
        ("types", "/edge/mute", ("on",)),
        ("types", "/edge/neutral", (1, 1)),
        ("types", "/edge/reload", (1,)),
        ("value", "/edge/emotion", ("hapy", 1.0)),
        ("value", "/edge/emotion", ("happy", 1.01)),
        ("value", "/edge/emotion", ("happy", NAN)),
        ("value", "/edge/emotion", ("happy", 1.0, INF)),
        ("value", "/edge/text", ("words", NAN)),
        ("value", "/edge/text", ("words", 60.1)),
        ("value", "/edge/text", ("w" * 401,)),
        ("value", "/edge/style", ("calm", -1)),
        ("value", "/edge/gain", ("jawopen", 1.0)),
        ("value", "/edge/gain", ("jawOpen", INF)),
        ("value", "/edge/gain", ("jawOpen", -0.1)),
        ("value", "/edge/lookahead", (50,)),
        ("value", "/edge/lookahead", (NAN,)),
        ("value", "/edge/lookahead", (-INF,)),
        ("value", "/edge/mute", (2,)),
        ("value", "/edge/mute", (NAN,)),
        ("value", "/edge/output/3/enable", ()),
        ("value", "/edge/output/0/enable", ()),
    ],
)
def test_what_cannot_be_done_is_counted_and_changes_nothing(
    reason: str, address: str, values: tuple[Value, ...]
) -> None:
    desk = Desk()
    desk.commands.take(message(address, *values), HERE)
    assert dict(desk.commands.refused) == {reason: 1}
    assert len(desk.live.inbox._calls) == 0
    assert desk.commands.accepted == 0
    assert desk.status()["refused"] == {reason: 1, "queue": 0}


def test_malformed_and_oversized_datagrams_are_counted() -> None:
    desk = Desk()
    desk.commands.take(b"\0\1\2", HERE)
    desk.commands.take(b"/" * MOST_BYTES, HERE, cut=True)
    assert dict(desk.commands.refused) == {"malformed": 1, "oversized": 1}


def test_one_bad_message_of_a_bundle_does_not_stop_the_others() -> None:
    desk = Desk()
    rows = [message("/edge/gain", "jawOpen", NAN), message("/edge/mute")]
    data = b"#bundle\0" + b"\0" * 8 + b"".join(struct.pack(">i", len(r)) + r for r in rows)
    assert desk.commands.take(data, HERE)[0] == 2
    desk.live.inbox.drain()
    assert desk.pipeline.face.muted
    assert desk.commands.refused["value"] == 1


@pytest.mark.parametrize("sender", ["192.0.2.7", "::ffff:192.0.2.7"])
def test_ipv4_behind_an_ipv6_socket_is_ipv4(sender: str) -> None:
    for row in ("192.0.2.0/24", "::ffff:192.0.2.0/120"):
        assert Desk(allow=(row,)).commands.take(message("/edge/ping"), sender)[1], row
    assert not Desk(allow=("192.0.3.0/24",)).commands.take(message("/edge/ping"), sender)[1]
    assert Desk().commands.take(message("/edge/ping"), "::ffff:127.0.0.1")[1]


@pytest.mark.parametrize(
    ("allow", "wide"),
    [
        (("0.0.0.0/0",), "0.0.0.0/0"),
        (("192.0.2.1", "::/0"), "::/0"),
        (("0.0.0.0/1", "128.0.0.0/1"), "0.0.0.0/1, 128.0.0.0/1"),
        (("::ffff:0:0/96",), "0.0.0.0/0"),
        (("10.0.0.0/8", "fd00::/48", "192.0.2.1"), ""),
    ],
)
def test_control_that_is_open_to_nearly_anyone_says_so(
    allow: tuple[str, ...], wide: str, caplog: pytest.LogCaptureFixture
) -> None:
    Desk(allow=allow)
    texts = [text for text in caplog.messages if "nearly anyone" in text]
    assert len(texts) == bool(wide)
    assert all(f"(control.allow: {wide})" in text for text in texts)


def test_answers_to_other_machines_are_at_most_ten_times_the_question() -> None:
    desk = Desk(allow=("192.0.2.0/24",))
    desk.live.pending["text"] = "w" * 1500  # a long status
    for letters in (0, 4, 40, 100, 200, 400, 1900):
        asked = message("/edge/ping", *["x" * letters] * bool(letters))
        for question in (asked, b"#bundle\0" + bytes(8) + struct.pack(">i", len(asked)) + asked):
            answers = desk.commands.take(question, "192.0.2.7")[1]
            assert sum(map(len, answers)) <= 10 * len(question)
            assert answers[0].startswith(b"/edge/pong\0")
            assert (len(answers) == 2) == (letters >= 200)
    assert desk.commands.refused["answer"] == 8
    # Nobody forges this machine.
    assert len(desk.commands.take(message("/edge/ping"), HERE)[1]) == 2


def test_only_this_machine_and_those_allowed_may_send() -> None:
    desk = Desk(allow=("10.1.0.0/16", "192.168.1.9"))
    for sender in ("10.1.2.3", "192.168.1.9", HERE, "::1"):
        assert desk.commands.take(message("/edge/ping"), sender)[1]
    assert not desk.commands.refused
    for sender in ("10.2.0.1", "192.168.1.8", "fe80::1%eth0"):
        assert not desk.commands.take(message("/edge/ping"), sender)[1]
    assert dict(desk.commands.refused) == {"source": 3}


def test_each_reason_is_logged_once_and_the_log_stays_plain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()
    for _ in range(50):
        desk.commands.take(message("/edge/\x1b[2J\nnew line"), HERE)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].isprintable()
    assert desk.commands.refused["address"] == 50


def test_a_full_inbox_forgets_the_oldest_and_counts() -> None:
    desk = Desk()
    for _ in range(DEPTH + 5):
        desk.commands.take(message("/edge/mute", 0), HERE)
    desk.commands.take(message("/edge/mute", 1), HERE)
    assert desk.live.inbox.dropped == 6
    assert desk.status()["refused"]["queue"] == 6
    while desk.live.inbox._calls:
        desk.live.inbox.drain()
    assert desk.pipeline.face.muted


def test_a_face_waits_for_a_few_commands_only() -> None:
    desk = Desk()
    for _ in range(DEPTH):
        desk.commands.take(message("/edge/mute", 0), HERE)
    desk.live.inbox.drain()
    assert len(desk.live.inbox._calls) == DEPTH - 16


VALUES = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.floats(width=32),
    st.sampled_from(["happy", "jawOpen", "calm", "auto"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
)
WORDS = "emotion emotion/auto text style gain lookahead neutral mute reload ping pong"
ADDRESSES = st.sampled_from([*WORDS.split(), "output/1/enable", "output/x/enable"])


@given(st.lists(st.tuples(ADDRESSES, st.lists(VALUES, max_size=4)), max_size=5))
def test_any_command_with_any_values_is_done_or_counted(
    rows: list[tuple[str, list[Any]]],
) -> None:
    desk = Desk()
    for word, values in rows:
        desk.now += 2
        desk.say(f"/edge/{word}", *values)
    assert desk.commands.accepted + sum(desk.commands.refused.values()) == len(rows)
    weights, _ = desk.pipeline.face.shape(desk.pipeline.face._rest, 1.0)
    assert ((weights >= 0) & (weights <= 1)).all()


def test_changed_commands_are_done_or_counted() -> None:
    rng, desk = random.Random(2), Desk()
    whole = [
        message("/edge/emotion", "happy", 0.5, 0.1),
        message("/edge/gain", "jawOpen", 1.2),
        message("/edge/output/1/enable", 1),
        message("/edge/text", "some words", 1.5),
    ]
    for _ in range(10_000):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        spent, answers = desk.commands.take(bytes(data), HERE)
        assert (spent, answers) == (1, [])
        desk.live.inbox.drain()
    assert desk.commands.accepted + sum(desk.commands.refused.values()) == 10_000
    assert {"malformed", "address", "types", "value"} <= set(desk.commands.refused)
    assert desk.commands.accepted > 3000
