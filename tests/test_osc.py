"""OSC bytes, literally, and as python-osc reads them."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from edge.outputs.osc import LARGEST, Bundles, message, string


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
    bundles = Bundles([(message("/a", 0.0), 1), (message("/b", 1), 0), (message("/c", 0.0), 1)])
    bundles.values[:] = 0.5, 1.0
    (sent,) = bundles.filled()
    assert bytes(sent) == (
        b"#bundle\0" + b"\0\0\0\0\0\0\0\1"
        + b"\0\0\0\x0c" + b"/a\0\0,f\0\0\x3f\0\0\0"
        + b"\0\0\0\x0c" + b"/b\0\0,i\0\0\0\0\0\1"
        + b"\0\0\0\x0c" + b"/c\0\0,f\0\0\x3f\x80\0\0"
    )  # fmt: skip


def test_a_datagram_is_filled_in_place() -> None:
    bundles = Bundles([(message("/a", 0.0), 1)])
    (first,) = bundles.filled()
    bundles.values[:] = 0.25
    (again,) = bundles.filled()
    assert again is first
    assert first[-4:] == struct.pack(">f", 0.25)


def test_what_is_too_long_for_one_datagram_goes_between_two_messages() -> None:
    rows = [(message("/row", f"{i:03}", 0.0), 1) for i in range(100)]
    bundles = Bundles([*rows, (message("/three", 0.0, 0.0, 0.0), 3)])
    bundles.values[:] = np.arange(103)
    sent = [bytes(data) for data in bundles.filled()]
    assert len(sent) == 3
    assert [len(data) for data in sent[:2]] == [1192, 1192]  # a row of 24 more does not fit
    assert LARGEST == 1200
    assert all(data.startswith(b"#bundle\0\0\0\0\0\0\0\0\1\0\0\0") for data in sent)
    assert b"".join(sent).count(b"/row\0") == 100
    assert sent[1].endswith(b",sf\x00097\0" + struct.pack(">f", 97))
    assert sent[2].endswith(struct.pack(">3f", 100, 101, 102))


def test_a_message_that_no_datagram_holds_is_refused() -> None:
    Bundles([(message("/" + "a" * 1170), 0)])
    with pytest.raises(ValueError, match="a message of 1184 bytes; shorten its names"):
        Bundles([(message("/" + "a" * 1175), 0)])


def test_python_osc_reads_exactly_what_was_written() -> None:
    osc_bundle = pytest.importorskip("pythonosc.osc_bundle", reason="pip install python-osc")
    bundles = Bundles([(message("/a/Ä", "Jaw", 0.0), 1), (message("/i", -7), 0)])
    bundles.values[:] = 0.1
    bundle = osc_bundle.OscBundle(bytes(bundles.filled()[0]))
    assert [(m.address, m.params) for m in bundle] == [
        ("/a/Ä", ["Jaw", float(np.float32(0.1))]),
        ("/i", [-7]),
    ]
