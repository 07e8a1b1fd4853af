"""A PortAudio input to ``AudioBlock`` at 16 kHz, opened again whenever it is lost."""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from edge.audio.devices import DeviceChoice, choose
from edge.audio.fresh_queue import FreshQueue
from edge.audio.portaudio import import_sounddevice, loud, quiet, restart, surroundings
from edge.audio.portaudio_stream import Opening
from edge.audio.voice_channel import VoiceChannel
from edge.contract import SAMPLE_RATE, AudioBlock, EdgeError, Floats, InputError, MissingError

log = logging.getLogger(__name__)

Clock = Callable[[], float]

CHECK, RETRY = 0.1, 0.5
"""Seconds between two looks at a stream, and between two tries to open one."""

STUCK = 20.0
"""Seconds in the sound system after which it will not come back: the slowest device seen took 2."""


class DeviceSearch:
    """When PortAudio should list its devices anew: it loads every ALSA plugin and takes 0.1 s.

    Devices that came, or a server that was restarted, are only seen then; a source of a server that
    is still there is not listed by PortAudio at all. So: each try for a while after something
    changed, once after each loss if opening alone does not help, and seldom otherwise.
    """

    WHILE, SELDOM = 10.0, 60.0
    """Seconds: a device that just came may take some to answer."""
    PATIENCE = 4
    """Tries (2 s) with the devices as they are listed; then they are listed anew, once a loss."""

    def __init__(self, clock: Clock, look: Callable[[], object] = surroundings) -> None:
        self._clock, self._look = clock, look
        self._seen, self._until, self._last = look(), -math.inf, clock()
        self._tries, self._owed = 0, False

    def lost(self) -> None:
        """A stream that ran has ended."""
        self._tries = 0

    def worthwhile(self) -> bool:
        """Ask once before each try to open."""
        now, seen = self._clock(), self._look()
        if seen != self._seen:
            self._seen, self._until = seen, now + self.WHILE
        self._tries += 1
        if now < self._until or self._tries == self.PATIENCE or now - self._last >= self.SELDOM:
            self._owed = True
        return self._owed

    def done(self) -> None:
        """It was listed anew. If that failed it is owed until it succeeds."""
        self._last, self._owed = self._clock(), False


class Microphone:
    """A microphone that may be unplugged, suspended or not there yet.

    All of PortAudio is used by one thread, which looks after the stream; the worker only reads.
    """

    def __init__(
        self,
        mic: str,
        depth: int,
        channel: int | None = None,
        wait: bool = False,
        realtime: bool = False,
        clock: Clock = time.monotonic,
        sounddevice: Any = None,
    ) -> None:
        """``mic`` as in ``choose``; ``depth`` counts blocks.

        Without ``wait`` an ``InputError`` is raised if it cannot be opened now.
        """
        self._sounddevice = sounddevice or import_sounddevice()
        self._mic, self._channel, self._realtime, self._clock = mic, channel, realtime, clock
        self._queue: FreshQueue[Any] = FreshQueue(depth)
        self._opening: Opening | None = None
        self._choice: DeviceChoice | None = None
        self._search = DeviceSearch(clock)
        self._end, self._ended_at = 0, 0.0
        self._inside_since = math.inf
        self.reconnects = 0
        self.state = "missing"
        """``listening``, ``missing`` (cannot be opened) or ``lost`` (was open, is being closed)."""
        self._stop = threading.Event()
        try:
            self._open()
        except InputError as error:
            if not wait:
                raise
            # Not again until it is there: a line each half second would bury the rest.
            log.warning("%s; waiting for it", error)
        else:
            log.info("microphone %s", self._choice)
        self._thread = threading.Thread(target=self._look_after, name="microphone", daemon=True)
        self._thread.start()

    def _open(self) -> None:
        choice = choose(self._sounddevice, self._mic, self._channel)
        # Which channel has the voice is asked once for a device, not at every reconnect.
        if choice != self._choice:
            self._voice = VoiceChannel(choice.channels, choice.rate)
        try:
            self._opening = Opening(
                self._sounddevice, choice, self._voice, self._queue, self._clock, self._realtime
            )
        except self._sounddevice.PortAudioError as error:
            name = choice.name if self._mic == "default" else self._mic
            raise InputError(
                f"microphone '{name}' cannot be opened ({error}); is it there, and does no other "
                "program hold it?"
            ) from error
        self.state = "listening"
        self._choice = choice

    def _look_after(self) -> None:
        while not self._stop.wait(CHECK):
            self.look()

    def look(self) -> None:
        """Is the stream alive? If not, try once to open it again (may take a second)."""
        if self._opening is not None:
            if not self._opening.lost:
                return
            self.state = "lost"
            log.warning("microphone '%s': no audio; opening it again", self._mic)
            self._search.lost()
        self._inside_since = self._clock()
        try:
            self._shut()
            with quiet():
                if self._search.worthwhile():
                    restart(self._sounddevice)
                    self._search.done()
                self._open()
            log.info("microphone %s is back", self._choice)
            self.reconnects += 1
        except (EdgeError, ValueError, self._sounddevice.PortAudioError) as error:
            # Whatever it was: without this thread the microphone would stay lost for ever.
            log.debug("still no microphone: %s", error)
            self.state = "missing"
        finally:
            self._inside_since = math.inf
        if self._opening is None:
            self._stop.wait(RETRY)

    def _shut(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            try:
                opening.close()
            except self._sounddevice.PortAudioError as error:
                log.debug("closing a lost stream: %s", error)

    @property
    def dropped(self) -> int:
        """Blocks forgotten because nobody fetched them in time."""
        return self._queue.dropped

    def read(self, timeout: float) -> AudioBlock | None:
        """The next block at 16 kHz; ``None`` if none came in ``timeout`` seconds.

        Raises ``MissingError`` if the sound system does not return from a call any more: nothing
        but a new process helps then, and a service gets one.
        """
        item = self._queue.get(timeout)
        if item is None and self._clock() - self._inside_since > STUCK:
            loud()
            raise MissingError(
                f"the sound system has hung for {STUCK:.0f} s over microphone '{self._mic}'; "
                "start again, and if it hangs again restart PipeWire or PulseAudio"
            )
        return None if item is None else self._block(*item)

    def _block(self, opening: Opening, raw: Floats, first: int, arrived: float) -> AudioBlock:
        samples = opening.level.push(opening.mono(raw))
        captured_at = opening.arrivals.captured_at(first + len(raw), arrived)
        if opening.offset is None:
            # Time without a stream is lost audio: the axis goes on by the clock.
            away = captured_at - self._ended_at - len(raw) / opening.rate
            opening.offset = self._end + round(max(0.0, away) * SAMPLE_RATE) if self._end else 0
        start = first
        if opening.resampler is not None:
            # Blocks dropped before the resampler leave its count; put the gap back on the axis.
            start = opening.resampler.skip_to(first)
            samples = opening.resampler.push(samples)
            # The filter holds the newest samples back.
            held = (first + len(raw)) / opening.rate - (start + len(samples)) / SAMPLE_RATE
            captured_at -= held
        block = AudioBlock(samples, opening.offset + start, captured_at)
        self._end, self._ended_at = block.end, captured_at
        return block

    def close(self) -> None:
        """Release the device."""
        self._stop.set()
        self._thread.join(2.0)
        if self._thread.is_alive():
            # PortAudio's own farewell would wait for the hung call for ever.
            atexit.unregister(self._sounddevice._exit_handler)
        else:
            self._shut()
