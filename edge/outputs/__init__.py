"""``SCHEME://HOST:PORT?options`` to the sink that speaks that protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlsplit

from edge.contract import ConfigError, Sink
from edge.outputs.common import (
    COMMON,
    PacedSink,
    ShapeSelection,
    numbers,
    pairs,
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
    "json": (JsonOutput, 9100, {}),
}
NAMELESS = ("livelink", "facecap")
"""Schemes that send places, not names: a rename would be silently lost."""


def open_output(url: str) -> Sink:
    """The sink of a URL such as ``vmc://127.0.0.1:39539?fps=30``; the port may be left out."""
    where = f"output '{url}'"
    try:
        parts = urlsplit(url)
        port = parts.port
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}; write it as SCHEME://HOST:PORT") from error
    if parts.scheme not in SCHEMES:
        known = ", ".join(SCHEMES)
        if "://" not in url:
            raise ConfigError(f"{where}: no scheme; write vmc://{url or 'HOST'}, or one of {known}")
        raise ConfigError(f"{where}: unknown scheme '{parts.scheme}'; known: {known}")
    if not parts.hostname or parts.path:
        raise ConfigError(f"{where}: write it as {parts.scheme}://HOST:PORT?option=value")
    make, default, own = SCHEMES[parts.scheme]
    options = read_options(where, given, {**COMMON, **own})
    if options["rename"] and parts.scheme in NAMELESS:
        raise ConfigError(f"{where}: {parts.scheme} sends no names; drop rename")
    area = options["region"]
    shapes = ShapeSelection(
        region(area),
        pairs(where, "rename", options["rename"]),
        head=area in ("all", "no-gaze"),
        gaze=area == "all",
        stamp=options["stamp"] == "1",
    )
    if options.get("role") == "assistant":
        default = 39540
    fps = read_fps(where, options["fps"])
    gain = numbers(where, "gain", options["gain"], 1.0)
    offset = numbers(where, "offset", options["offset"], 0.0)
    target = UdpTarget(parts.hostname, default if port is None else port)
    try:
        sink = make(target, shapes, {**options, "fps": str(fps), "where": where})
    except ConfigError:
        target.close()
        raise
    return PacedSink(sink, fps, gain, offset, options["mirror"] == "1")
