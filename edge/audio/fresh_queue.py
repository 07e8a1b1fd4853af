"""Things from one thread to another, the freshest ones only."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FreshQueue(Generic[T]):
    """Hands blocks from the audio thread to the worker, forgetting the oldest when full."""

    def __init__(self, depth: int) -> None:
        self._blocks: deque[T] = deque(maxlen=depth)
        self._ready = threading.Condition()
        self._ended = False
        self.dropped = 0

    def put(self, block: T) -> None:
        """Called from the audio thread: no waiting, nothing but the hand-over."""
        with self._ready:
            self.dropped += len(self._blocks) == self._blocks.maxlen
            self._blocks.append(block)
            self._ready.notify()

    def __len__(self) -> int:
        return len(self._blocks)

    def end(self) -> None:
        """No more blocks will come."""
        with self._ready:
            self._ended = True
            self._ready.notify()

    def get(self, timeout: float) -> T | None:
        """Oldest block still held; ``None`` if none comes in time, ``EOFError`` after the end."""
        with self._ready:
            if not self._ready.wait_for(lambda: self._blocks or self._ended, timeout):
                return None
            if self._blocks:
                return self._blocks.popleft()
            raise EOFError
