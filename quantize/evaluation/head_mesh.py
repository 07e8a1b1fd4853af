"""A head with ARKit morph targets (GLB) to vertex offsets, so that errors have a unit: mm."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import ARKIT_52, Floats, InputError
from edge.files import read_regular

MOST_BYTES = 1 << 28
"""Of a head."""
MM_PER_UNIT = 100.0
"""The ICT head: its eyes are 0.64 apart."""
NUMBERS = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
LIPS = ("mouthClose", "mouthRollUpper", "mouthRollLower")
UPPER = tuple(n for n in ARKIT_52 if n.startswith(("eye", "brow")))


@dataclass(frozen=True)
class HeadMesh:
    """How far each vertex of two regions moves at weight 1 of each shape."""

    lips: Floats
    """(52, V, 3) mm."""
    upper: Floats
    """(52, W, 3) mm: eyes and forehead."""


def offsets(shapes: Floats, weights: Floats) -> Floats:
    """(T, V, 3) mm that (T, 52) weights move the vertices of (52, V, 3) shapes."""
    flat = weights @ shapes.reshape(len(shapes), -1)  # (T, 52) @ (52, 3 V)
    return flat.reshape(len(weights), -1, 3)


def read_head(path: Path) -> HeadMesh:
    """The first mesh of a GLB whose morph targets carry the ARKit names.

    Lips are the vertices that closing or rolling the lips moves by at least half of the most it
    moves any; the upper face those that a shape of eyes or brows moves by a fifth of its most.
    """
    try:
        raw = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a GLB with ARKit shapes") from error
    try:
        if raw[:4] != b"glTF":
            raise ValueError("not a GLB file")
        length = struct.unpack("<I", raw[12:16])[0]
        tree, data = json.loads(raw[20 : 20 + length]), raw[28 + length :]
        mesh = tree["meshes"][0]
        names: list[str] = mesh["extras"]["targetNames"]
        targets = [t["POSITION"] for t in mesh["primitives"][0]["targets"]]
        moves = np.stack([_accessor(tree, data, targets[names.index(n)]) for n in ARKIT_52])
    except (ValueError, KeyError, IndexError, struct.error) as error:
        raise InputError(f"{path}: no mesh with the 52 ARKit shapes ({error})") from error
    moves *= np.float32(MM_PER_UNIT)
    return HeadMesh(moves[:, _moved(moves, LIPS, 0.5)], moves[:, _moved(moves, UPPER, 0.2)])


def _moved(moves: Floats, names: tuple[str, ...], share: float) -> NDArray[np.bool_]:
    """Vertices (V,) that one of the shapes moves by at least ``share`` of its most."""
    how_far = np.linalg.norm(moves[[ARKIT_52.index(n) for n in names]], axis=2)
    return np.asarray((how_far >= share * how_far.max(1, keepdims=True).clip(min=1e-6)).any(0))


def _accessor(tree: dict[str, Any], data: bytes, at: int) -> Floats:
    """(count, 3) numbers of a dense or sparse vector accessor."""
    accessor = tree["accessors"][at]
    count = accessor["count"]
    out = np.zeros((count, 3), np.float32)
    if "bufferView" in accessor:
        out[...] = _view(tree, data, accessor, accessor["componentType"], count * 3).reshape(-1, 3)
    if sparse := accessor.get("sparse"):
        few, indices = sparse["count"], sparse["indices"]
        where = _view(tree, data, indices, indices["componentType"], few)
        out[where] = _view(tree, data, sparse["values"], 5126, few * 3).reshape(-1, 3)
    return out


def _view(tree: dict[str, Any], data: bytes, part: dict[str, Any], kind: int, count: int) -> Any:
    start = tree["bufferViews"][part["bufferView"]].get("byteOffset", 0)
    return np.frombuffer(data, NUMBERS[kind], count, start + part.get("byteOffset", 0))
