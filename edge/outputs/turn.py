"""Head and eye angles of a face."""

from __future__ import annotations

import math

from edge.contract import INDEX, BlendshapeFrame, Floats

EYE = math.radians(30)
"""Turn of an eye whose eyeLook shape is 1; a usual limit of avatars, which have no common one."""

Quaternion = tuple[float, float, float, float]
_AT = {
    side: [INDEX[f"eyeLook{way}{side}"] for way in ("Down", "Up", "Out", "In")]
    for side in ("Left", "Right")
}


def eyes(weights: Floats) -> tuple[float, float, float, float]:
    """Left pitch and yaw, right pitch and yaw: radians, positive down and to the character's left.

    Out is to the left for the left eye and to the right for the right one.
    """
    down, up, out, inward = (float(weights[i]) for i in _AT["Left"])
    down2, up2, out2, inward2 = (float(weights[i]) for i in _AT["Right"])
    return (down - up) * EYE, (out - inward) * EYE, (down2 - up2) * EYE, (inward2 - out2) * EYE


def unity(pitch: float, yaw: float, roll: float) -> Quaternion:
    """Local x, y, z, w as Unity and VMC have it: left-handed, y up, z forward; Y X Z order.

    There a positive turn about y is to the character's right and one about z tips it to its left.
    """
    sx, cx = math.sin(pitch / 2), math.cos(pitch / 2)
    sy, cy = math.sin(-yaw / 2), math.cos(yaw / 2)
    sz, cz = math.sin(-roll / 2), math.cos(roll / 2)
    return (
        cy * sx * cz + sy * cx * sz,
        sy * cx * cz - cy * sx * sz,
        cy * cx * sz - sy * sx * cz,
        cy * cx * cz + sy * sx * sz,
    )


def head(frame: BlendshapeFrame) -> tuple[float, float, float]:
    """Pitch, yaw, roll in radians, as ``BlendshapeFrame.head`` signs them."""
    return float(frame.head[0]), float(frame.head[1]), float(frame.head[2])


ANGLES = (
    *("HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll"),
    *("RightEyeYaw", "RightEyePitch", "RightEyeRoll"),
)
"""Names of the nine angles that Live Link Face adds to the 52 shapes."""


def angles(frame: BlendshapeFrame) -> tuple[float, ...]:
    """``ANGLES`` in radians.

    An iPhone's recording gives an eye's yaw as positive to the character's right, against our own
    sign, and its pitch as positive down.
    """
    pitch, yaw, roll = head(frame)
    left_pitch, left_yaw, right_pitch, right_yaw = eyes(frame.weights)
    return yaw, pitch, roll, -left_yaw, left_pitch, 0.0, -right_yaw, right_pitch, 0.0
