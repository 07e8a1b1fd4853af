"""Latencies to the duties that are dropped, one by one, while a machine is too slow."""

from __future__ import annotations

import logging

from edge.contract import FPS, Sink

log = logging.getLogger(__name__)

STEPS = (
    "everything again",
    "without the meter and the preview",
    "without the CSV record",
    "sending every second face",
    "stepping the networks for every second face only",
)
METER, RECORD, HALF_RATE, HALF_STEPS = 1, 2, 3, 4
"""Steps from which a duty is dropped. The look-ahead is never touched."""

DOWN, UP = 2 * FPS, 10 * FPS
"""Late faces in a row of seconds before a step down; faces on time before a step up."""


class LoadShedder:
    """Goes down when a tenth of the faces of two seconds is late, up after ten good seconds."""

    def __init__(self, late: float) -> None:
        """``late`` is in seconds."""
        self._late, self.step = late, 0
        self._seen = self._bad = self._good = 0

    def add(self, latency: float) -> None:
        """Take in one face's latency in seconds, whether it was sent or not."""
        self._seen += 1
        late = latency > self._late
        self._bad += late
        self._good = 0 if late else self._good + 1
        if self._good >= UP and self.step:
            self._go(self.step - 1)
        elif self._seen >= DOWN:
            if self._bad * 10 > self._seen and self.step < len(STEPS) - 1:
                self._go(self.step + 1)
            self._seen = self._bad = 0

    def _go(self, step: int) -> None:
        if step > self.step:
            log.warning("faces are late: going on %s", STEPS[step])
        else:
            log.info("faces are on time: going on %s", STEPS[step] if step else STEPS[0])
        self.step = step
        self._seen = self._bad = self._good = 0

    def wants(self, sink: Sink) -> bool:
        """Is this sink still served? ``sink.duty`` says what it does; outputs need not."""
        duty = getattr(sink, "duty", None)
        return not (
            (duty == "meter" and self.step >= METER) or (duty == "record" and self.step >= RECORD)
        )
