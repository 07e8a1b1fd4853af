"""The glTF file, byte by byte and as other programs read it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.contract import ARKIT_52, BlendshapeFrame, face_end
from edge.recording.face_record import open_record
from edge.recording.gltf import bars


def record_ramp(folder: Path) -> tuple[Path, np.ndarray]:
    """A second in which each shape goes from 0 to its own height."""
    heights = np.linspace(0.1, 1.0, 52, dtype=np.float32)
    weights = np.linspace(0, 1, 60, dtype=np.float32)[:, None] * heights
    sink = open_record(str(folder / "ramp.glb"))
    for i, row in enumerate(weights):
        sink.send(BlendshapeFrame(row, face_end(i), 0.0))
    sink.close()
    return folder / "ramp.glb", weights


@pytest.fixture
def ramp(tmp_path: Path) -> tuple[Path, np.ndarray]:
    return record_ramp(tmp_path)


def opened(path: Path) -> tuple[dict[str, Any], bytes]:
    """The two chunks of a GLB file."""
    data = path.read_bytes()
    assert struct.unpack_from("<4sII", data) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert (kind, size % 4) == (b"JSON", 0)
    rest, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert (kind, rest) == (b"BIN\0", len(data) - 28 - size)
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def floats(document: dict[str, Any], data: bytes, accessor: int) -> np.ndarray:
    view = document["bufferViews"][document["accessors"][accessor]["bufferView"]]
    return np.frombuffer(data, "<f4", view["byteLength"] // 4, view["byteOffset"])


def test_the_animation_holds_every_weight_at_its_time(ramp) -> None:
    path, weights = ramp
    document, data = opened(path)
    (animation,) = document["animations"]
    (sampler,) = animation["samplers"]
    times = floats(document, data, sampler["input"])
    np.testing.assert_allclose(times, (np.arange(60) + 1) / 60, atol=1e-4)
    found = floats(document, data, sampler["output"]).reshape(60, 52)
    assert np.array_equal(found, weights)
    assert animation["channels"][0]["target"] == {"node": 0, "path": "weights"}
    assert document["meshes"][0]["extras"]["targetNames"] == list(ARKIT_52)


def test_each_target_raises_its_own_bar() -> None:
    corners, moves, triangles = bars()
    assert corners.shape == (208, 3)
    assert triangles.max() == 207
    for i, move in enumerate(moves):
        raised = np.flatnonzero(move.any(axis=1))
        assert (raised // 4 == i).all()
        assert (corners[raised, 0] >= i).all()
        assert (move[raised, 1] == 10).all()


def test_a_recording_without_faces_is_a_still_file(tmp_path: Path) -> None:
    open_record(str(tmp_path / "none.glb")).close()
    document, _ = opened(tmp_path / "none.glb")
    assert "animations" not in document
