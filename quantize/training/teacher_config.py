"""The settings of a teacher's training."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.teacher import TeacherConfig


@dataclass(frozen=True)
class TeacherRun:
    """What decides a run; kept as ``run.yaml`` beside the checkpoint."""

    data: tuple[str, ...]
    """Folders that ``quantize.data.load.load`` reads, or the one that ``prepare`` made."""
    noise: str | None = None
    """Folder with ``noise/`` and ``rir/`` to mix in; without it only synthetic noise is."""
    seed: int = 0
    epochs: int = 28
    renditions: int = 12
    """How many times the corpus is rendered anew; epochs cycle through them."""
    repeat: dict[str, int] = field(default_factory=lambda: {"facegood": 3})
    """How often a source is used in one rendition, where not once."""
    batch: int = 16
    acted: int = 24
    """Pairs of acted windows a step."""
    rate: float = 2e-3
    """Peak learning rate (``warm_cosine``)."""
    velocity: float = 4.0
    """Weight of the loss beside that of the shapes; likewise the next three."""
    viseme: float = 0.5
    closure: float = 0.03
    cross: float = 0.3
    """Of the acted pairs; within them EmoTalk's 1 / 1 / 0.5 / 0.1."""
    augment: bool = True
    """Whether noise is added to the features and parts of them are masked."""
    model: TeacherConfig = field(default_factory=TeacherConfig)
