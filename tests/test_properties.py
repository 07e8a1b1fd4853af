"""Laws that hold for any number, tried on many."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fakes import FakeDecoder, FakeGenerator, fake_bundle, noise

pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.audio.audio_file import clean
from edge.audio.resample import Resampler
from edge.contract import AudioBlock, face_end, faces_within
from edge.face import Face
from edge.outputs.osc import string
from edge.pipeline import Pipeline

SOUND = noise(0.5)


@given(st.integers(0, 10**12))
def test_faces_within_is_the_inverse_of_face_end(i: int) -> None:
    assert faces_within(face_end(i)) == i + 1
    assert faces_within(face_end(i) - 1) == i


@given(st.lists(st.floats(width=32), max_size=50))
def test_cleaned_samples_are_finite_and_in_range(values: list[float]) -> None:
    out = clean(np.array(values, np.float32))
    assert np.isfinite(out).all()
    assert (np.abs(out) <= 1).all()
    for before, after in zip(values, out, strict=True):
        if abs(before) <= 1:
            assert after == np.float32(before)


@given(
    st.lists(st.tuples(st.floats(-50, 50, width=32), st.booleans()), max_size=40),
    st.integers(0, 8),
)
def test_shown_weights_are_always_in_range(faces: list[tuple[float, bool]], ahead: int) -> None:
    face = Face({"mouthClose": 0.3}, ahead, seed=1)
    for value, speech in faces:
        weights, head = face.shape(np.full(52, value, np.float32), speech)
        assert (weights >= 0).all()
        assert (weights <= 1).all()
        assert (np.abs(head) < 0.5).all()


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 3000), max_size=12), st.sampled_from([0, 2, 4]))
def test_any_cutting_gives_the_same_faces(sizes: list[int], lookahead: int) -> None:
    def faces(cuts: list[int]) -> list[bytes]:
        pipeline = Pipeline(fake_bundle(), (FakeGenerator(), FakeDecoder()), lookahead)
        out, at = [], 0
        for size in [*cuts, len(SOUND)]:
            out += pipeline.push(AudioBlock(SOUND[at : at + size], at, 0.0))
            at = min(len(SOUND), at + size)
        out += pipeline.flush(0.0)
        return [f.weights.tobytes() + str(f.end).encode() for f in out]

    assert faces(sizes) == faces([])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 3000), max_size=12), st.sampled_from([8000, 22050, 44100, 48000]))
def test_any_cutting_resamples_the_same(sizes: list[int], rate: int) -> None:
    whole, parts = Resampler(rate), Resampler(rate)
    out, at = [], 0
    for size in [*sizes, len(SOUND)]:
        out.append(parts.push(SOUND[at : at + size]))
        at = min(len(SOUND), at + size)
    assert np.array_equal(np.concatenate(out), whole.push(SOUND))


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_osc_strings_are_padded_to_four_and_end_in_nul(text: str) -> None:
    raw = string(text)
    assert len(raw) % 4 == 0
    assert raw.rstrip(b"\0") == text.encode()
    assert 1 <= len(raw) - len(text.encode()) <= 4
