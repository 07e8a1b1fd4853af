"""OSC bytes, literally, and as python-osc reads them."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from edge.outputs.osc import Datagram, message, string


def test_strings_end_in_nul_and_fill_four_bytes() -> None:
    assert string("") == b"\0\0\0\0"
    assert string("abc") == b"abc\0"
    assert string("abcd") == b"abcd\0\0\0\0"


def test_a_message_is_these_bytes() -> None:
    assert message("/jaw", 0.5) == b"/jaw\0\0\0\0,f\0\0\x3f\0\0\0"
    assert message("/ok", 1) == b"/ok\0,i\0\0\0\0\0\1"
    assert message("/a", -2) == b"/a\0\0,i\0\0\xff\xff\xff\xfe"
    assert message("/n", "Jaw", 0.25) == b"/n\0\0,sf\0Jaw\0\x3e\x80\0\0"
    assert message("/none") == b"/none\0\0\0,\0\0\0"


def test_a_datagram_is_a_bundle_to_be_shown_at_once() -> None:
    datagram = Datagram([message("/a", 0.0), message("/b", 1), message("/c", 0.0)], [0, 2])
    sent = datagram.fill(np.array([0.5, 1.0], np.float32))
    assert bytes(sent) == (
        b"#bundle\0" + b"\0\0\0\0\0\0\0\1"
        + b"\0\0\0\x0c" + b"/a\0\0,f\0\0\x3f\0\0\0"
        + b"\0\0\0\x0c" + b"/b\0\0,i\0\0\0\0\0\1"
        + b"\0\0\0\x0c" + b"/c\0\0,f\0\0\x3f\x80\0\0"
    )  # fmt: skip


def test_a_datagram_is_filled_in_place() -> None:
    datagram = Datagram([message("/a", 0.0)], [0])
    first = datagram.fill(np.array([0.5], np.float32))
    assert datagram.fill(np.array([0.25], np.float32)) is first
    assert first[-4:] == struct.pack(">f", 0.25)


def test_python_osc_reads_exactly_what_was_written() -> None:
    osc_bundle = pytest.importorskip("pythonosc.osc_bundle", reason="pip install python-osc")
    datagram = Datagram([message("/a/Ä", "Jaw", 0.0), message("/i", -7)], [0])
    bundle = osc_bundle.OscBundle(bytes(datagram.fill(np.array([0.1], np.float32))))
    assert [(m.address, m.params) for m in bundle] == [
        ("/a/Ä", ["Jaw", float(np.float32(0.1))]),
        ("/i", [-7]),
    ]
