"""Training clips to what the teachers predict of them, the student's targets.

Faces (the mean over all teachers given), content features (of the first teacher), codes of the
face (of the captured one where there is one) and the emotion as a distribution. All are in the
clip's own time, so that they are found again where it is spoken at another tempo. Computed once and
kept as ``teacher_targets.npz``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from edge.contract import FPS, Floats
from edge.features import N_MELS
from edge.files import atomic_write
from models.codebook import SLOW, Codebook
from models.embedding import Embedding
from models.teacher import Teacher
from quantize.data.pseudo_targets import viseme_poses, with_phone_faces
from quantize.data.speech_encoder import teacher_features
from quantize.data.streams import LoadedClip, TrainingStream
from quantize.data.targets import Scale, arkit_spread, seen_at_sixty, targets
from quantize.training.inference import EMOTION_HOP, EMOTION_WINDOW, embed, faces_of


@dataclass(frozen=True)
class TeacherNetworks:
    """Trained networks that run over whole clips."""

    faces: Sequence[Teacher]
    """The mean of their faces is a target, and the first one's content features."""
    codebook: Codebook
    embedding: Embedding


@dataclass(frozen=True)
class TeacherTargets:
    """Targets of all clips, one after the other."""

    faces: NDArray[np.float16]
    """(F, 52) teachers' faces, 60 a second, in the common range."""
    content: NDArray[np.float16]
    """(C, 160) 30 a second."""
    slow: NDArray[np.int16]
    """(S,) codes, 7.5 a second."""
    fast: NDArray[np.int16]
    """(C,) codes, 30 a second."""
    emotion: NDArray[np.float16]
    """(E, 64) mean and log-variance of windows of 1.5 s, five a second."""
    starts: NDArray[np.int64]
    """(clips + 1, 2) where each clip begins in ``faces`` (a multiple of 8) and in ``emotion``."""

    def save(self, path: Path) -> None:
        """Write ``teacher_targets.npz``; processes of torchrun may do so at once."""
        with atomic_write(path) as file:
            np.savez(file, **{f.name: getattr(self, f.name) for f in fields(self)})

    @staticmethod
    def load(path: Path) -> TeacherTargets:
        """Read what ``save`` wrote."""
        with np.load(path) as stored:
            return TeacherTargets(**{f.name: stored[f.name] for f in fields(TeacherTargets)})

    def face_rows(self, clip: NDArray[np.int32], time: Floats) -> NDArray[np.int64]:
        """Rows of ``faces`` at times (seconds) of clips; half as much is a row of ``fast``.

        Where ``clip`` is -1 the row means nothing.
        """
        first, last = self.starts[clip, 0], self.starts[clip + 1, 0] - 1
        return np.clip(first + np.rint(time * FPS).astype(np.int64) - 1, first, last)

    def emotion_rows(self, clip: NDArray[np.int32], time: Floats) -> NDArray[np.int64]:
        """Rows of ``emotion``: of the window that ends there, because a student knows no later."""
        first, last = self.starts[clip, 1], self.starts[clip + 1, 1] - 1
        row = ((time - EMOTION_WINDOW / FPS) * FPS / EMOTION_HOP).astype(np.int64)
        return np.clip(first + row, first, last)


def compute_targets(
    clips: Sequence[LoadedClip], teachers: TeacherNetworks, scales: dict[str, Scale]
) -> TeacherTargets:
    """Run the teachers over every clip as it was recorded; minutes for an hour of speech."""
    rows: dict[str, list[NDArray]] = {f.name: [] for f in fields(TeacherTargets)}
    starts = [(0, 0)]
    for one in tqdm(clips, desc="teachers' targets"):
        predicted = _targets_of(one, teachers, scales)
        for name, values in predicted.items():
            rows[name].append(values)
        faces, emotions = starts[-1]
        starts.append((faces + len(predicted["faces"]), emotions + len(predicted["emotion"])))
    rows["starts"] = [np.array(starts)]
    return TeacherTargets(**{name: np.concatenate(parts) for name, parts in rows.items()})


@torch.no_grad()
def _targets_of(
    one: LoadedClip, teachers: TeacherNetworks, scales: dict[str, Scale]
) -> dict[str, NDArray]:
    features = teacher_features(one.sound, max(net.speech for net in teachers.faces))
    features = np.concatenate([features, np.repeat(features[-1:], -len(features) % SLOW, axis=0)])
    inputs = [features[:, : N_MELS + net.speech] for net in teachers.faces]
    faces = np.mean([faces_of(*pair) for pair in zip(teachers.faces, inputs, strict=True)], axis=0)
    content, _ = teachers.faces[0].content(torch.from_numpy(inputs[0][None]))
    coded = faces
    clip, scale = one.clip, scales.get(one.clip.source)
    if clip.capture and scale:
        live = seen_at_sixty(clip.capture, len(features))[:, None] & scale.live
        coded = np.where(live, targets(clip, scale, len(features)), faces)
    in_deviations = torch.from_numpy((coded / arkit_spread()).astype(np.float32))
    _, (slow, fast), _ = teachers.codebook(in_deviations[None])
    mean, log_variance = embed(teachers.embedding, features[:, :N_MELS])
    return {
        "faces": faces.astype(np.float16),
        "content": content[0].numpy().astype(np.float16),
        "slow": slow[0].numpy().astype(np.int16),
        "fast": fast[0].numpy().astype(np.int16),
        "emotion": torch.cat([mean, log_variance], dim=1).numpy().astype(np.float16),
    }


def with_teacher_faces(
    stream: TrainingStream,
    teachers: TeacherTargets,
    share: float,
    trust: float,
    captured: float = 0.0,
) -> TrainingStream:
    """The same stream with likely faces as targets where a voice was recorded without one.

    ``share`` of the teachers' face and the rest of the mean captured face of the viseme: teachers
    know how sounds run into each other, but hesitate, so that their "oo" is less round than a real
    one. ``trust`` is the weight of such a face, where a captured one has 1. ``captured`` is the
    teachers' share where a face was captured: they leave out what no voice tells.
    """
    phones = with_phone_faces(stream, *viseme_poses(stream))
    alone = ~stream.live.any(1) & (stream.clip >= 0) & phones.live.any(1)
    faces = teachers.faces[teachers.face_rows(stream.clip, stream.time)].astype(np.float32)
    known = stream.live & (stream.clip >= 0)[:, None]
    part = np.where(alone[:, None], np.float32(share), known * np.float32(captured))
    return replace(
        phones,
        targets=phones.targets + part * (faces - phones.targets),
        trust=np.where(alone, np.float32(trust), phones.trust),
    )


def code_neighbours(vectors: Tensor) -> Tensor:
    """(K, K) the chance of every code in place of each, for vectors (K, D): softmax of -distance².

    The temperature is half the mean squared distance to the nearest other code.
    """
    far = torch.cdist(vectors, vectors) ** 2
    nearest = far.masked_fill(torch.eye(len(far), dtype=torch.bool), torch.inf).amin(1)
    return torch.softmax(-2 * far / nearest.mean(), dim=1)
