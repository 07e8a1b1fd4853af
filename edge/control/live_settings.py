"""What can change while faces are sent: checked in any thread, done between two faces."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from edge.bundle import Bundle
from edge.config import Config, changed
from edge.contract import EdgeError, Sink
from edge.emotion import emotion_named, load_emotions
from edge.outputs.output_set import Outputs
from edge.pipeline import Pipeline
from edge.words import spell

log = logging.getLogger(__name__)

DEPTH = 128
"""Commands that may wait for the next face."""
A_FACE = 16
"""Commands done between two faces; each takes a few microseconds."""
RELOAD_EVERY = 1.0
"""Seconds between two looks at the file: reading it costs the faces some milliseconds."""

LIVE_KEYS = {"to", "lookahead", "gains", "emotion"}
"""What a reload can change; the rest takes effect when edge-run starts again."""


class Inbox:
    """Calls that other threads ask the frame loop to make; drops the oldest when full."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque(maxlen=DEPTH)
        self.dropped = 0

    def put(self, call: Callable[[], None]) -> None:
        """Ask for a call that cannot fail and takes microseconds."""
        self.dropped += len(self._calls) == DEPTH
        self._calls.append(call)

    def drain(self) -> None:
        """Make the calls; by the frame loop only."""
        for _ in range(min(A_FACE, len(self._calls))):
            self._calls.popleft()()


