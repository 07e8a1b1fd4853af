"""Anything that makes faces of a voice to the table of accuracy: ``edge-quantize evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from benchmarks.accuracy import of_bundle
from benchmarks.head import Head
from benchmarks.scoring import Faces, Row, captured, loudness, score
from benchmarks.trials import Trial
from edge.bundle import read_bundle
from edge.contract import Floats, InputError, face_end
from edge.features import Features


def faces_of(path: Path, clips: Sequence[Trial]) -> dict[str, Floats]:
    """Trial id to faces (n, 52), made by what lies at ``path``.

    A bundle runs as it ships; a ``checkpoint.pt``, or the run's folder that holds it, runs as the
    kind of network that its ``run.yaml`` names.
    """
    if (path / "bundle.yaml").exists():
        return of_bundle(read_bundle(path), clips)
    checkpoint = path / "checkpoint.pt" if path.is_dir() else path
    if not checkpoint.is_file():
        raise InputError(f"{path}: neither a bundle (bundle.yaml) nor a run (checkpoint.pt)")
    kind = _kind(checkpoint)
    if kind not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise InputError(f"{path}: a {kind} makes no faces of a voice; those that do: {known}")
    return NETWORKS[kind](checkpoint, clips)


def _kind(checkpoint: Path) -> str:
    """What ``edge-quantize train`` was asked for; the plain verb trains a student."""
    settings = checkpoint.with_name("run.yaml")
    said = yaml.safe_load(settings.read_text()) if settings.exists() else None
    return str((said or {}).get("train", "student"))


def of_student(checkpoint: Path, clips: Sequence[Trial]) -> dict[str, Floats]:
    """The student alone, without the runtime's silence gate and idle motion, at 67 ms."""
    from models.student import Student, StudentConfig

    try:
        saved = torch.load(checkpoint, weights_only=True)
        sizes = saved["sizes"] | {"lookaheads": tuple(saved["sizes"]["lookaheads"])}
        student = Student(StudentConfig(**sizes))
        student.load_state_dict(saved["average"])
    except Exception as error:  # torch and pickle share no other base
        first = str(error).partition(". ")[0] or type(error).__name__
        raise InputError(f"{checkpoint}: not a checkpoint of a student ({first})") from error
    lookaheads = student.config.lookaheads
    late = min(lookaheads, key=lambda n: abs(n - 4))
    choice = torch.eye(len(lookaheads))[[lookaheads.index(late)]]
    student.eval()
    found = {}
    for trial in clips:
        rest = face_end(trial.faces - 1 + late) - len(trial.samples)
        quiet = np.zeros(max(0, rest), np.float32)
        heard = Features().push(np.concatenate([trial.samples, quiet]))
        mels = torch.from_numpy(np.stack([mel for _, mel, _ in heard]))[None]
        with torch.no_grad():
            weights, _, _ = student(mels, choice, student.memory())
        found[trial.id] = weights[0, late:].numpy()
    return found


Maker = Callable[[Path, Sequence[Trial]], dict[str, Floats]]
NETWORKS: dict[str, Maker] = {"student": of_student}
"""What ``run.yaml`` calls a run -> faces from its checkpoint. A teacher adds itself here."""


def evaluate(path: Path, clips: Sequence[Trial], head: Head | None) -> dict[str, dict[str, Row]]:
    """System -> set -> metric -> value: the one at ``path``, and what to hold it against."""
    systems: dict[str, Faces] = {
        path.name or str(path): faces_of(path, clips),
        "loudness": loudness(clips),
        "captured": captured(clips),
    }
    return {name: score(faces, clips, head) for name, faces in systems.items()}
