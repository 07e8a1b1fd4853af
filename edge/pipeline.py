"""Audio blocks in, faces out. No threads, no clocks, no sockets: same input, same output."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge.audio.audio_file import clean
from edge.bundle import Bundle
from edge.code_sampling import CodeSampler
from edge.conditioning import Conditioning
from edge.contract import (
    FPS,
    SAMPLE_RATE,
    AudioBlock,
    BlendshapeFrame,
    Engine,
    Floats,
    UsageError,
    face_end,
    faces_within,
)
from edge.face import Face
from edge.features import Features
from edge.lookahead_crossfade import LookaheadCrossfade
from edge.speech_gate import SpeechGate
from edge.voice_emotion import UPDATE_FRAMES, VoiceEmotion

FILLABLE = SAMPLE_RATE // 10
"""A gap of up to 100 ms is filled with silence; after a longer one everything starts anew."""


class Pipeline:
    """Drives the two engines along one audio stream."""

    def __init__(
        self,
        bundle: Bundle,
        engines: tuple[Engine, Engine],
        lookahead: int | None = None,
        seed: int = 0,
        temperature: float = 0.0,
    ) -> None:
        """``lookahead`` is in faces; ``None`` takes the bundle's own.

        Above 0, ``temperature`` samples slow codes and the emotion to follow, by ``seed``; at 0
        they are the expected code and the likeliest emotion.
        """
        lookahead = bundle.lookahead if lookahead is None else lookahead
        self.conditioning = Conditioning(bundle.layout, lookahead)
        self._crossfade = LookaheadCrossfade()
        self._generator, self._decoder = engines
        self._features = Features()
        self._gate = SpeechGate()
        self.face = Face(bundle.rest, lookahead, seed)
        tables = bundle.tables()
        if temperature and tables is None:
            raise UsageError(
                f"{bundle.folder}: this bundle has no codes to draw; leave --temperature out, or "
                "export it again"
            )
        self._sampler = (
            CodeSampler(tables.slow, temperature, seed) if tables and temperature else None
        )
        names = bundle.emotions
        self.voice_emotion = VoiceEmotion(names, *tables[1:], temperature, seed) if tables else None
        """The emotion in the voice, where the bundle predicts one."""
        self._follow: float | None = None
        self._first = 0
        self.half = False
        """Step the networks for every second face only, because the machine is too slow."""
        self._raw = np.zeros(52, np.float32)
        self._start(at=0)

    @property
    def lookahead(self) -> int:
        """In faces."""
        return self.conditioning.lookahead

    def set_lookahead(self, lookahead: int) -> None:
        """Go on at another look-ahead (in faces, one of the bundle's) without a jump."""
        if lookahead != self.lookahead:
            self.conditioning.set_lookahead(lookahead)
            self.face.set_lookahead(lookahead)
            self._crossfade.begin()

    def expect(self, visemes: NDArray[np.int8], seconds: float) -> None:
        """Words, as ``edge.words.spell`` gives them, that the audio will reach in ``seconds``."""
        now = self._features.face
        self.conditioning.expect(visemes, now, now + round(seconds * FPS))

    def follow_voice_emotion(self, blend: float | None) -> None:
        """Let the face follow the emotion of the voice, fading over ``blend`` s; ``None``: not."""
        self._follow = blend
        if self.voice_emotion:
            self.voice_emotion.restart()

    @property
    def delay(self) -> float:
        """Declared algorithmic delay in seconds: look-ahead and the face's own 1/60.

        Each face carries its own as ``BlendshapeFrame.delay``.
        """
        return (self.lookahead + 1) / FPS

    def restart(self) -> None:
        """Begin a new stream at sample 0."""
        self.conditioning.reset()
        self._start(at=0)

    def _start(self, at: int) -> None:
        """Begin anew at sample ``at``, as if silence came before it."""
        self._features.reset(at)
        self._gate.reset()
        self._generator.reset()
        self._decoder.reset()
        self.face.reset(self.lookahead)
        self._crossfade.reset()
        self._first = faces_within(at)

    def push(self, block: AudioBlock) -> list[BlendshapeFrame]:
        """Every face that this block completes, oldest first.

        The first ``lookahead`` steps after a start give faces before it; they are left out.
        """
        samples = clean(block.samples)
        gap = block.start - self._features.next
        if 0 < gap <= FILLABLE:
            samples = np.concatenate([np.zeros(gap, np.float32), samples])
        elif gap:
            self._start(at=block.start)
        frames = []
        for face, mels, level in self._features.push(samples):
            raw = self._networks(face, mels)
            raw, index = self._crossfade.blend(raw, face - self.lookahead)
            weights, head = self.face.shape(raw, self._gate.listen(mels))
            if index >= self._first:
                captured_at = block.captured_at - (block.end - face_end(face)) / SAMPLE_RATE
                # While a longer look-ahead catches up, the delay grows face by face.
                delay = (face - index + 1) / FPS
                end = face_end(index)
                frames.append(self._frame(weights, end, captured_at, head, level, delay))
        return frames

    def _networks(self, face: int, mels: Floats) -> Floats:
        """Raw weights (52,); at half steps odd faces repeat, even ones go half the way there."""
        if self.half and face % 2:
            return self._raw
        outputs = self._generator.step(mels=mels, **self.conditioning.inputs(face))
        latent = outputs["latent"]
        if self._sampler:
            latent = self._sampler.sample(latent, outputs["codes"], face)
        if self.voice_emotion and face % UPDATE_FRAMES == 0 and self.face.speaks:
            self._update_emotion(self.voice_emotion, outputs["emotion"])
        raw: Floats = self._decoder.step(latent=latent)["weights"][0, 0]
        if not math.isfinite(np.dot(raw, raw)):  # the cheapest check of all of them
            # Recurrent state would carry it into every later face; better to begin anew.
            self._generator.reset()
            self._decoder.reset()
            return np.zeros(52, np.float32)
        if not self.half:
            return raw
        between: Floats = (self._raw + raw) * np.float32(0.5)
        self._raw = raw.copy()
        return between

    def _update_emotion(self, voice_emotion: VoiceEmotion, emotion: Floats) -> None:
        if not math.isfinite(np.vdot(emotion, emotion)):
            self._generator.reset()  # its running mean would stay NaN
            return
        voice_emotion.update(emotion)
        if self._follow is not None and (change := voice_emotion.follow()):
            self.face.emotion_blend.fade_to(*change, self._follow)

    def flush(self, captured_at: float) -> list[BlendshapeFrame]:
        """The last ``lookahead`` faces of a stream that has ended, as if silence followed."""
        start = self._features.next
        end = face_end(self._features.face - 1 + self.lookahead)
        quiet = np.zeros(max(0, end - start), np.float32)
        return self.push(AudioBlock(quiet, start, captured_at))

    def rest(self, captured_at: float) -> BlendshapeFrame:
        """A face without new audio: the mouth falls shut, blinks go on."""
        weights, head = self.face.rest()
        # Where the next face with audio would be, so that time does not go back when it comes.
        end = max(0, self._features.next - self.lookahead * SAMPLE_RATE // FPS)
        return self._frame(weights, end, captured_at, head, -120.0, self.delay)

    def _frame(
        self,
        weights: Floats,
        end: int,
        captured_at: float,
        head: Floats,
        level_db: float,
        delay: float,
    ) -> BlendshapeFrame:
        emotion = self.face.emotion_blend
        return BlendshapeFrame(
            weights, end, captured_at, head, level_db, emotion.name, emotion.strength, delay
        )
