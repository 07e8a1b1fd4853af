"""A control datagram to changes of the running face; every refusal is counted."""

from __future__ import annotations

import ipaddress
import json
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from edge.contract import INDEX, UsageError
from edge.control.live_settings import LiveSettings
from edge.control.osc_parser import Value, read_messages
from edge.outputs.osc import message

log = logging.getLogger(__name__)

MOST_BYTES = 2048
"""Of a datagram."""
MOST_LETTERS = 400
"""Of a text: half a minute of speech, and half a millisecond at most to spell."""
MOST_ANSWER = 10
"""Times the question's bytes, to other machines: a sender can be forged, and what it sends must not
become a flood towards somebody else."""
STATUS_EVERY = 0.1
"""Seconds that one status is good for; its percentiles cost 0.1 ms."""

OUTPUT = re.compile(r"/edge/output/([0-9]{1,4})/enable")

Status = Callable[[], dict[str, Any]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Refused(ValueError):
    """A message that is refused; ``reason`` is what it is counted as."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class ControlCommands:
    """One datagram to the changes it asks for. No socket and no thread."""

    def __init__(
        self,
        live: LiveSettings,
        status: Status,
        allow: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live, self._status, self._clock = live, status, clock
        self._allow = [_ipv4_if_mapped(ipaddress.ip_network(row, strict=False)) for row in allow]
        if wide := [str(network) for network in self._allow if _is_wide(network)]:
            log.warning(
                "control: nearly anyone may steer this face (control.allow: %s); name the machines",
                ", ".join(wide),
            )
        self._answer, self._answered = b"", float("-inf")
        self.refused: Counter[str] = Counter()
        """By reason: source, oversized, malformed, address, types, value, reload, answer, flood,
        socket, error."""
        self.accepted = 0
        self._does: dict[str, Callable[[tuple[Value, ...]], None]] = {
            "/edge/emotion": self._emotion,
            "/edge/emotion/auto": self._emotion_auto,
            "/edge/text": self._text,
            "/edge/style": self._style,
            "/edge/gain": self._gain,
            "/edge/lookahead": self._lookahead,
            "/edge/neutral": lambda v: live.neutral(_switch(v)),
            "/edge/mute": lambda v: live.mute(_switch(v)),
            "/edge/reload": self._reload,
        }

    def take(self, data: bytes, sender: str, cut: bool = False) -> tuple[int, list[bytes]]:
        """Apply a datagram; returns the number of messages and the datagrams to answer with."""
        answers: list[bytes] = []
        try:
            near = self._check_sender(sender)
            if cut:
                raise Refused("oversized", f"more than {MOST_BYTES} bytes")
            try:
                messages = read_messages(data)
            except ValueError as error:
                raise Refused("malformed", f"not OSC ({error})") from error
        except Refused as error:
            self.refuse(error.reason, f"{sender}: {error}")
            return 1, answers
        for address, values in messages:
            try:
                if address == "/edge/ping":
                    answers = [message("/edge/pong", *_echo(values)), self._status_message()]
                else:
                    self._do(address, values)
                self.accepted += 1
            except Refused as error:
                self.refuse(error.reason, f"{sender}: {address}: {error}")
            except (ValueError, UsageError) as error:
                self.refuse("value", f"{sender}: {address}: {error}")
        return len(messages) or 1, answers if near else self._short(answers, sender, len(data))

    def _short(self, answers: list[bytes], sender: str, asked: int) -> list[bytes]:
        """As many answers as ``MOST_ANSWER`` allows for a question of so many bytes."""
        left, few = MOST_ANSWER * asked, []
        for answer in answers:
            left -= len(answer)
            if left < 0:
                self.refuse("answer", f"{sender}: {len(answer)} bytes; ask with a longer ping")
                break
            few.append(answer)
        return few

    def refuse(self, reason: str, text: str, times: int = 1) -> None:
        """Count; log the first of each reason, because a flood must not fill the journal."""
        if not self.refused[reason]:
            printable = ascii(text[:200])[1:-1]
            log.warning("control: refused (%s) %s; counted from now on", reason, printable)
        self.refused[reason] += times

    def _check_sender(self, sender: str) -> bool:
        """Is it this machine? ``Refused`` if it may not send."""
        host = ipaddress.ip_address(sender.partition("%")[0])
        if isinstance(host, ipaddress.IPv6Address):
            host = host.ipv4_mapped or host  # as a socket on :: shows IPv4
        if host.is_loopback:
            return True
        if not any(host in network for network in self._allow):
            raise Refused("source", "not in control.allow")
        return False

    def _do(self, address: str, values: tuple[Value, ...]) -> None:
        if do := self._does.get(address):
            do(values)
        elif found := OUTPUT.fullmatch(address):
            self._live.output(int(found[1]), _switch(values))
        else:
            raise Refused("address", "no such command")

    def _emotion(self, values: tuple[Value, ...]) -> None:
        name, intensity, *blend = _typed(values, "sn", "snn")
        self._live.emotion(
            name, _within(intensity, 0, 1), _within(blend[0], 0, 60) if blend else None
        )

    def _emotion_auto(self, values: tuple[Value, ...]) -> None:
        _typed(values, "")
        self._live.emotion_auto()

    def _text(self, values: tuple[Value, ...]) -> None:
        words, *start = _typed(values, "s", "sn")
        if len(words) > MOST_LETTERS:
            raise ValueError(f"{len(words)} characters; send at most {MOST_LETTERS} at a time")
        self._live.text(words, _within(start[0], 0, 60) if start else 0.0)

    def _style(self, values: tuple[Value, ...]) -> None:
        name, *amount = _typed(values, "s", "sn")
        self._live.style(name, _within(amount[0], 0, 1) if amount else 1.0)

    def _gain(self, values: tuple[Value, ...]) -> None:
        shape, gain = _typed(values, "sn")
        if shape not in INDEX:
            raise ValueError(f"no shape '{shape}'; see edge-run --list-shapes")
        self._live.gain(shape, _within(gain, 0, 4))

    def _lookahead(self, values: tuple[Value, ...]) -> None:
        (ms,) = _typed(values, "n")
        self._live.lookahead(round(_within(ms, 0, 1000)))

    def _reload(self, values: tuple[Value, ...]) -> None:
        _typed(values, "")
        if not self._live.reload():
            raise Refused("reload", "the last one is not a second old")

    def _status_message(self) -> bytes:
        now = self._clock()
        if now - self._answered >= STATUS_EVERY:
            figures = self._status() | {
                "accepted": self.accepted,
                "refused": dict(self.refused) | {"queue": self._live.inbox.dropped},
            }
            # Plain ASCII and no NaN, so that any JSON reader takes it.
            self._answer = message("/edge/status", json.dumps(figures, allow_nan=False))
            self._answered = now
        return self._answer


def _ipv4_if_mapped(network: Network) -> Network:
    """``::ffff:10.0.0.0/104`` as 10.0.0.0/8."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped and network.prefixlen >= 96:
        return ipaddress.ip_network((mapped, network.prefixlen - 96))
    return network


def _is_wide(network: Network) -> bool:
    """More than the largest private network holds?"""
    return network.prefixlen < (8 if network.version == 4 else 32)


def _typed(values: tuple[Value, ...], *forms: str) -> list[Any]:
    """The values if they fit one of the forms (s string, n number), else ``Refused``."""
    kinds = "".join(
        "s" if isinstance(v, str) else "b" if isinstance(v, bool) else "n" for v in values
    )
    if kinds not in forms:
        expected = " or ".join(repr(form) for form in forms)
        raise Refused("types", f"takes {expected} (s string, n number), got {kinds!r}")
    return list(values)


def _within(value: float, low: float, high: float) -> float:
    # NaN is in no range.
    if not low <= value <= high:
        raise ValueError(f"{value} is not within {low:g} to {high:g}")
    return float(value)


def _switch(values: tuple[Value, ...]) -> bool:
    """On without a value; else 1 or true is on, 0 or false is off."""
    if not values:
        return True
    if len(values) > 1 or isinstance(values[0], str):
        raise Refused("types", "takes nothing, or 0 or 1")
    if values[0] not in (0, 1):
        raise ValueError(f"{values[0]} is neither 0 nor 1")
    return bool(values[0])


def _echo(values: tuple[Value, ...]) -> list[Value]:
    """What a ping carried, as far as it fits back into i, f and s."""
    echo = [int(v) if isinstance(v, bool) else v for v in values[:8]]
    return [
        v
        for v in echo
        if isinstance(v, str)
        or (isinstance(v, int) and -(2**31) <= v < 2**31)
        or (isinstance(v, float) and math.isfinite(v) and abs(v) < 3e38)
    ]
