"""Which face of the stream a packet carries, so that a receiver can tell its time."""

from __future__ import annotations

from edge.contract import FPS, BlendshapeFrame, faces_within

MOST = 0x7FFFFFFF
"""The largest number; 0 follows. At 60 faces a second that is more than a year."""


class FrameNumber:
    """Counts audio time, not packets: a face that is not sent still takes its number.

    Numbers never go back or come twice. Where there is no new audio (at rest, and the neutral face
    at the end) the clock goes on counting.
    """

    def __init__(self, fps: int) -> None:
        """``fps`` is the receiver's rate, 1 to 60."""
        self._fps, self._face, self._last = fps, -1, -1
        self._offset = 0
        """How far numbers are ahead of audio that stood still."""
        self._rest: tuple[float, int] | None = None
        """When the rest without audio began, seconds, and the number then."""

    def of(self, frame: BlendshapeFrame) -> int:
        """The number of a face, 0 to ``MOST``."""
        least, face = self._last + 1, faces_within(frame.end)
        if face > self._face:
            number = face * self._fps // FPS + self._offset
            if self._rest and number < least:
                self._offset += least - number
            self._face, self._rest = face, None
        else:
            self._rest = self._rest or (frame.captured_at, least)
            began, first = self._rest
            number = first + round((frame.captured_at - began) * self._fps)
        self._last = max(least, number)
        return self._last & MOST
