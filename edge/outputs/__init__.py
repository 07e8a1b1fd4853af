"""``SCHEME://HOST:PORT`` to the sink that speaks that protocol."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from edge.contract import ConfigError, Sink
from edge.outputs.udp import Target
from edge.outputs.vmc import Vmc

# Scheme -> (sink, default port).
SCHEMES: dict[str, tuple[Callable[[Target], Sink], int]] = {"vmc": (Vmc, 39539)}


def open_output(url: str) -> Sink:
    """The sink of a URL such as ``vmc://127.0.0.1:39539``; the port may be left out."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"output '{url}': {error}") from error
    if parts.scheme not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise ConfigError(f"output '{url}': unknown scheme '{parts.scheme}'; known: {known}")
    if not parts.hostname or parts.path or parts.query:
        raise ConfigError(f"output '{url}': write it as {parts.scheme}://HOST:PORT")
    make, default = SCHEMES[parts.scheme]
    return make(Target(parts.hostname, default if port is None else port))
