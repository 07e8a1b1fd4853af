"""``SCHEME://HOST:PORT?options`` to the sink that speaks that protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge.contract import ConfigError, Sink
from edge.outputs.common import (
    COMMON,
    PacedSink,
    ShapeSelection,
    names,
    numbers,
    read_fps,
    read_options,
    region,
)
from edge.outputs.facecap import FaceCap
from edge.outputs.ifacialmocap import IFacialMocap
from edge.outputs.json_text import JsonOutput
from edge.outputs.livelink import LiveLink
from edge.outputs.named import NamedOsc
from edge.outputs.udp import UdpTarget
from edge.outputs.url import read_url
from edge.outputs.vmc import Vmc
from edge.outputs.vrchat import VRChat

Make = Callable[[UdpTarget, ShapeSelection, Mapping[str, str]], Sink]

# Scheme -> (sink, default port, its own options).
SCHEMES: dict[str, tuple[Make, int, Mapping[str, tuple[str, ...]]]] = {
    "vmc": (Vmc, 39539, Vmc.OPTIONS),
    "vrchat": (VRChat, 9000, VRChat.OPTIONS),
    "livelink": (LiveLink, 11111, LiveLink.OPTIONS),
    "ifacialmocap": (IFacialMocap, 49983, IFacialMocap.OPTIONS),
    "facecap": (FaceCap, 9000, {}),
    "osc": (NamedOsc, 9000, NamedOsc.OPTIONS),
    "json": (JsonOutput, 9100, JsonOutput.OPTIONS),
}
NAMELESS = ("livelink", "facecap")
"""Schemes that send places, not names: a rename would be silently lost."""


def open_output(url: str) -> PacedSink:
    """The sink of a URL such as ``vmc://127.0.0.1:39539?fps=30``; the port may be left out.

    Raises ``ConfigError`` for a URL that cannot be, ``MissingError`` for a host without address.
    """
    where = f"output '{url if url.isprintable() else ascii(url)[1:-1]}'"
    scheme, host, port, given = read_url(url, where, SCHEMES)
    make, default, own = SCHEMES[scheme]
    options = read_options(where, given, {**COMMON, **own})
    if options["rename"] and scheme in NAMELESS:
        raise ConfigError(f"{where}: {scheme} sends no names; drop rename")
    area = options["region"]
    shapes = ShapeSelection(
        region(area),
        names(where, options["rename"]),
        head=area in ("all", "no-gaze"),
        gaze=area == "all",
        stamp=options["stamp"] == "1",
    )
    if options.get("role") == "assistant":
        default = 39540
    fps = read_fps(where, options["fps"])
    gain = numbers(where, "gain", options["gain"], 1.0)
    offset = numbers(where, "offset", options["offset"], 0.0)
    target = UdpTarget(host, default if port is None else port)
    try:
        sink = make(target, shapes, {**options, "fps": str(fps), "where": where})
    except ValueError as error:  # a message that no datagram holds
        target.close()
        raise ConfigError(f"{where}: {error}") from error
    except BaseException:
        target.close()
        raise
    return PacedSink(sink, fps, gain, offset, options["mirror"] == "1", target)
