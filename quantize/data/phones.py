"""Which phone is spoken when: labels from files or by alignment, as the 15 OVR visemes.

The viseme set is Oculus/Meta's (OVRLipSync), which VRChat and most viseme avatars use too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import FPS, Floats
from edge.words import VISEMES

UNKNOWN = -1
"""Viseme index of a face without a label; losses ignore it."""


@dataclass(frozen=True, slots=True)
class Phone:
    """One labelled sound."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    viseme: str
    """One of ``VISEMES``."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text, and when it was spoken."""

    index: int
    """Into ``spelled(text)``."""
    start: float
    """Seconds."""
    end: float
    """Seconds."""


def spelled(text: str) -> list[str]:
    """The words of a text as the dictionary writes them."""
    return text.lower().replace("-", " ").split()


def _table(rows: str) -> dict[str, str]:
    pairs = (row.split(":") for row in rows.strip().splitlines())
    return {phone: viseme.strip() for viseme, phones in pairs for phone in phones.split()}


# CMU dictionary phones (ARPAbet, stress removed). Diphthongs take the viseme they begin with.
ARPABET = _table("""
    sil: SIL
    PP: P B M
    FF: F V
    TH: TH DH
    DD: T D
    kk: K G NG HH
    CH: CH JH SH ZH
    SS: S Z
    nn: N L
    RR: R ER
    aa: AA AH AY AW AE
    E: EH EY
    I: IH IY Y
    O: AO OW OY
    U: UW UH W
""")

# The symbols of EMO-DB's hand labels (German SAMPA with its own signs for reduced vowels).
EMODB = _table("""
    sil: . _
    PP: p b m B pasp basp
    FF: f v V
    DD: t d D tasp dasp
    kk: k g x X N h H kasp gasp G
    CH: S C
    SS: s z
    nn: n l L
    RR: r R
    aa: a aI aU 6 4 a6
    E: E e @ E6
    I: i I i6 j y Y
    O: o O OY 9
    U: u U
""")


def arpabet_viseme(phone: str) -> str | None:
    """Viseme of a CMU phone such as ``AH0``; ``None`` for a noise word."""
    return ARPABET.get(phone.rstrip("012").upper())


def read_emodb(path: Path) -> tuple[Phone, ...]:
    """EMO-DB ``.lablaut``: each row's time is the START of the segment it names."""
    rows: list[tuple[float, str]] = []
    for line in path.read_text("latin1").split("#", 1)[1].splitlines():
        # "0.119160   -1 !t\t+asp": the part after the tab describes, the part before names.
        named = line.split("\t")[0].split()
        if named:
            rows.append((float(named[0]), named[2] if len(named) > 2 else ""))
    phones = []
    for (start, name), (end, _) in pairwise(rows):
        viseme = EMODB.get(name.lstrip("!_(").rstrip(":")) or EMODB.get(name)
        if viseme and end > start:
            phones.append(Phone(start, end, viseme))
    return tuple(phones)


def read_pocketsphinx(path: Path) -> tuple[Phone, ...]:
    """The JSON that ``pocketsphinx align`` prints: words ``w``, each with its phones ``w``."""
    return _from_words(json.loads(path.read_text())["w"])


def _from_words(words: list[dict]) -> tuple[Phone, ...]:
    phones = []
    for word in words:
        for phone in word.get("w", ()):
            if viseme := arpabet_viseme(phone["t"]):
                phones.append(Phone(phone["b"], phone["b"] + phone["d"], viseme))
    return tuple(phones)


class Aligner:
    """Finds the phones of English speech with the acoustic model in the pocketsphinx wheel.

    Measured: forced alignment is within 10 ms of GRID's word labels (median); decoding without a
    text agrees with alignment on about two faces in three (LJSpeech).
    """

    def __init__(self) -> None:
        from pocketsphinx import Decoder, get_model_path

        loops = f"{get_model_path()}/en-us/en-us-phone.lm.bin"
        quiet = {"samprate": 16000, "lm": None, "loglevel": "FATAL"}
        self._decoder = Decoder(**quiet)
        self._loop = Decoder(**quiet, allphone=loops, lw=2.0, beam=1e-20, pbeam=1e-20)

    def find(self, samples: Floats, text: str | None) -> tuple[Phone, ...]:
        """Phones in 16 kHz ``samples``: aligned to the text where it fits, decoded where not."""
        pcm = _pcm(samples)
        return (text and self._align(pcm, text)) or self._decode(pcm)

    def words(self, samples: Floats, text: str) -> tuple[Word, ...]:
        """When each word of ``text`` is spoken in 16 kHz ``samples``.

        Words that the dictionary lacks are left out, and all of them where the text does not fit.
        """
        known = self._known(text)
        alignment = self._aligned(_pcm(samples), text)
        words = [w for w in alignment.words() if not w.name.startswith("<")] if alignment else []
        if len(words) != len(known):
            return ()
        return tuple(
            Word(index, w.start / 100, (w.start + w.duration) / 100)
            for index, w in zip(known, words, strict=True)
        )

    def _decode(self, pcm: bytes) -> tuple[Phone, ...]:
        _listen(self._loop, pcm)
        segments = (
            (s.start_frame, s.end_frame + 1, arpabet_viseme(s.word)) for s in self._loop.seg()
        )
        return tuple(Phone(start / 100, end / 100, v) for start, end, v in segments if v)

    def _align(self, pcm: bytes, text: str) -> tuple[Phone, ...]:
        alignment = self._aligned(pcm, text)
        if alignment is None:
            return ()
        segments = (
            (p.start, p.start + p.duration, arpabet_viseme(p.name)) for p in alignment.phones()
        )
        return tuple(Phone(start / 100, end / 100, v) for start, end, v in segments if v)

    def _known(self, text: str) -> list[int]:
        """Places of the words of ``spelled(text)`` that the dictionary has."""
        return [k for k, word in enumerate(spelled(text)) if self._decoder.lookup_word(word)]

    def _aligned(self, pcm: bytes, text: str) -> Any:
        """pocketsphinx's alignment of the known words, or ``None`` where they do not fit."""
        words = spelled(text)
        try:
            self._decoder.set_align_text(" ".join(words[k] for k in self._known(text)))
            _listen(self._decoder, pcm)
            self._decoder.set_alignment()
            _listen(self._decoder, pcm)
            return self._decoder.get_alignment()
        except RuntimeError:  # pocketsphinx: the words do not fit this audio
            return None


def _pcm(samples: Floats) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()


def _listen(decoder: Any, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def per_face(phones: tuple[Phone, ...], faces: int, tempo: float = 1.0) -> NDArray[np.int64]:
    """Viseme index of each face (faces,), by the sound spoken at the face's own time."""
    labels = np.full(faces, UNKNOWN, np.int64)
    for phone in phones:
        first, last = (round(t / tempo * FPS) - 1 for t in (phone.start, phone.end))
        labels[max(0, first) : max(0, last)] = VISEMES.index(phone.viseme)
    return labels
