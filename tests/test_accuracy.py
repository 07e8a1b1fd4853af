"""The accuracy benchmark as a whole, on clips made here: everything asked for is in the record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")
pytest.importorskip("matplotlib", reason="matplotlib is not installed: nothing is drawn")

from benchmarks.accuracy import __main__ as accuracy
from benchmarks.pages import accuracy_tables
from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import INDEX, faces_within
from quantize.data.targets import Scale
from quantize.evaluation.test_clips import PAIRED, TestClip, made_silence
from tests.fakes import DEMO

pytestmark = pytest.mark.toolchain


def clips() -> list[TestClip]:
    """A clip of each captured set, 4 s, whose jaw and pucker follow sines."""
    sound = read_audio(DEMO)
    factor = np.zeros(52, np.float32)
    factor[[INDEX["jawOpen"], INDEX["mouthPucker"]]] = 1
    found = []
    for k, name in enumerate(PAIRED):
        samples = sound[k * 16_000 : (k + 4) * 16_000]
        time = np.arange(faces_within(len(samples))) / 60
        captured = np.zeros((len(time), 52), np.float32)
        captured[:, INDEX["jawOpen"]] = 0.4 + 0.3 * np.sin(9 * time + k)
        captured[:, INDEX["mouthPucker"]] = 0.4 + 0.3 * np.cos(5 * time + k)
        scale = Scale(np.zeros(52, np.float32), factor)
        found.append(TestClip(f"set{k}/clip", name, f"talker {k}", samples, captured, 60.0, scale))
    return found


def test_teacher_student_and_what_came_before_are_scored_on_the_same_clips(tmp_path: Path) -> None:
    chosen = [*clips(), *made_silence()[:1]]
    bundle = read_bundle(DEFAULT)
    perfect = {t.id: t.truth if t.captured is not None else np.zeros((600, 52)) for t in chosen}
    before = accuracy.of_bundle(bundle, chosen, 0)
    written = accuracy.measure(bundle, chosen, None, perfect, before, tmp_path)
    found = json.loads(written.read_text())["results"]
    assert set(found["by_lookahead"]) == {"0 ms", "33 ms", "67 ms", "133 ms"}
    assert found["default"] == "67 ms"
    for name in PAIRED:
        assert found["baselines"]["teacher"][name]["r_jaw"] == pytest.approx(1.0)
        ours, same = found["by_lookahead"]["0 ms"][name], found["baselines"]["before"][name]
        assert ours["r_jaw"] == pytest.approx(same["r_jaw"])
    assert set(found["crops"]) == {"0.1 s", "0.5 s", "1 s", "2 s"}
    for picture in ("sentence", "accuracy", "lookahead", "sheet"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 5000, picture

    found["baselines"]["teacher"][PAIRED[1]]["jaw_in_silence"] = None  # as on clips without any
    table = accuracy_tables.students({"results": found}).splitlines()
    rows = [line.split("|")[1].strip() for line in table[2:]]
    assert rows == [
        "teacher, the whole clip", "student, 0 ms", "student, 33 ms", "student, 67 ms",
        "student, 133 ms", "the bundle before, 67 ms", "loudness",
    ]  # fmt: skip
    assert "1.00 / 1.00" in table[2]
