"""The settings of a student's training."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.student_sizes import StudentConfig


@dataclass(frozen=True)
class StudentRun:
    """What decides a run; kept as ``run.yaml`` beside the checkpoint."""

    data: tuple[str, ...]
    """Folders that ``quantize.data.load.load`` reads, or the one that ``prepare`` made."""
    noise: str | None = None
    """Folder with ``noise/`` and ``rir/`` to mix in; without it only synthetic noise is."""
    seed: int = 0
    epochs: int = 60
    renditions: int = 12
    """How many times the corpus is rendered anew; epochs cycle through them."""
    repeat: dict[str, int] = field(default_factory=lambda: {"facegood": 3})
    """How often a source is used in one rendition, where not once."""
    batch: int = 24
    """Streams trained side by side; state is carried along each."""
    window: int = 100
    """Faces between two updates (back-propagation is cut there, state is not)."""
    rate: float = 3e-3
    """Peak learning rate (``warm_cosine``)."""
    velocity: float = 4.0
    """Weight of the loss beside that of the shapes; likewise the next two."""
    viseme: float = 0.5
    closure: float = 0.03
    teacher: tuple[str, ...] = ()
    """Checkpoints of ``train teacher``; their mean face is the target of unpaired voices."""
    share: float = 0.75
    """Of the teachers' face in that target; the rest is the mean face of the viseme."""
    trust: float = 0.8
    """Weight of such a target; a captured face's is 1."""
    captured: float = 0.5
    """Share of the teachers' face where there is a captured one."""
    codebook: str | None = None
    """Checkpoint of ``train codebook``, whose codes the student predicts."""
    embedding: str | None = None
    """Checkpoint of ``train emotion``, whose emotions it predicts."""
    codes: float = 0.05
    """Weight of the teachers' codes; the next two likewise."""
    emotion: float = 0.2
    content: float = 0.1
    styled: float = 0.5
    """Share of the streams conditioned on the source of their captured face, if they have one."""
    noise_level: float = 0.1
    """Standard deviation of noise on the features (0.1 is 2 dB)."""
    masked_bands: int = 6
    """Up to so many neighbouring mel bands are masked in each window (SpecAugment)."""
    conditioning_epochs: int = 3
    """Epochs in which words, and styles further, are learned on the frozen student; 0: none."""
    emotion_steps: int = 700
    """Steps in which the names of acted emotions are learned last, with teachers; 0: none."""
    model: StudentConfig = field(default_factory=StudentConfig)
