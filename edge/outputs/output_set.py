"""All outputs of a running face as one sink, which control can switch and a reload can replace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge.contract import BlendshapeFrame, EdgeError, Sink
from edge.outputs.common import check_delivery


class Outputs:
    """The sinks of the ``to`` URLs as one; each can be switched off and on, numbered from 1."""

    def __init__(self, urls: Sequence[str], open_output: Callable[[str], Sink]) -> None:
        self._open_output = open_output
        self._sinks = self.prepare(urls)
        self._off: set[str] = set()
        self._on = list(self._sinks.values())
        self._delay = 0.0

    def prepare(self, urls: Sequence[str]) -> dict[str, Sink]:
        """URL to sink, those that are open already as they are; all or nothing."""
        have: dict[str, Sink] = getattr(self, "_sinks", {})
        fresh: dict[str, Sink] = {}
        try:
            for url in urls:
                if url not in have and url not in fresh:
                    fresh[url] = self._open_output(url)
        except EdgeError:
            for sink in fresh.values():
                sink.close()
            raise
        return {url: have[url] if url in have else fresh[url] for url in urls}

    def adopt(self, sinks: dict[str, Sink]) -> None:
        """Send to these from now on; those left out get a neutral face and close."""
        for url, sink in self._sinks.items():
            if url not in sinks:
                sink.send(_neutral(self._delay))
                sink.close()
        self._sinks = sinks
        self._choose()

    def enable(self, number: int, on: bool) -> None:
        """Switch the output on or off; before it goes silent it gets a neutral face."""
        if number > len(self._sinks):  # a reload took it away meanwhile
            return
        url = list(self._sinks)[number - 1]
        if not on and url not in self._off:
            self._sinks[url].send(_neutral(self._delay))
        (self._off.discard if on else self._off.add)(url)
        self._choose()

    def _choose(self) -> None:
        self._on = [sink for url, sink in self._sinks.items() if url not in self._off]

    def listed(self) -> list[dict[str, Any]]:
        """For the status: URL, whether it is on and failed sends, in the order of their numbers."""
        failures = self.send_failures()
        return [
            {"to": url, "on": url not in self._off, "failed": count}
            for url, count in failures.items()
        ]

    def send_failures(self) -> dict[str, int]:
        """URL to the datagrams that the system refused to send there."""
        return {url: getattr(sink, "failed", 0) for url, sink in list(self._sinks.items())}

    def check(self) -> None:
        """``MissingError`` if nothing at all could be sent to one of them."""
        check_delivery(self._sinks.values())

    def __len__(self) -> int:
        return len(self._sinks)

    def send(self, frame: BlendshapeFrame) -> None:
        """To every output that is on."""
        self._delay = frame.delay
        for sink in self._on:
            sink.send(frame)

    def close(self) -> None:
        """Close all."""
        for sink in self._sinks.values():
            sink.close()


def _neutral(delay: float) -> BlendshapeFrame:
    return BlendshapeFrame(np.zeros(52, np.float32), 0, time.monotonic(), delay=delay)
