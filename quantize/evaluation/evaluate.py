"""Anything that makes faces of a voice to the table of accuracy: ``edge-quantize evaluate``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from edge.bundle_reader import read_bundle
from edge.contract import Floats, InputError, face_end
from quantize.data.speech_encoder import teacher_features
from quantize.evaluation.head_mesh import HeadMesh
from quantize.evaluation.predict import of_bundle
from quantize.evaluation.scoring import Faces, Row, captured, loudness, score
from quantize.evaluation.test_clips import TestClip
from quantize.training.checkpoint import open_run, settings_of


def faces_of(path: Path, clips: Sequence[TestClip]) -> dict[str, Floats]:
    """Clip id to faces (n, 52), made by what lies at ``path``.

    A bundle runs as it ships; a ``checkpoint.pt``, or the run's folder that holds it, runs as the
    kind of network that its ``run.yaml`` names.
    """
    if os.path.exists(path / "bundle.yaml"):  # unlike Path.exists, no error for a closed folder
        return of_bundle(read_bundle(path), clips)
    checkpoint = path / "checkpoint.pt" if os.path.isdir(path) else path
    if not os.path.isfile(checkpoint):
        raise InputError(f"{path}: neither a bundle (bundle.yaml) nor a run (checkpoint.pt)")
    settings = settings_of(checkpoint)
    kind = settings.get("train", "student")
    if kind not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise InputError(f"{path}: a run of '{kind}' makes no faces of a voice alone; only {known}")
    return NETWORKS[kind](checkpoint, clips)


def features_of(clip: TestClip, faces: int, speech: int = 0) -> Floats:
    """(faces, N_MELS + speech) features; as if silence followed where the clip ends sooner."""
    rest = face_end(faces - 1) - len(clip.samples)
    samples = np.concatenate([clip.samples, np.zeros(max(0, rest), np.float32)])
    return teacher_features(samples, speech)[:faces]


LOOKAHEAD = 4
"""Faces: 67 ms, at which students are compared."""


def of_student(checkpoint: Path, clips: Sequence[TestClip]) -> dict[str, Floats]:
    """The student alone, without the runtime's silence gate and idle motion, at 67 ms."""
    from quantize.export.to_onnx import load_student

    student = load_student(checkpoint)
    lookaheads = student.config.lookaheads
    late = min(lookaheads, key=lambda n: abs(n - LOOKAHEAD))
    choice = student.config.at(late)
    found = {}
    for clip in clips:
        mels = torch.from_numpy(features_of(clip, clip.faces + late))[None]
        with torch.no_grad():
            weights, _, _ = student(mels, choice, student.initial_state())
        found[clip.id] = weights[0, late:].numpy()
    return found


def of_teacher(checkpoint: Path, clips: Sequence[TestClip]) -> dict[str, Floats]:
    """The teacher at the neutral emotion, with the whole clip at once."""
    from models.teacher import Teacher, TeacherConfig
    from quantize.training.inference import faces_of

    net = open_run(checkpoint, "teacher", Teacher, TeacherConfig)
    return {t.id: faces_of(net, features_of(t, t.faces, net.speech)) for t in clips}


def of_teachers(checkpoints: Sequence[Path], clips: Sequence[TestClip]) -> Faces:
    """Every clip's mean face by teachers, which have the whole clip at once."""
    each = [of_teacher(checkpoint, clips) for checkpoint in checkpoints]
    return {t.id: np.mean([faces[t.id] for faces in each], axis=0) for t in clips}


Maker = Callable[[Path, Sequence[TestClip]], dict[str, Floats]]
NETWORKS: dict[str, Maker] = {"student": of_student, "teacher": of_teacher}
"""What ``run.yaml`` calls a run -> faces from its checkpoint."""


def evaluate(
    path: Path, clips: Sequence[TestClip], head: HeadMesh | None
) -> dict[str, dict[str, Row]]:
    """System -> set -> metric -> value: the one at ``path``, and what to hold it against."""
    systems: dict[str, Faces] = {
        path.name or str(path): faces_of(path, clips),
        "loudness": loudness(clips),
        "captured": captured(clips),
    }
    return {name: score(faces, clips, head) for name, faces in systems.items()}
