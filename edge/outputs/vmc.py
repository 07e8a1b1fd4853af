"""Virtual Motion Capture protocol 3.1: https://protocol.vmc.info.

VSeeFace, Warudo, VNyan, EVMC4U and others read it. Perfect Sync takes 2.6 kB a face, 32 bytes a
shape besides its name, and so three datagrams.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from edge.contract import BlendshapeFrame, ConfigError
from edge.outputs.common import ShapeSelection
from edge.outputs.osc import Bundles, message
from edge.outputs.stamp import stamp
from edge.outputs.tables import EMOTIONS, VRM0, VRM1, extend, inputs_of, matrix, pascal
from edge.outputs.turn import eyes, head, unity
from edge.outputs.udp import UdpTarget

VAL = "/VMC/Ext/Blend/Val"
VRM_EMOTIONS = ("happy", "angry", "sad", "relaxed", "surprised")


class Vmc:
    """Shapes, ``Apply``, bones if asked for, then ``OK`` and ``T`` once a face."""

    OPTIONS = {  # noqa: RUF012
        "case": ("", "pascal", "camel", "both"),
        "preset": ("", "vrm0", "vrm1"),
        "role": ("performer", "assistant"),
        # No bones unless asked for: /Bone/Pos has no form without a position, ours is 0, and
        # EVMC4U applies positions by default, which pulls the head into the neck. An assistant
        # also must not fight the body tracking.
        "bones": ("none", "head", "eyes", "all"),
    }

    def __init__(
        self, target: UdpTarget, shapes: ShapeSelection, options: Mapping[str, str]
    ) -> None:
        if options["case"] and options["preset"]:
            raise ConfigError(
                f"{options['where']}: case belongs to the 52 shapes, preset replaces them; drop one"
            )
        if options["preset"] and shapes.rename:
            raise ConfigError(f"{options['where']}: a preset has names of its own; drop rename")
        bones = options["bones"]
        if options["role"] == "assistant" and bones != "none":
            raise ConfigError(f"{options['where']}: an assistant sends no bones; drop bones")
        self._target, self._shapes = target, shapes
        self._head = shapes.head and bones in ("head", "all")
        self._eyes = shapes.gaze and bones in ("eyes", "all")
        self._began = time.monotonic()
        self._at = shapes.at
        self._preset = bool(options["preset"])
        if self._preset:
            names = self._use_presets(options["preset"] == "vrm0")
        else:
            names = self._perfect_sync(options["case"] or "pascal")
        values = [(message(VAL, name, 0.0), 1) for name in names]
        turned = ["Head"] * self._head + ["LeftEye", "RightEye"] * self._eyes
        zeros = (0.0,) * 7
        rest = [(message("/VMC/Ext/Bone/Pos", bone, *zeros), 4) for bone in turned]
        # The one-argument OK: some receivers hide the avatar when told of a calibration.
        tail = [(message("/VMC/Ext/OK", 1), 0), (message("/VMC/Ext/T", 0.0), 1)]
        self._bundles = Bundles([*values, (message("/VMC/Ext/Blend/Apply"), 0), *rest, *tail])
        self._count = len(names)

    def _perfect_sync(self, case: str) -> list[str]:
        names = self._shapes.names
        called = self._shapes.called
        first = [called(n, n if case == "camel" else pascal(n)) for n in names]
        if case == "both":
            self._at = np.concatenate([self._at, self._at])
            return first + [called(n, n) for n in names]
        return first

    def _use_presets(self, old: bool) -> list[str]:
        table = {k: v for k, v in VRM1.items() if inputs_of(v) <= set(self._shapes.names)}
        self._matrix = matrix(table)
        self._inputs = np.zeros(self._matrix.shape[1], np.float32)
        # Vowels share one mouth: together they may not open it more than one would.
        self._vowels = sum(not name.startswith("blink") for name in table)
        whole = len(self._shapes.names) == 52
        self._emotions = [m for m in VRM_EMOTIONS if whole and (not old or m in VRM0)]
        rows = [*table, *self._emotions]
        return [VRM0[name] if old else name for name in rows]

    def _presets(self, frame: BlendshapeFrame) -> None:
        values = self._bundles.values
        extend(frame.weights, self._inputs)
        found = np.minimum(np.maximum(self._matrix @ self._inputs, 0), 1)
        vowels = found[: self._vowels]
        vowels /= max(1.0, float(vowels.sum()))
        values[: len(found)] = found
        values[len(found) : self._count] = 0
        emotion = EMOTIONS.get(frame.emotion or "")
        if emotion in self._emotions:
            values[len(found) + self._emotions.index(emotion)] = frame.emotion_strength

    def send(self, frame: BlendshapeFrame) -> None:
        """Three datagrams (one of presets, five of both cases), nothing waited for."""
        values, at = self._bundles.values, self._count
        if self._preset:
            self._presets(frame)
        else:
            values[:at] = frame.weights[self._at]
        if self._head:
            values[at : at + 4] = unity(*head(frame))
            at += 4
        if self._eyes:
            pitch, yaw, pitch2, yaw2 = eyes(frame.weights)
            values[at : at + 8] = (*unity(pitch, yaw, 0), *unity(pitch2, yaw2, 0))
        values[-1] = time.monotonic() - self._began
        for datagram in self._bundles.filled():
            self._target.send(datagram)
        if self._shapes.stamp:
            self._target.send(stamp(frame))

    def close(self) -> None:
        """Release the socket."""
        self._target.close()
