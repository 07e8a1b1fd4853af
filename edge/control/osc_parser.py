"""An OSC 1.0 datagram to its messages, for control. Whatever is not OSC is a ``ValueError``.

python-osc was tried first: it logs a line for every unknown type tag, descends into nested bundles
without limit and holds back what is dated ahead, none of which a port open to floods can afford.
"""

from __future__ import annotations

import struct

MOST_MESSAGES = 64
"""Of one bundle; a 2048-byte datagram of the shortest messages would hold 128."""

Value = str | float | int | bool
Message = tuple[str, tuple[Value, ...]]


def read_messages(data: bytes) -> list[Message]:
    """Every message of a datagram: one, or those of a flat bundle, whose time tag is ignored."""
    try:
        if not data.startswith(b"#bundle\0"):
            return [_message(data)]
        messages: list[Message] = []
        at = 16
        while at < len(data):
            (size,) = struct.unpack_from(">i", data, at)
            at += 4
            if size <= 0 or at + size > len(data) or len(messages) == MOST_MESSAGES:
                raise ValueError("bundle sizes do not add up")
            messages.append(_message(data[at : at + size]))
            at += size
        return messages
    except struct.error as error:
        raise ValueError(f"cut off: {error}") from error


def _message(data: bytes) -> Message:
    address, at = _string(data, 0)
    if not address.startswith("/"):
        raise ValueError("an address starts with '/'")
    if at == len(data):  # some old senders leave the type tags out where there are no arguments
        return address, ()
    tags, at = _string(data, at)
    if not tags.startswith(","):
        raise ValueError("type tags start with ','")
    values: list[Value] = []
    for tag in tags[1:]:
        value: Value
        if tag == "s":
            value, at = _string(data, at)
        elif tag in "TF":
            value = tag == "T"
        elif tag in "ifhd":
            (value,) = struct.unpack_from(">" + ("q" if tag == "h" else tag), data, at)
            at += 8 if tag in "hd" else 4
        else:
            raise ValueError(f"type tag {tag!r} is not understood here")
        values.append(value)
    if at != len(data):
        raise ValueError("bytes left over")
    return address, tuple(values)


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    # Where the padding is missing this is past the end, which the caller sees.
    return data[at:end].decode(), at + (end - at) // 4 * 4 + 4
