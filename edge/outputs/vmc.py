"""Virtual Motion Capture protocol 3.1, Perfect Sync: https://protocol.vmc.info.

VSeeFace, Warudo, VNyan, EVMC4U and others read it. Two datagrams a face, because 52 shapes do not
fit the 1500 bytes that the protocol asks to stay within.
"""

from __future__ import annotations

import time

import numpy as np

from edge.contract import ARKIT_52, BlendshapeFrame
from edge.osc import Datagram, message
from edge.outputs.udp import Target

FIRST = 27
"""Shapes in the first datagram; both stay below 1472 bytes."""


def pascal(name: str) -> str:
    """``jawOpen`` as Perfect Sync avatars call it: ``JawOpen``."""
    return name[0].upper() + name[1:]


class Vmc:
    """Sends each face as two bundles: values in both, ``Apply``, ``OK`` and ``T`` in the second."""

    def __init__(self, target: Target) -> None:
        self._target = target
        values = [message("/VMC/Ext/Blend/Val", pascal(name), 0.0) for name in ARKIT_52]
        rest = values[FIRST:]
        tail = [
            message("/VMC/Ext/Blend/Apply"),
            # The one-argument form: some receivers hide the avatar when told of a calibration.
            message("/VMC/Ext/OK", 1),
            message("/VMC/Ext/T", 0.0),
        ]
        self._first = Datagram(values[:FIRST], range(FIRST))
        self._second = Datagram(rest + tail, [*range(len(rest)), len(rest) + 2])
        self._values = np.zeros(len(rest) + 1, np.float32)
        self._began = time.monotonic()

    def send(self, frame: BlendshapeFrame) -> None:
        """Two datagrams, nothing returned, nothing waited for."""
        self._target.send(self._first.fill(frame.weights[:FIRST]))
        self._values[:-1] = frame.weights[FIRST:]
        self._values[-1] = time.monotonic() - self._began
        self._target.send(self._second.fill(self._values))

    def close(self) -> None:
        """Release the socket."""
        self._target.close()
