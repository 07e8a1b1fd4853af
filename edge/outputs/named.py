"""Plain OSC for one's own programs: all shapes in one message, or a message each."""

from __future__ import annotations

from collections.abc import Mapping

from edge.contract import BlendshapeFrame, ConfigError
from edge.outputs.common import ShapeSelection
from edge.outputs.osc import BUNDLE, Bundles, message
from edge.outputs.stamp import stamp
from edge.outputs.udp import UdpTarget


class NamedOsc:
    """``/blendshapes`` with 52 floats in ``ARKIT_52`` order, or ``/blendshape name value``.

    An ``address`` with ``{name}`` in it (``/face/{name}``) carries the value alone.
    """

    OPTIONS = {"form": ("array", "named"), "address": ()}  # noqa: RUF012

    def __init__(
        self, target: UdpTarget, shapes: ShapeSelection, options: Mapping[str, str]
    ) -> None:
        self._target, self._shapes, self._at = target, shapes, shapes.at
        self._array = options["form"] == "array"
        address = options["address"] or ("/blendshapes" if self._array else "/blendshape")
        where = options["where"]
        fixed = address.replace("{name}", "")
        if not address.startswith("/") or set(fixed) & set(" #*,?[]{}"):
            form = "write it as /a/b or /a/{name}, with none of ' #*,?[]{}' besides"
            raise ConfigError(f"{where}: address={address}; {form}")
        bad = [n for n in (shapes.rename or {}).values() if set(n) & set(" #*,?[]{}/")]
        if bad and "{name}" in address:
            raise ConfigError(f"{where}: rename: '{bad[0]}' cannot be part of an address")
        if self._array and ("{name}" in address or shapes.rename):
            raise ConfigError(f"{where}: an array has no names; add form=named")
        if self._array:
            content = [(message(address, *(0.0,) * 52), 52)]
        else:
            content = [(_named(address, shapes.called(n, n)), 1) for n in shapes.names]
        self._bundles = Bundles(content)

    def send(self, frame: BlendshapeFrame) -> None:
        """One datagram for the array, two for the names: each within ``LARGEST`` bytes."""
        weights = frame.weights
        self._bundles.values[:] = self._shapes.masked(weights) if self._array else weights[self._at]
        for datagram in self._bundles.filled():
            # An array goes without a bundle around it, for the simplest of receivers.
            self._target.send(datagram[len(BUNDLE) + 4 :] if self._array else datagram)
        if self._shapes.stamp:
            self._target.send(stamp(frame))

    def close(self) -> None:
        """Release the socket."""
        self._target.close()


def _named(address: str, name: str) -> bytes:
    if "{name}" in address:
        return message(address.replace("{name}", name), 0.0)
    return message(address, name, 0.0)
