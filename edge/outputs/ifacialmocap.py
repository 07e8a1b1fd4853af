"""iFacialMocap text, versions 1 and 2: https://www.ifacialmocap.com/for-developer."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from edge.contract import BlendshapeFrame, ConfigError
from edge.outputs.common import ShapeSelection
from edge.outputs.osc import LARGEST
from edge.outputs.tables import suffixed
from edge.outputs.turn import eyes, head
from edge.outputs.udp import UdpTarget

log = logging.getLogger(__name__)

HELLO = b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719"
LISTEN_EVERY = 15
"""Faces between looks at the socket: a receiver asks once, and a quarter second is soon enough."""
PERCENT = [str(i) for i in range(101)]
DEGREES = 180 / math.pi
TURNS = len("|=head#-180.00,-180.00,-180.00,0,0,0|") + 2 * len("rightEye#-180.00,-180.00,0|")
"""Bytes of head and eyes, at most."""


class IFacialMocap:
    """Streams from a port of its own, because on one machine the receiver holds 49983.

    A receiver that answers this port with the greeting may ask for version 2 in it.
    """

    OPTIONS = {"version": ("1", "2"), "names": ("suffix", "full")}  # noqa: RUF012

    def __init__(
        self, target: UdpTarget, shapes: ShapeSelection, options: Mapping[str, str]
    ) -> None:
        if shapes.stamp:
            raise ConfigError(f"{options['where']}: iFacialMocap has no stamp; drop stamp")
        self._target, self._shapes, self._at = target, shapes, shapes.at
        style = suffixed if options["names"] == "suffix" else str
        self._names = [shapes.called(name, style(name)) for name in shapes.names]
        self._refuse_names(options["where"])
        self._seen, self._warned = 0, False
        self._use("&" if options["version"] == "2" else "-")

    def _use(self, between: str) -> None:
        self._parts = [""] * (2 * len(self._names))
        self._parts[::2] = [f"|{name}{between}" for name in self._names]
        self._parts[0] = self._parts[0][1:]

    def _refuse_names(self, where: str) -> None:
        """The text has no way to write some letters, and cannot be cut in two."""
        if wrong := [name for name in self._names if set(name) & set("|&-=#,")]:
            raise ConfigError(f"{where}: rename: '{wrong[0]}' has one of '|&-=#,' in it")
        longest = sum(len(f"|{name}-100".encode()) for name in self._names) + TURNS
        if longest > LARGEST:
            raise ConfigError(
                f"{where}: up to {longest} bytes a face, but {LARGEST} fit; shorten the names"
            )

    def _listen(self) -> None:
        asked = self._target.receive()
        if asked is None:
            return
        if asked.startswith(HELLO):
            self._use("&" if b"sendDataVersion=v2" in asked else "-")
        elif asked.startswith(b"iFacialMocap_UDPTCP") and not self._warned:
            self._warned = True
            log.warning(
                "%s asks for iFacialMocap over TCP, which is not offered", self._target.name
            )

    def send(self, frame: BlendshapeFrame) -> None:
        """One datagram of about 1.1 kB."""
        if self._seen % LISTEN_EVERY == 0:
            self._listen()
        self._seen += 1
        whole = (frame.weights[self._at] * 100 + 0.5).astype(int).tolist()
        self._parts[1::2] = [PERCENT[i] for i in whole]
        text = "".join(self._parts)
        if self._shapes.head:
            pitch, yaw, roll = head(frame)
            text += f"|=head#{pitch * DEGREES:.2f},{yaw * DEGREES:.2f},{roll * DEGREES:.2f},0,0,0"
        if self._shapes.gaze:
            down, left, down2, left2 = (a * DEGREES for a in eyes(frame.weights))
            start = "|" if self._shapes.head else "|="
            text += f"{start}rightEye#{down2:.2f},{left2:.2f},0|leftEye#{down:.2f},{left:.2f},0"
        self._target.send((text + "|").encode())

    def close(self) -> None:
        """Release the socket."""
        self._target.close()
