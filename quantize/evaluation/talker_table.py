"""Faces of captured clips to one row a talker, and the mean over talkers with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge.contract import Floats
from quantize.data.clips import Clip, DataError
from quantize.data.landmarks import resample
from quantize.data.targets import Scale, targets
from quantize.evaluation.misalignment import temporal_misalignment
from quantize.evaluation.talkers import Interval, TalkerClip, over_talkers, score_talker
from quantize.evaluation.viseme_contrasts import lip_gap


@dataclass(frozen=True)
class TalkerTable:
    """Figures of several talkers."""

    talkers: dict[str, dict[str, float]]
    """Talker -> metric -> value: those of ``score_talker``, and ``mtm_ms`` and ``late_ms`` of
    ``temporal_misalignment``."""
    mean: dict[str, Interval]
    """Metric -> mean over talkers."""


def talker_table(
    clips: Sequence[Clip], faces: Mapping[str, Floats], scales: Mapping[str, Scale]
) -> TalkerTable:
    """Judge ``faces`` (clip id -> (T, 52) in the common range) against captured ``clips``.

    ``scales`` are those of the training clips, by source; a talker who has none is scaled by his
    own clips, which moves neither correlations nor times. Raises ``DataError`` for a clip that has
    no faces or no scale.
    """
    by_talker: dict[str, list[Clip]] = {}
    for clip in clips:
        if clip.id not in faces or clip.source not in scales:
            raise DataError(f"{clip.id}: no {'scale' if clip.id in faces else 'faces'} for it")
        by_talker.setdefault(clip.speaker, []).append(clip)
    rows = {
        talker: _row([_pair(c, faces[c.id], scales[c.source]) for c in own], scales[own[0].source])
        for talker, own in by_talker.items()
    }
    metrics = next(iter(rows.values())) if rows else {}
    mean = {m: over_talkers({talker: row[m] for talker, row in rows.items()}) for m in metrics}
    return TalkerTable(rows, mean)


def _pair(clip: Clip, faces: Floats, scale: Scale) -> TalkerClip:
    captured = np.clip(targets(clip, scale, len(faces)), 0, 1)
    gap = None
    if clip.capture and clip.capture.landmarks:
        gap = resample(clip.capture.landmarks.lip_gap(), clip.capture.fps, len(faces))
    return TalkerClip(np.clip(faces, 0, 1), captured, gap)


def _row(clips: Sequence[TalkerClip], scale: Scale) -> dict[str, float]:
    found = [
        temporal_misalignment(
            lip_gap(c.predicted), lip_gap(c.captured) if c.lip_gap is None else c.lip_gap
        )
        for c in clips
    ]
    matched = [f for f in found if f.matched]
    times = {
        "mtm_ms": [f.mean_ms for f in matched],
        "late_ms": [f.late_ms for f in matched],
    }
    return {
        **score_talker(clips, scale.live),
        **{name: float(np.mean(ms)) if ms else np.nan for name, ms in times.items()},
    }
