"""Does the mouth show the sound? Faces beside phone labels, for voices without a captured face.

Each contrast is a number made of a face's shapes that one sound should raise above all other
sounds of the same talker. It is read at the middle of the sound, as the mean of three faces (50 ms
at 60 a second), and judged by the area under the ROC curve, silence left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import FPS, INDEX, Floats
from quantize.data.phones import Phone
from quantize.data.targets import arkit_spread
from quantize.evaluation.metrics import around, auc, lag_of_minimum

# Millimetres that each shape at 1 parts the middle of the lips, measured on the ICT-FaceKit head
# (USC ICT, MIT licence; its eyes are 64 mm apart). ``mouthClose`` shuts what ``jawOpen`` opens.
LIP_GAP_MM = {
    "jawOpen": 32.8,
    "mouthClose": -38.6,
    "mouthFunnel": 13.0,
    "mouthShrugLower": -6.9,
    "mouthShrugUpper": 5.1,
    "mouthUpperUpLeft": 3.5,
    "mouthUpperUpRight": 3.5,
    "mouthLowerDownLeft": 3.4,
    "mouthLowerDownRight": 3.4,
    "mouthRollLower": -2.6,
    "mouthRollUpper": 2.2,
    "mouthPressLeft": -1.2,
    "mouthPressRight": -1.2,
}


def mix(weights: Floats, shares: dict[str, float]) -> NDArray[np.floating]:
    """(n,) weighted sum of shapes of (n, 52) faces."""
    return weights[:, [INDEX[n] for n in shares]] @ np.array(list(shares.values()))


def lip_gap(weights: Floats) -> NDArray[np.floating]:
    """(n,) how far the lips are apart in mm; below 0 they are pressed together."""
    return mix(weights, LIP_GAP_MM)


def tucked(weights: Floats) -> NDArray[np.floating]:
    """(n,) lower lip rolled in and jaw up, both in standard deviations of speech."""
    deviations = weights / arkit_spread()
    return mix(deviations, {"mouthRollLower": 1, "jawOpen": -1})


ROUNDED = {"mouthPucker": 1.0, "mouthFunnel": 1.0}
SPREAD = {
    f"mouth{shape}{side}": 1.0 for shape in ("Smile", "Stretch") for side in ("Left", "Right")
}
OPEN = {"jawOpen": 1.0}

# Name -> (viseme that should be high, what is measured).
CONTRASTS: dict[str, tuple[str, Callable[[Floats], NDArray[np.floating]]]] = {
    "pbm jaw": ("PP", lambda w: -mix(w, OPEN)),
    "pbm lips": ("PP", lambda w: -lip_gap(w)),
    "fv tuck": ("FF", tucked),
    "u round": ("U", lambda w: mix(w, ROUNDED)),
    "o round": ("O", lambda w: mix(w, ROUNDED)),
    "i spread": ("I", lambda w: mix(w, SPREAD)),
    "e spread": ("E", lambda w: mix(w, SPREAD)),
    "a open": ("aa", lambda w: mix(w, OPEN)),
}
FEWEST = 5
"""Sounds of a kind that a talker must have spoken for their area to count."""
LOOK = round(0.15 * FPS)
"""Faces before and after the middle of p, b, m in which the lips' closest moment is looked for."""


def sounds(phones: Iterable[Phone]) -> list[Phone]:
    """The sounds spoken: of neighbours with the same viseme the first.

    Hand labels cut a stop into closure, burst and breath, and only in the closure the lips are
    shut.
    """
    kept: list[Phone] = []
    last: Phone | None = None
    for phone in phones:
        if last is None or phone.viseme != last.viseme or phone.start - last.end > 0.01:
            kept.append(phone)
        last = phone
    return kept


def middle(phone: Phone) -> int:
    """The face shown at the middle of a sound (face ``i`` is shown at ``(i + 1) / 60`` s)."""
    return round((phone.start + phone.end) / 2 * FPS) - 1


LabelledFaces = tuple[Floats, tuple[Phone, ...]]
"""Faces (n, 52) of a clip and the phones spoken in it."""


def viseme_faces(labelled: Sequence[LabelledFaces]) -> tuple[NDArray[np.str_], Floats]:
    """Viseme (m,) and face (m, 52) of every sound but silence."""
    visemes, faces = [], []
    for weights, phones in labelled:
        for phone in sounds(phones):
            if phone.viseme != "sil" and 0 <= (at := middle(phone)) < len(weights):
                visemes.append(phone.viseme)
                faces.append(around(weights, at))
    return np.array(visemes), np.array(faces, np.float32).reshape(-1, 52)


def viseme_contrasts(by_speaker: dict[str, list[LabelledFaces]]) -> dict[str, Any]:
    """Area of each contrast, mean over talkers; how many sounds it rests on; their mean."""
    areas: dict[str, list[float]] = {name: [] for name in CONTRASTS}
    counts = dict.fromkeys(CONTRASTS, 0)
    for labelled in by_speaker.values():
        visemes, faces = viseme_faces(labelled)
        for name, (viseme, measure) in CONTRASTS.items():
            inside = visemes == viseme
            if inside.sum() >= FEWEST and not inside.all():
                value = measure(faces)
                areas[name].append(auc(value[inside], value[~inside]))
                counts[name] += int(inside.sum())
    found = {name: float(np.mean(values)) for name, values in areas.items() if values}
    return {
        "auc": found,
        "auc_mean": float(np.mean(list(found.values()))) if found else None,
        "sounds": {name: counts[name] for name in found},
    }


def closure_lags(labelled: Sequence[LabelledFaces]) -> tuple[list[float], int]:
    """Milliseconds from the middle of each p, b, m to the lips' closest moment, and how many tried.

    Only between two other sounds, because in a pause the lips stay shut. Those without a closest
    moment within 150 ms give no lag.
    """
    lags, tried = [], 0
    for weights, phones in labelled:
        gap = lip_gap(weights)
        in_order = sounds(phones)
        for (before, phone), (_, after) in pairwise(pairwise(in_order)):
            if phone.viseme != "PP" or "sil" in (before.viseme, after.viseme):
                continue
            tried += 1
            if (lag := lag_of_minimum(gap, middle(phone), LOOK)) is not None:
                lags.append(lag * 1000 / FPS)
    return lags, tried


def closure_delay(labelled: Sequence[LabelledFaces]) -> dict[str, Any]:
    """Median and quartiles of ``closure_lags``, and the share that has a closest moment."""
    lags, tried = closure_lags(labelled)
    if not lags:
        return {"median_ms": None, "found": 0.0, "tried": tried}
    low, mid, high = (float(q) for q in np.percentile(lags, (25, 50, 75)))
    return {
        "median_ms": mid,
        "quartiles_ms": [low, high],
        "found": len(lags) / tried,
        "tried": tried,
    }