class LiveSettings:
    """What can be changed of a running face.

    Methods are called from any thread. They check the value and leave a call in ``inbox``; an
    invalid value is a ``ValueError`` or a ``UsageError``.
    """

    def __init__(
        self,
        bundle: Bundle,
        pipeline: Pipeline,
        outputs: Outputs,
        config: Config,
        load: Callable[[], Config] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``pipeline`` has the gains and the emotion of ``config`` already.

        ``load`` reads the configuration again; ``None`` where none was named.
        """
        self.bundle, self.pipeline, self.outputs, self.config = bundle, pipeline, outputs, config
        self.inbox = Inbox()
        self.pending: dict[str, Any] = {}
        """What was asked for that this bundle cannot do."""
        self.gains = dict(config.gains)
        self._load, self._clock = load, clock
        self._read_at = float("-inf")
        self._reading = threading.Lock()
        self._last_reload = ""
        """How the last reload went."""
        load_emotions()  # now, because later it would hold up a face

    def emotion(self, word: str, intensity: float, blend: float | None = None) -> None:
        """Fade to an emotion; the face stops following the voice."""
        seconds = self.config.emotion.blend if blend is None else blend
        fade_to = self.pipeline.face.emotion_blend.fade_to
        fade = partial(fade_to, emotion_named(word), intensity, seconds)
        self.inbox.put(partial(self.pipeline.follow_voice_emotion, None))
        self.inbox.put(fade)
        self.pending.pop("emotion", None)

    def emotion_auto(self) -> None:
        """Let the face follow the emotion of the voice; the one set before fades out."""
        blend, fade_to = self.config.emotion.blend, self.pipeline.face.emotion_blend.fade_to
        self.inbox.put(partial(fade_to, None, 0.0, blend))
        if self.pipeline.voice_emotion:
            self.inbox.put(partial(self.pipeline.follow_voice_emotion, blend))
        else:
            self._add_pending("emotion", "auto")

    def text(self, words: str, seconds: float) -> None:
        """Words that the audio will reach in ``seconds``; ``""`` is silence."""
        visemes = spell(words)
        if len(visemes) or not words:  # a text that cannot be spelled changes nothing
            self.inbox.put(partial(self.pipeline.expect, visemes, seconds))

    def style(self, name: str, amount: float) -> None:
        """Take on ``amount`` (0..1) of one of the bundle's styles."""
        if not self.bundle.styles:
            self._add_pending("style", [name, amount])
        elif name in self.bundle.styles:
            self.inbox.put(partial(self.pipeline.conditioning.set_style, name, amount))
        else:
            raise ValueError(f"this bundle has the styles {', '.join(self.bundle.styles)}")

    def _add_pending(self, what: str, value: Any) -> None:
        """List what this bundle cannot do under ``pending``."""
        if what not in self.pending:
            log.info("control: this bundle has no %s; listed as pending", what)
        self.pending[what] = value

    def gain(self, shape: str, value: float) -> None:
        """Multiply a shape by ``value``."""
        self.gains = {**self.gains, shape: value}
        if value == 1.0:
            del self.gains[shape]
        self.inbox.put(partial(self.pipeline.face.set_gains, self.gains))

    def lookahead(self, ms: int) -> None:
        """Set one of the bundle's look-aheads, in ms."""
        self.inbox.put(partial(self.pipeline.set_lookahead, self.bundle.lookahead_of(ms)))

    def neutral(self, on: bool) -> None:
        """Hold the rest pose, or let it go."""
        self.inbox.put(partial(setattr, self.pipeline.face, "neutral", on))

    def mute(self, on: bool) -> None:
        """Stop audio from moving the face, or let it."""
        self.inbox.put(partial(setattr, self.pipeline.face, "muted", on))

    def output(self, number: int, on: bool) -> None:
        """Switch an output, numbered from 1."""
        if not 1 <= number <= len(self.outputs):
            raise ValueError(f"there is no output {number}")
        self.inbox.put(partial(self.outputs.enable, number, on))

    def reload(self) -> bool:
        """Read the configuration again in a thread of its own; ``False`` if just done."""
        now = self._clock()
        if now - self._read_at < RELOAD_EVERY or self._reading.locked():
            return False
        self._read_at = now
        if self._load is None:
            self._log_reload(
                logging.WARNING,
                "reload: edge-run was started without --config, there is nothing to read",
            )
        else:
            try:
                threading.Thread(target=self.read_again, name="reload", daemon=True).start()
            except RuntimeError as error:  # the system has no thread left; SIGHUP must not kill us
                self._log_reload(
                    logging.ERROR, f"reload: {error}; the old configuration runs on, try again"
                )
        return True

    def read_again(self) -> None:
        """The work of ``reload``: a bad file is refused and everything stays as it is."""
        assert self._load is not None
        with self._reading:
            try:
                new = self._load()
                lookahead = self.bundle.lookahead_of(new.lookahead)
                sinks = self.outputs.prepare(new.to)
            except Exception as error:  # whatever a file makes of it, the faces go on
                why = str(error) if isinstance(error, EdgeError | ValueError) else repr(error)
                self._log_reload(
                    logging.ERROR, f"reload refused, the old configuration runs on: {why}"
                )
                return
            self.inbox.put(partial(self._adopt, new, lookahead, sinks))

    def _adopt(self, new: Config, lookahead: int, sinks: dict[str, Sink]) -> None:
        """Do what differs between the two files; what OSC has set since stays otherwise."""
        keys, self.config = changed(self.config, new), new
        face = self.pipeline.face
        if "to" in keys:
            self.outputs.adopt(sinks)
        if "lookahead" in keys:
            self.pipeline.set_lookahead(lookahead)
        if "gains" in keys:
            self.gains = dict(new.gains)
            face.set_gains(self.gains)
        if "emotion" in keys:
            emotion = new.emotion
            face.emotion_blend.fade_to(emotion.name, emotion.intensity, emotion.blend)
        done = [key for key in keys if key in LIVE_KEYS]
        text = f"changed {', '.join(done)}" if done else "nothing to change now"
        self._log_reload(logging.INFO, f"reload: {text}")
        if later := [key for key in keys if key not in LIVE_KEYS]:
            log.warning("reload: takes effect when edge-run starts again: %s", ", ".join(later))

    def _log_reload(self, level: int, text: str) -> None:
        """Log how a reload went unless the last one went the same: there may be one a second."""
        if text != self._last_reload:
            log.log(level, "%s", text)
            self._last_reload = text
