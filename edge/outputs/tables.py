"""ARKit names to Unified Expressions, VRM presets and visemes: one table each, by name.

An entry is ``"input"`` or ``"input*weight"`` terms, added and then cut to the output's range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge.contract import ARKIT_52, INDEX, Floats

SIDES = {"Left": "Right", "Right": "Left"}
LONE = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
"""Directions, not sides: they never become ``_L`` or ``_R``."""


def opposite(name: str) -> str:
    """The same shape in a mirror; directions swap as well as sides."""
    for side, other in SIDES.items():
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def suffixed(name: str) -> str:
    """``mouthSmileLeft`` as ``mouthSmile_L``; ``mouthLeft`` is a direction and stays."""
    for side in SIDES:
        if name.endswith(side) and name not in LONE:
            return f"{name.removesuffix(side)}_{side[0]}"
    return name


def pascal(name: str) -> str:
    """``jawOpen`` as Perfect Sync avatars call it: ``JawOpen``."""
    return name[0].upper() + name[1:]


# Four values that are not sums, made from the 52 first.
DERIVED = {
    "closedLeft": ("eyeBlinkLeft", "eyeSquintLeft"),
    "closedRight": ("eyeBlinkRight", "eyeSquintRight"),
    "sadLeft": ("mouthFrownLeft", "mouthStretchLeft"),
    "sadRight": ("mouthFrownRight", "mouthStretchRight"),
}
INPUTS = (*ARKIT_52, *DERIVED, "one")
_PAIRS = np.array(
    [
        INDEX[name + side]
        for name in ("eyeBlink", "eyeSquint", "mouthFrown", "mouthStretch")
        for side in SIDES
    ]
)


def extend(weights: Floats, out: Floats) -> None:
    """Write (57,) ``INPUTS``: the 52, eyelids shut as VRCFaceTracking has it, sadness, and 1."""
    out[:52] = weights
    pairs = weights[_PAIRS]
    blink, squint = pairs[:2], pairs[2:4]
    np.minimum(blink + blink * squint, 1, out=out[52:54])
    np.maximum(pairs[4:6], pairs[6:8], out=out[54:56])
    out[56] = 1


def _sides(name: str, *terms: str) -> dict[str, tuple[str, ...]]:
    """``name`` Left, Right and their mean from terms that say ``@`` for the side."""
    rows = {name + side: tuple(t.replace("@", side) for t in terms) for side in SIDES}
    half = tuple(
        f"{t.partition('*')[0]}*{float(t.partition('*')[2] or 1) / 2}"
        for row in rows.values()
        for t in row
    )
    return {**rows, name: half}


def _corners(name: str, shape: str) -> dict[str, tuple[str, ...]]:
    """Upper and lower, left and right of a shape that ARKit has once."""
    ends = ("UpperLeft", "UpperRight", "LowerLeft", "LowerRight", "Upper", "Lower", "")
    return {name + end: (shape,) for end in ends}


# VRCFaceTracking's UnifiedExpressionsParameters: plain shapes and the combined forms. X is positive
# to the wearer's right, Y is positive upwards.
UNIFIED: dict[str, tuple[str, ...]] = {
    "EyeLeftX": ("eyeLookInLeft", "eyeLookOutLeft*-1"),
    "EyeRightX": ("eyeLookOutRight", "eyeLookInRight*-1"),
    "EyeLeftY": ("eyeLookUpLeft", "eyeLookDownLeft*-1"),
    "EyeRightY": ("eyeLookUpRight", "eyeLookDownRight*-1"),
    "EyeX": (
        "eyeLookInLeft*.5", "eyeLookOutLeft*-.5", "eyeLookOutRight*.5", "eyeLookInRight*-.5",
    ),
    "EyeY": (
        "eyeLookUpLeft*.5", "eyeLookUpRight*.5", "eyeLookDownLeft*-.5", "eyeLookDownRight*-.5",
    ),
    # Openness fills 0 to 0.75, widening the rest.
    **_sides("EyeLid", "one*.75", "closed@*-.75", "eyeWide@*.25"),
    **_sides("EyeSquint", "eyeSquint@"),
    **_sides("BrowPinch", "browDown@"),
    **_sides("BrowLowerer", "browDown@"),
    **_sides("BrowDown", "browDown@"),
    **_sides("BrowInnerUp", "browInnerUp"),
    **_sides("BrowOuterUp", "browOuterUp@"),
    **_sides("BrowUp", "browOuterUp@*.6", "browInnerUp*.4"),
    **_sides("BrowExpression", "browOuterUp@*.5", "browInnerUp*.5", "browDown@*-1"),
    **_sides("NoseSneer", "noseSneer@"),
    **_sides("CheekSquint", "cheekSquint@"),
    **_sides("CheekPuff", "cheekPuff"),
    **_sides("CheekPuffSuck", "cheekPuff"),
    "JawOpen": ("jawOpen",),
    "JawForward": ("jawForward",),
    "JawLeft": ("jawLeft",),
    "JawRight": ("jawRight",),
    "JawX": ("jawRight", "jawLeft*-1"),
    "JawZ": ("jawForward",),
    "MouthClosed": ("mouthClose",),
    **_corners("LipFunnel", "mouthFunnel"),
    **_corners("LipPucker", "mouthPucker"),
    **_sides("LipSuckUpper", "mouthRollUpper"),
    **_sides("LipSuckLower", "mouthRollLower"),
    "LipSuck": ("mouthRollUpper*.5", "mouthRollLower*.5"),
    **_sides("MouthUpperUp", "mouthUpperUp@"),
    **_sides("MouthUpperDeepen", "mouthUpperUp@"),
    **_sides("MouthLowerDown", "mouthLowerDown@"),
    "MouthOpen": (
        "mouthUpperUpLeft*.25", "mouthUpperUpRight*.25",
        "mouthLowerDownLeft*.25", "mouthLowerDownRight*.25",
    ),
    "MouthUpperLeft": ("mouthLeft",),
    "MouthUpperRight": ("mouthRight",),
    "MouthLowerLeft": ("mouthLeft",),
    "MouthLowerRight": ("mouthRight",),
    "MouthUpperX": ("mouthRight", "mouthLeft*-1"),
    "MouthLowerX": ("mouthRight", "mouthLeft*-1"),
    "MouthX": ("mouthRight", "mouthLeft*-1"),
    **_sides("MouthCornerPull", "mouthSmile@"),
    **_sides("MouthCornerSlant", "mouthSmile@"),
    **_sides("MouthFrown", "mouthFrown@"),
    **_sides("MouthStretch", "mouthStretch@"),
    **_sides("MouthDimple", "mouthDimple@"),
    **_sides("MouthPress", "mouthPress@"),
    "MouthRaiserUpper": ("mouthShrugUpper",),
    "MouthRaiserLower": ("mouthShrugLower",),
    **_sides("SmileFrown", "mouthSmile@", "mouthFrown@*-1"),
    **_sides("SmileSad", "mouthSmile@", "sad@*-1"),
    "TongueOut": ("tongueOut",),
}  # fmt: skip

# VRM 1 preset -> 52. Weights from our own judgement, untried; no standard names any.
VRM1: dict[str, tuple[str, ...]] = {
    "aa": ("jawOpen*1.5", "mouthFunnel*-.8", "mouthPucker*-.8", "mouthStretchLeft*-.3",
           "mouthStretchRight*-.3"),
    "ih": ("mouthStretchLeft*.5", "mouthStretchRight*.5", "jawOpen*-.3"),
    "ou": ("mouthPucker", "mouthFunnel*-.5"),
    "ee": ("mouthSmileLeft*.3", "mouthSmileRight*.3", "mouthUpperUpLeft*.4",
           "mouthUpperUpRight*.4", "mouthPucker*-1"),
    "oh": ("mouthFunnel", "jawOpen*.3", "mouthPucker*-.4", "mouthStretchLeft*-.3",
           "mouthStretchRight*-.3"),
    "blinkLeft": ("eyeBlinkLeft",),
    "blinkRight": ("eyeBlinkRight",),
}  # fmt: skip
VRM0 = {
    "aa": "A", "ih": "I", "ou": "U", "ee": "E", "oh": "O", "blinkLeft": "Blink_L",
    "blinkRight": "Blink_R", "happy": "Joy", "angry": "Angry", "sad": "Sorrow", "relaxed": "Fun",
}  # fmt: skip
"""VRM 1 name -> VRM 0 name; VRM 0 has no surprise."""
EMOTIONS = {
    "happy": "happy", "happiness": "happy", "joy": "happy", "angry": "angry", "anger": "angry",
    "sad": "sad", "sadness": "sad", "sorrow": "sad", "calm": "relaxed", "relaxed": "relaxed",
    "fun": "relaxed", "surprised": "surprised", "surprise": "surprised",
}  # fmt: skip
"""What an emotion may be called -> VRM 1 name."""

# VRChat's 15 visemes in its own order (the index is what is sent); our own judgement, untried.
VISEMES: dict[str, tuple[str, ...]] = {
    "sil": ("one*.12",),
    "PP": ("mouthPressLeft*.5", "mouthPressRight*.5", "mouthClose", "jawOpen*-.5"),
    "FF": ("mouthRollLower", "mouthUpperUpLeft*.3", "mouthUpperUpRight*.3"),
    "TH": ("tongueOut",),
    "DD": ("mouthLowerDownLeft*.3", "mouthLowerDownRight*.3", "jawOpen*.2"),
    "kk": ("jawOpen*.5", "mouthLowerDownLeft*.15", "mouthLowerDownRight*.15"),
    "CH": ("mouthFunnel*.7", "mouthShrugUpper*.4", "jawOpen*-.5"),
    "SS": ("mouthStretchLeft*.4", "mouthStretchRight*.4", "jawOpen*-.5"),
    "nn": ("mouthShrugUpper*.6", "jawOpen*.2"),
    "RR": ("mouthFunnel*.5", "mouthPucker*.3"),
    "aa": ("jawOpen*1.2", "mouthFunnel*-.6", "mouthPucker*-.6"),
    "E": ("mouthSmileLeft*.3", "mouthSmileRight*.3", "jawOpen*.6"),
    "ih": ("mouthSmileLeft*.35", "mouthSmileRight*.35", "jawOpen*.2"),
    "oh": ("mouthFunnel*.8", "jawOpen*.6", "mouthPucker*-.3"),
    "ou": ("mouthPucker", "jawOpen*.1"),
}


def inputs_of(terms: Sequence[str]) -> set[str]:
    """The ARKit shapes behind an entry."""
    names = {term.partition("*")[0] for term in terms}
    return {n for name in names for n in DERIVED.get(name, (name,))} - {"one"}


def matrix(table: Mapping[str, Sequence[str]]) -> Floats:
    """(rows of ``table``, 57) that multiplies ``INPUTS``."""
    at = {name: i for i, name in enumerate(INPUTS)}
    out = np.zeros((len(table), len(INPUTS)), np.float32)
    for row, terms in zip(out, table.values(), strict=True):
        for term in terms:
            name, _, weight = term.partition("*")
            row[at[name]] += float(weight or 1)
    return out
