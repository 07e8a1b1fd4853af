"""Folders of recordings to clips: one type for every source, with what does not fit reported.

``readers`` knows each source's files, ``load`` calls them; ``targets`` brings faces to one scale.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract import INDEX, EdgeError, Floats
from quantize.data.landmarks import Landmarks
from quantize.data.phones import Phone

log = logging.getLogger(__name__)

EMOTIONS = ("neutral", "anger", "boredom", "disgust", "fear", "happiness", "sadness", "surprise")

LONGEST_GAP = 0.12
"""Seconds without a captured frame that are bridged; over longer ones the face is unknown."""


class DataError(EdgeError):
    """A data set is empty or not what it should be (EX_NOINPUT)."""

    status = 66


class UnfitClipError(Exception):
    """One clip cannot be used; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Capture:
    """The face of a clip as it was captured."""

    names: tuple[str, ...]
    """ARKit name of each column, in the source's own order."""
    values: Floats
    """(frames, channels) in the source's own scale; frame ``k`` is shown at ``k / fps``."""
    fps: float
    seen: NDArray[np.bool_] | None = None
    """(frames,) where a face was seen; elsewhere ``values`` mean nothing. ``None``: everywhere."""
    landmarks: Landmarks | None = None
    """Points of the same frames where the source kept them."""

    def __post_init__(self) -> None:
        if unknown := [n for n in self.names if n not in INDEX]:
            raise UnfitClipError(f"unknown channel '{unknown[0]}'; use the ARKit names")
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise UnfitClipError(
                f"{self.values.shape} values do not match {len(self.names)} channels"
            )
        if not len(self.values):
            raise UnfitClipError("the capture holds no frames")
        if self.seen is not None and not self.seen.any():
            raise UnfitClipError("no face was seen in any frame")
        if not 10 <= self.fps <= 240:
            raise UnfitClipError(f"{self.fps:g} frames a second; expected 10 to 240")
        if not np.isfinite(self.values).all():
            missing = int((~np.isfinite(self.values)).any(axis=1).sum())
            raise UnfitClipError(f"{missing} of {len(self.values)} frames hold NaN (no face seen)")
        if self.landmarks is not None and len(self.landmarks.points) != len(self.values):
            raise UnfitClipError(
                f"{len(self.landmarks.points)} frames of points beside {len(self.values)} of shapes"
            )


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording: a voice, and what is known of it."""

    id: str
    """``source/name``; unique, and the only thing splits depend on."""
    source: str
    """Recordings of one source share a capture system, hence a scale."""
    speaker: str
    split: str
    """``train``, ``validation`` or ``test``."""
    audio: Path | None
    """Any format ``edge.audio.audio_file`` reads; ``None`` for a silent capture."""
    capture: Capture | None = None
    emotion: str | None = None
    """One of ``EMOTIONS`` where labelled."""
    level: str | None = None
    """Strength of the emotion where labelled."""
    text: str | None = None
    phones: tuple[Phone, ...] = ()
    language: str | None = None
    """BCP 47 tag, such as ``en`` or ``zh-CN``, where the set names it."""

    @property
    def maybe_english(self) -> bool:
        """Whether an English recogniser may be asked for phones and words."""
        return self.language is None or self.language.split("-")[0] == "en"

    def __post_init__(self) -> None:
        if self.audio is not None and not self.audio.is_file():
            raise UnfitClipError(f"missing audio file {self.audio}")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A clip that was not used."""

    id: str
    reason: str


ClipReader = tuple[str, Callable[[], Clip]]
"""A clip's id and the function that reads it; reading may raise ``UnfitClipError``."""


def gather(makes: Iterable[ClipReader]) -> tuple[list[Clip], list[Skipped]]:
    """Read each clip; one that does not fit is logged with its reason and left out."""
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    for clip_id, make in makes:
        try:
            clips.append(make())
        except UnfitClipError as error:
            log.warning("skipped %s: %s", clip_id, error)
            skipped.append(Skipped(clip_id, str(error)))
    return clips, skipped


def split_by_id(clip_id: str, validation: float, test: float) -> str:
    """A split that depends on the id alone, so adding clips moves no other clip."""
    rank = int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big") / 2**64
    if rank < test:
        return "test"
    return "validation" if rank < test + validation else "train"
