"""OSC in: literal bytes, and nothing but ``ValueError`` for what is not OSC."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pythonosc.osc_message_builder import OscMessageBuilder

from edge.control.osc_parser import MOST_MESSAGES, read_messages
from edge.outputs.osc import message

BUNDLE = b"#bundle\0" + b"\x80" * 8


def in_bundle(*messages: bytes) -> bytes:
    return BUNDLE + b"".join(struct.pack(">i", len(m)) + m for m in messages)


def test_a_message_is_read_from_its_bytes() -> None:
    data = b"/edge/gain\0\0,sf\0jawOpen\0\x3f\x80\0\0"
    assert read_messages(data) == [("/edge/gain", ("jawOpen", 1.0))]


def test_every_understood_type_is_read() -> None:
    data = b"/a\0\0,ifhdsTF\0\0\0\0" + struct.pack(">ifqd", -1, 0.5, 2**40, 0.1) + b"ab\0\0"
    assert read_messages(data) == [("/a", (-1, 0.5, 2**40, 0.1, "ab", True, False))]


def test_a_message_without_type_tags_has_no_arguments() -> None:
    assert read_messages(b"/edge/ping\0\0") == [("/edge/ping", ())]


def test_what_python_osc_sends_is_understood() -> None:
    builder = OscMessageBuilder("/edge/emotion")
    for value in ("glücklich", 0.25, 3, True):
        builder.add_arg(value)
    ((address, values),) = read_messages(builder.build().dgram)
    assert (address, values) == ("/edge/emotion", ("glücklich", 0.25, 3, True))


def test_a_flat_bundle_gives_its_messages_whatever_its_time_tag() -> None:
    data = in_bundle(message("/a", 1), message("/b", "x"))
    assert read_messages(data) == [("/a", (1,)), ("/b", ("x",))]
    assert read_messages(BUNDLE) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"/a",
        b"/abc",
        b"/abc\0",
        b"abc\0,\0\0\0",
        b"/a\0\0ifs\0",
        b"/a\0\0,i\0\0",
        b"/a\0\0,i\0\0\0\0\0",
        b"/a\0\0,d\0\0\0\0\0\0",
        b"/a\0\0,s\0\0abcd",
        b"/a\0\0,s\0\0\xff\xfe\0\0",
        b"/a\0\0,b\0\0\0\0\0\0",
        b"/a\0\0,i\0\0\0\0\0\1\0\0\0\0",
        b"#bundle\0",
        BUNDLE + b"\0\0\0\5/a\0\0",
        BUNDLE + b"\xff\xff\xff\xff",
        BUNDLE + b"\0\0\0\0",
        in_bundle(in_bundle(message("/a"))),
        in_bundle(*[message("/a")] * (MOST_MESSAGES + 1)),
    ],
)
def test_what_is_not_osc_is_a_value_error(data: bytes) -> None:
    if data == b"#bundle\0":  # nothing in it and no time tag: nothing to do, nothing to refuse
        assert read_messages(data) == []
        return
    with pytest.raises(ValueError):  # noqa: PT011 - any text will do
        read_messages(data)


def readable(data: bytes) -> bool:
    try:
        found = read_messages(data)
    except ValueError:
        return False
    assert all(a.startswith("/") and isinstance(v, tuple) for a, v in found)
    return True


@given(st.binary(max_size=200))
@example(b"#bundle\0" + b"\0" * 7)
def test_any_bytes_are_messages_or_a_value_error(data: bytes) -> None:
    readable(data)


def test_changed_bytes_are_messages_or_a_value_error() -> None:
    rng = random.Random(1)
    whole = [
        message("/edge/emotion", "happy", 0.5),
        in_bundle(message("/edge/mute"), message("/edge/text", "some words", 1.5)),
    ]
    readings = []
    for _ in range(20_000):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        readings.append(readable(bytes(data[: rng.randrange(1, len(data) + 1)])))
    assert 100 < sum(readings) < 15_000  # the fuzzer finds both sides
