"""Does the mouth show the sound: made faces beside made phones, and a table of them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

from edge.contract import ARKIT_52, INDEX, InputError
from quantize.data.phones import Phone
from quantize.evaluation.head_mesh import offsets, read_head
from quantize.evaluation.viseme_contrasts import (
    CONTRASTS,
    closure_delay,
    closure_lags,
    lip_gap,
    middle,
    sounds,
    viseme_contrasts,
    viseme_faces,
)

pytestmark = pytest.mark.toolchain


def face(**shapes: float) -> np.ndarray:
    out = np.zeros(52, np.float32)
    for name, value in shapes.items():
        out[INDEX[name]] = value
    return out


POSES = {
    "PP": face(jawOpen=0.1, mouthClose=0.1),
    "FF": face(jawOpen=0.02, mouthRollLower=0.2),
    "U": face(jawOpen=0.15, mouthPucker=0.5),
    "O": face(jawOpen=0.3, mouthFunnel=0.5),
    "I": face(jawOpen=0.15, mouthSmileLeft=0.5, mouthSmileRight=0.5),
    "E": face(jawOpen=0.3, mouthStretchLeft=0.4, mouthStretchRight=0.4),
    "aa": face(jawOpen=0.7),
    "kk": face(jawOpen=0.25),
}


def phones_of(names: str, length: float = 0.2) -> tuple[Phone, ...]:
    return tuple(Phone(i * length, (i + 1) * length, n) for i, n in enumerate(names.split()))


def show(phones: tuple[Phone, ...], shift: int = 0) -> np.ndarray:
    """Faces that show each sound from its start to its end, ``shift`` faces late."""
    out = np.zeros((round(phones[-1].end * 60), 52), np.float32)
    for phone in phones:
        if phone.viseme in POSES:
            out[round(phone.start * 60) + shift : round(phone.end * 60) + shift] = POSES[
                phone.viseme
            ]
    return out


PHRASE = phones_of("sil " + " ".join(6 * ["kk", "PP", "aa", "FF", "U", "kk", "I", "O", "E"]))


def test_the_lip_gap_is_shut_by_mouth_close_and_opened_by_the_jaw() -> None:
    assert lip_gap(face(jawOpen=0.5)[None])[0] == pytest.approx(16.4)
    assert lip_gap(face(jawOpen=0.5, mouthClose=0.25)[None])[0] == pytest.approx(16.4 - 9.65)
    assert lip_gap(face(jawOpen=0.3, mouthClose=0.3)[None])[0] < 0


def test_a_mouth_that_shows_each_sound_is_told_apart_from_one_that_only_moves() -> None:
    legible = viseme_contrasts({"a": [(show(PHRASE), PHRASE)]})
    assert legible["sounds"]["pbm lips"] == 6
    assert legible["auc"]["pbm lips"] == 1.0
    assert legible["auc"]["fv tuck"] == 1.0
    assert legible["auc"]["a open"] == 1.0
    # U and O are both round, as are I and E spread: against each other half is lost or won.
    assert all(v > 0.8 for v in legible["auc"].values())
    # Everything one sound late says nothing for it.
    mumbled = viseme_contrasts({"a": [(np.roll(show(PHRASE), 12, axis=0), PHRASE)]})
    assert mumbled["auc_mean"] < 0.6


def test_each_talker_is_judged_on_his_own_and_then_averaged() -> None:
    good, wide = show(PHRASE), show(PHRASE)
    wide += face(jawOpen=0.5)
    both = viseme_contrasts({"a": [(good, PHRASE)], "b": [(wide, PHRASE)]})
    # One open mouth would cross the other's a, if they were thrown together.
    assert both["auc"]["a open"] == 1.0


def test_a_sound_said_too_rarely_does_not_count() -> None:
    phones = phones_of("kk aa " * 4 + "PP")
    found = viseme_contrasts({"a": [(show(phones), phones)]})
    assert found["auc"] == {}
    assert found["auc_mean"] is None


def test_silence_is_no_sound_to_compare_with() -> None:
    visemes, _ = viseme_faces([(show(PHRASE), PHRASE)])
    assert "sil" not in visemes
    assert len(visemes) == 54


def test_a_stop_is_read_in_its_closure_and_not_in_its_burst() -> None:
    closure, burst, breath = Phone(0.0, 0.08, "PP"), Phone(0.08, 0.1, "PP"), Phone(0.1, 0.14, "PP")
    vowel = Phone(0.14, 0.3, "aa")
    assert sounds([closure, burst, breath, vowel]) == [closure, vowel]
    # The same sound after a gap is said anew.
    again = Phone(0.5, 0.6, "aa")
    assert sounds([vowel, again]) == [vowel, again]


def test_the_middle_of_a_sound_is_the_face_shown_then() -> None:
    assert middle(Phone(0.4, 0.6, "aa")) == 29  # face 29 is shown at 30 / 60 s


def test_the_delay_of_closure_is_how_late_the_lips_are() -> None:
    # Each sound is 6 faces, 6 k to 6 k + 5, all the same: the middle of the closest moment is half
    # a face after the middle of the sound, 6 k + 2.
    phones = phones_of("sil " + 6 * "kk PP aa FF ", 0.1)
    for late in (-2, 0, 3):
        lags, tried = closure_lags([(show(phones, late), phones)])
        assert tried == 6
        assert lags == pytest.approx([(late + 0.5) * 1000 / 60] * 6)
    delay = closure_delay([(show(phones, 3), phones)])
    assert delay["median_ms"] == pytest.approx(58.33, abs=0.01)
    assert delay["found"] == 1.0


def test_lips_that_do_not_close_have_no_delay() -> None:
    still = np.zeros_like(show(PHRASE))
    assert closure_delay([(still, PHRASE)]) == {"median_ms": None, "found": 0.0, "tried": 6}


def test_a_closure_beside_a_pause_is_not_asked_for_its_time() -> None:
    phones = phones_of("sil PP aa PP sil")
    assert closure_lags([(show(phones), phones)]) == ([], 0)


def test_every_contrast_names_a_viseme_and_reads_only_mouth_and_jaw() -> None:
    upper = face(browInnerUp=1.0, eyeBlinkLeft=1.0, noseSneerLeft=1.0)
    for viseme, measure in CONTRASTS.values():
        assert viseme in POSES
        assert abs(measure(upper[None])[0]) < 1e-6


def glb(path: Path, names: list[str]) -> Path:
    """A mesh of 3 vertices: ``mouthClose`` moves the first, ``browInnerUp`` the last."""
    moved = np.zeros((3, 3), "<f4")
    moved[0] = [0.0, 0.02, 0.0]
    sparse = struct.pack("<H", 2) + b"\0\0" + np.array([0.0, 0.0, 0.05], "<f4").tobytes()
    data = moved.tobytes() + sparse
    still = {"componentType": 5126, "count": 3, "type": "VEC3"}
    dense = still | {"bufferView": 0}
    few = still | {
        "sparse": {
            "count": 1,
            "indices": {"bufferView": 1, "componentType": 5123},
            "values": {"bufferView": 1, "byteOffset": 4},
        }
    }
    at = {"mouthClose": 1, "browInnerUp": 2}
    tree = {
        "accessors": [still, dense, few],
        "bufferViews": [{"byteLength": 36}, {"byteOffset": 36, "byteLength": 16}],
        "meshes": [
            {
                "extras": {"targetNames": names},
                "primitives": [{"targets": [{"POSITION": at.get(n, 0)} for n in names]}],
            }
        ],
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    header = b"glTF" + struct.pack("<II", 2, 28 + len(text) + len(data))
    path.write_bytes(
        header + struct.pack("<I", len(text)) + b"JSON" + text + struct.pack("<I", len(data)) +
        b"BIN\0" + data
    )  # fmt: skip
    return path


def test_a_head_is_read_by_name_and_its_regions_by_what_moves_them(tmp_path: Path) -> None:
    head = read_head(glb(tmp_path / "head.glb", sorted(ARKIT_52)))
    assert head.lips.shape == (52, 1, 3)
    np.testing.assert_allclose(head.lips[INDEX["mouthClose"], 0], [0, 2, 0])  # 0.02 units are 2 mm
    np.testing.assert_allclose(head.upper[INDEX["browInnerUp"], 0], [0, 0, 5])
    assert not head.upper[INDEX["mouthClose"]].any()  # another vertex
    weights = np.stack([face(browInnerUp=0.5), face()])
    np.testing.assert_allclose(offsets(head.upper, weights)[:, 0], [[0, 0, 2.5], [0, 0, 0]])


def test_a_head_that_cannot_be_read_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.glb: No such file"):
        read_head(tmp_path / "none.glb")
    (tmp_path / "text.glb").write_text("hello")
    with pytest.raises(InputError, match=r"text\.glb: no mesh .* \(not a GLB file\)"):
        read_head(tmp_path / "text.glb")
    with pytest.raises(InputError, match=r"few\.glb: no mesh with the 52 ARKit shapes"):
        read_head(glb(tmp_path / "few.glb", ["jawOpen"]))
