"""``/edge/time``: when the sound of a face was captured, so that a renderer can play it in sync."""

from __future__ import annotations

import time

from edge.contract import BlendshapeFrame
from edge.outputs.osc import message


def stamp(frame: BlendshapeFrame) -> bytes:
    """``/edge/time captured age delay``.

    ``captured``: ms of the sender's monotonic clock, modulo 2^31 (int; a float would lose the ms);
    ``age``: seconds since capture, which needs no common clock; ``delay``: declared, seconds.
    """
    captured = int(frame.captured_at * 1000) & 0x7FFFFFFF
    return message("/edge/time", captured, time.monotonic() - frame.captured_at, frame.delay)
