"""Live Link Face, binary version 6, as an iPhone sends it to Unreal."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge.contract import BlendshapeFrame, ConfigError
from edge.outputs.common import ShapeSelection
from edge.outputs.frame_number import FrameNumber
from edge.outputs.osc import LARGEST
from edge.outputs.turn import angles
from edge.outputs.udp import UdpTarget


def packet(device: str, subject: str, fps: int) -> bytearray:
    """A packet of zeros: 310 bytes with a 36-letter device and the subject ``edge``."""
    names = b"".join(struct.pack(">i", len(n)) + n for n in (device.encode(), subject.encode()))
    # Rate as fps / 1: a denominator of int(fps / 60), as one library writes, is 0 at 30.
    return bytearray(b"\x06" + names + struct.pack(">ifiiB", 0, 0.0, fps, 1, 61) + bytes(244))


class LiveLink:
    """52 shapes and 9 angles a datagram; Unreal takes them by place, so a region says 0 elsewhere.

    Angles are radians, yaw before pitch before roll.
    """

    OPTIONS = {"name": (), "device": ()}  # noqa: RUF012

    def __init__(
        self, target: UdpTarget, shapes: ShapeSelection, options: Mapping[str, str]
    ) -> None:
        if shapes.stamp:
            raise ConfigError(f"{options['where']}: Live Link has no place for a stamp; drop stamp")
        name = options["name"] or "edge"  # what Unreal lists as the subject
        # The same name is the same device after a restart.
        device = options["device"] or str(uuid.uuid5(uuid.NAMESPACE_DNS, name)).upper()
        self._target, self._shapes = target, shapes
        fps = int(options["fps"])
        self._data = packet(device, name, fps)
        if len(self._data) > LARGEST:
            raise ConfigError(
                f"{options['where']}: a packet of {len(self._data)} bytes; shorten name or device"
            )
        # In front of 61 floats and of the frame's fraction, the rate and the number 61.
        self._frame_at = len(self._data) - 244 - 17
        self._values: NDArray[np.float32] = np.frombuffer(
            self._data, ">f4", 61, len(self._data) - 244
        )
        self._number = FrameNumber(fps)

    def send(self, frame: BlendshapeFrame) -> None:
        """One datagram."""
        values = self._values
        values[:52] = self._shapes.masked(frame.weights)
        if self._shapes.gaze:
            values[52:] = angles(frame)
        elif self._shapes.head:
            values[52:55] = angles(frame)[:3]
        struct.pack_into(">i", self._data, self._frame_at, self._number.of(frame))
        self._target.send(self._data)

    def close(self) -> None:
        """Release the socket."""
        self._target.close()
