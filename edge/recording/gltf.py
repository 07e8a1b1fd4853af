"""Faces to a binary glTF file: a chart of 52 bars whose morph targets have the ARKit names.

Any glTF viewer shows the bars move; an importer finds the animation by the targets' names. The
container is that of glTF 2.0, section 4.4, written by hand: pygltflib would take as many lines to
build the same tree, and five more packages.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from edge.contract import ARKIT_52, BlendshapeFrame, Floats

FLOAT, UNSIGNED_SHORT = 5126, 5123
"""Component types of the specification."""
SHAPES = len(ARKIT_52)


def bars() -> tuple[Floats, Floats, np.ndarray[Any, np.dtype[np.uint16]]]:
    """Corners (208, 3) of 52 flat bars, where target ``i`` moves them (52, 208, 3), triangles."""
    corner = np.array([[0, 0, 0], [0.8, 0, 0], [0, 0.02, 0], [0.8, 0.02, 0]], np.float32)
    places = np.arange(SHAPES, dtype=np.float32)[:, None, None] * np.array([1, 0, 0], np.float32)
    moves = np.zeros((SHAPES, SHAPES, 4, 3), np.float32)
    moves[np.arange(SHAPES), np.arange(SHAPES), 2:, 1] = 10
    quads = np.arange(SHAPES)[:, None] * 4 + np.array([0, 1, 2, 1, 3, 2])
    return (
        (corner + places).reshape(-1, 3),
        moves.reshape(SHAPES, -1, 3),
        quads.astype(np.uint16).ravel(),
    )


class Glb:
    """Holds the faces (12 kB a second) until the end, because the file begins with their number."""

    head = b""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._weights: list[Floats] = []

    def row(self, frame: BlendshapeFrame) -> bytes:
        """Nothing yet."""
        self._times.append(frame.time)
        self._weights.append(frame.weights.copy())
        return b""

    def tail(self) -> bytes:
        """The whole file."""
        corners, moves, triangles = bars()
        parts = GltfBuffers()
        shape = {
            "attributes": {"POSITION": parts.add(corners, "VEC3", target=34962)},
            "indices": parts.add(triangles, "SCALAR", target=34963),
            "targets": [{"POSITION": parts.add(m, "VEC3", target=34962)} for m in moves],
        }
        document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "EdgeTalk"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"name": "face", "mesh": 0}],
            "meshes": [
                {
                    "name": "face",
                    "primitives": [shape],
                    "weights": [0.0] * SHAPES,
                    # Where three.js, Blender and others look for the names.
                    "extras": {"targetNames": ARKIT_52},
                }
            ],
        }
        if self._times:
            times = parts.add(np.array(self._times, np.float32), "SCALAR")
            weights = parts.add(np.concatenate(self._weights), "SCALAR")
            document["animations"] = [
                {
                    "name": "speech",
                    "samplers": [{"input": times, "output": weights, "interpolation": "LINEAR"}],
                    "channels": [{"sampler": 0, "target": {"node": 0, "path": "weights"}}],
                }
            ]
        return parts.joined(document)


class GltfBuffers:
    """Arrays that lie one after another in the file's binary chunk."""

    def __init__(self) -> None:
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []
        self._data = bytearray()

    def add(self, array: np.ndarray[Any, Any], kind: str, target: int | None = None) -> int:
        """The number of an array's accessor; ``target`` says what a GPU uses it for."""
        data = array.tobytes()
        view = {"buffer": 0, "byteOffset": len(self._data), "byteLength": len(data)}
        self._views.append(view if target is None else view | {"target": target})
        self._data += data + bytes(-len(data) % 4)
        rows = array.reshape(len(array), -1)
        self._accessors.append(
            {
                "bufferView": len(self._views) - 1,
                "componentType": FLOAT if array.dtype == np.float32 else UNSIGNED_SHORT,
                "count": len(array),
                "type": kind,
                "min": rows.min(0).tolist(),
                "max": rows.max(0).tolist(),
            }
        )
        return len(self._accessors) - 1

    def joined(self, document: dict[str, Any]) -> bytes:
        """The document and the arrays as one GLB file."""
        document["accessors"], document["bufferViews"] = self._accessors, self._views
        document["buffers"] = [{"byteLength": len(self._data)}]
        text = json.dumps(document).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        chunks += struct.pack("<I4s", len(self._data), b"BIN\0") + self._data
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
