"""What the doctor found, as one sentence with the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``edge-run --doctor``."""

    what: str
    """The thing looked at, in a word."""
    verdict: Verdict
    text: str
    status: int = 0
    """Exit status that this alone would give."""
