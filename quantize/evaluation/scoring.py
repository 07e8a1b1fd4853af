"""Faces of the test clips to a table: ``score`` judges anything that can give faces.

A bundle, a teacher, another program or the captured face itself are all scored from arrays
(faces, 52) at 60 faces a second in ``ARKIT_52`` order, the delay already taken off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge.contract import ARKIT_52, FPS, INDEX, Floats
from quantize.data.clips import DataError
from quantize.data.targets import LEARNED, LIVE_STD
from quantize.evaluation.head_mesh import HeadMesh, offsets
from quantize.evaluation.metrics import (
    dynamics_deviation,
    jitter,
    pearson,
    rmse,
    silent,
    spread_ratio,
    worst_point,
    worst_point_squared,
)
from quantize.evaluation.test_clips import MADE_SILENCE, TestClip
from quantize.evaluation.viseme_contrasts import LabelledFaces, closure_delay, viseme_contrasts

JAW = INDEX["jawOpen"]
MOUTH = [INDEX[n] for n in LEARNED if n.startswith("mouth")]
LOWER = [JAW, *MOUTH]
UPPER = [i for i, n in enumerate(ARKIT_52) if n.startswith(("eye", "brow"))]
QUIET_FLOOR_DB = -60.0
"""Where the loudness baseline stops falling."""

Row = dict[str, Any]
Faces = Mapping[str, Floats]
"""Clip id to (faces, 52)."""


def score(faces: Faces, clips: Sequence[TestClip], head: HeadMesh | None = None) -> dict[str, Row]:
    """Set -> metric -> value, for every set of ``clips`` that ``faces`` has.

    Raises ``DataError`` where a set is there in part or a clip has not ``TestClip.faces`` faces.
    """
    table: dict[str, Row] = {}
    for name in dict.fromkeys(t.set for t in clips):
        part = [t for t in clips if t.set == name]
        there = [t for t in part if t.id in faces]
        if not there:
            continue
        for clip in part:
            if clip.id not in faces:
                raise DataError(f"{clip.id}: no faces, but {there[0].id} of the same set has some")
            if faces[clip.id].shape != (clip.faces, len(ARKIT_52)):
                raise DataError(
                    f"{clip.id}: faces {faces[clip.id].shape}, expected ({clip.faces}, 52)"
                )
        table[name] = _set(part, [np.clip(faces[t.id], 0, 1) for t in part], head)
    return table


def captured(clips: Sequence[TestClip]) -> dict[str, Floats]:
    """The captured faces themselves: what the best possible prediction would score."""
    return {t.id: t.truth for t in clips if t.captured is not None}


def loudness(clips: Sequence[TestClip]) -> dict[str, Floats]:
    """The trivial baseline: the jaw follows the voice's loudness, nothing else moves.

    -60 dBFS shuts it, 0 opens it fully.
    """
    found = {}
    for clip in clips:
        found[clip.id] = np.zeros((clip.faces, 52), np.float32)
        found[clip.id][:, JAW] = 1 - np.clip(clip.level_db, QUIET_FLOOR_DB, 0) / QUIET_FLOOR_DB
    return found


def _set(clips: Sequence[TestClip], faces: Sequence[Floats], head: HeadMesh | None) -> Row:
    row: Row = {"clips": len(clips)}
    if clips[0].set == MADE_SILENCE:
        # The first 3 s are left out: a mouth may take a while to learn what the room sounds like.
        still = {
            t.speaker: float(f[3 * FPS :, JAW].mean()) for t, f in zip(clips, faces, strict=True)
        }
        return row | still
    if clips[0].captured is not None:
        row |= paired(clips, faces, head)
    labelled: dict[str, list[LabelledFaces]] = {}
    for clip, face in zip(clips, faces, strict=True):
        if clip.phones:
            labelled.setdefault(clip.speaker, []).append((face, clip.phones))
    if labelled:
        row["contrasts"] = viseme_contrasts(labelled)
        row["closure"] = closure_delay([one for each in labelled.values() for one in each])
    quiet = [f[silent(t.level_db), JAW] for t, f in zip(clips, faces, strict=True)]
    still_faces = np.concatenate(quiet)
    row["jaw_in_silence"] = float(still_faces.mean()) if len(still_faces) >= FPS else None
    return row


def paired(clips: Sequence[TestClip], faces: Sequence[Floats], head: HeadMesh | None) -> Row:
    """Means over clips of one set whose face was captured."""
    scale = clips[0].scale
    assert scale is not None
    scores = [_clip(t, f, head) for t, f in zip(clips, faces, strict=True)]
    r_mouth = _by_shape([one.pop("r_mouth") for one in scores])
    live = [r for n, r in r_mouth.items() if scale.live[INDEX[n]]]
    row: Row = {
        # Live: alive over the whole training part of this capture system. All: also channels that
        # move in a test clip only, which nothing could have taught.
        "r_mouth_live": float(np.mean(live)) if live else None,
        "r_mouth_all": float(np.mean(list(r_mouth.values()))),
        "r_mouth": r_mouth,
        "rmse": _by_shape([one.pop("rmse") for one in scores]),
        "jitter_ratio_jaw": float(np.median([one.pop("jitter") for one in scores])),
    }
    row["rmse_mean"] = float(np.mean(list(row["rmse"].values())))
    for key in scores[0]:
        row[key] = float(np.mean([one[key] for one in scores]))
    return row


def _by_shape(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean over the clips that have a shape."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {n: float(np.mean([row[n] for row in rows if n in row])) for n in names}


def _clip(clip: TestClip, face: Floats, head: HeadMesh | None) -> Row:
    """One clip against its capture."""
    assert clip.captured is not None
    assert clip.scale is not None
    truth, live = clip.truth, clip.scale.live
    # Channels that move in this very clip; r of a still channel is noise.
    moving = [c for c in MOUTH if clip.captured[:, c].std() >= LIVE_STD]
    r = pearson(face, clip.captured)
    loud = np.maximum(clip.level_db, QUIET_FLOOR_DB)[:, None]
    # At the capture's own rate: interpolation would make the captured side smoother.
    at = np.round(np.arange(1, int(len(truth) / FPS * clip.fps)) * FPS / clip.fps).astype(int) - 1
    error = rmse(face, truth)
    row: Row = {
        "r_jaw": float(r[JAW]),
        "r_jaw_log_energy": float(pearson(loud, clip.captured[:, [JAW]])[0]),
        "r_mouth": {ARKIT_52[c]: float(r[c]) for c in moving},
        "rmse": {ARKIT_52[c]: float(error[c]) for c in LOWER if live[c]},
        "std_ratio_jaw": float(spread_ratio(face, truth)[JAW]),
        "jitter": float(jitter(face[at])[JAW] / jitter(truth[at])[JAW]),
    }
    # Shapes that this source did not capture have no truth and are left at rest on both sides.
    predicted, wanted = face * live, truth * live
    lower = [c for c in LOWER if live[c]]
    row |= _errors("", predicted[:, lower, None], wanted[:, lower, None], "lip")
    upper = [c for c in UPPER if live[c]]
    if upper:
        row |= _errors("", predicted[:, upper, None], wanted[:, upper, None], "upper")
    if head:
        row |= _errors("_mm", offsets(head.lips, predicted), offsets(head.lips, wanted), "lip")
        if upper:
            row |= _errors(
                "_mm", offsets(head.upper, predicted), offsets(head.upper, wanted), "upper"
            )
    return row


def _errors(unit: str, predicted: Floats, wanted: Floats, region: str) -> dict[str, float]:
    """LVE of the lips, or EVE and FDD of the upper face; offsets (T, V, D)."""
    if region == "lip":
        return {
            f"lve{unit}": worst_point(predicted, wanted),
            f"lve_squared{unit}": worst_point_squared(predicted, wanted),
        }
    less = dynamics_deviation(predicted, wanted)
    return {
        f"eve{unit}": worst_point(predicted, wanted),
        f"fdd{unit}": float(less.mean()),
        f"fdd_absolute{unit}": float(np.abs(less).mean()),
    }
