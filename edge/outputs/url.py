"""``SCHEME://HOST:PORT?option=value`` taken apart; what would be dropped silently is refused."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import parse_qsl, urlsplit

from edge.contract import ConfigError


def read_url(
    url: str, where: str, schemes: Collection[str]
) -> tuple[str, str, int | None, list[tuple[str, str]]]:
    """Scheme, host, port (1 to 65535, or None) and options; ``where`` begins every message."""
    _refuse_oddities(url, where)
    try:
        parts = urlsplit(url)
        port = parts.port
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}; write it as SCHEME://HOST:PORT") from error
    if parts.scheme not in schemes:
        known = ", ".join(schemes)
        if "://" not in url:
            raise ConfigError(f"{where}: no scheme; write vmc://{url or 'HOST'}, or one of {known}")
        raise ConfigError(f"{where}: unknown scheme '{parts.scheme}'; known: {known}")
    form = f"write it as {parts.scheme}://HOST:PORT?option=value"
    if "@" in parts.netloc:
        raise ConfigError(f"{where}: a datagram has no user or password; {form}")
    if not parts.hostname or parts.path:
        raise ConfigError(f"{where}: {form}")
    if port == 0:
        raise ConfigError(f"{where}: nobody can listen on port 0; {form}")
    for key, value in given:
        if not value:
            raise ConfigError(f"{where}: {key}= has no value; give one, or drop it")
        if not (key + value).isprintable():
            raise ConfigError(f"{where}: {key}: a control character cannot be sent")
    return parts.scheme, parts.hostname, port, given


def _refuse_oddities(url: str, where: str) -> None:
    # urlsplit takes tabs and line breaks out, and spaces off the ends.
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        raise ConfigError(f"{where}: a space or control character; write %20 for a space")
    if "#" in url:
        raise ConfigError(f"{where}: what follows '#' is not sent; drop it, or write %23")
