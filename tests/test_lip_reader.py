"""The lip-reader on made faces, whose words can be told beforehand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

from edge.contract import INDEX, Floats
from quantize.data.clips import DataError
from quantize.evaluation.lip_reader import (
    GROUPS,
    SHAPES,
    LipReader,
    SpokenSentence,
    least_alike,
    mouth_shapes,
    with_controls,
)

pytestmark = pytest.mark.toolchain
# Four words a place, each told by two bits: does the jaw open in its first half, is it round?
WORDS = ("wa", "wo", "ba", "bo")
FRAMES = 180


def sentence(
    rng: np.random.Generator, talker: str = "t", habit: float = 0.0, size: float = 1.0
) -> SpokenSentence:
    """Six words of 0.4 s from 0.3 s on; ``habit`` is added to all shapes, ``size`` scales."""
    chosen = [int(k) for k in rng.integers(0, 4, 6)]
    faces = rng.normal(0, 0.02, (FRAMES, 52)).astype(np.float32)
    words = []
    for place, k in enumerate(chosen):
        start = 0.3 + 0.4 * place
        words.append((start, start + 0.4, WORDS[k]))
        first = round(start * 60) - 1
        opens = first if k < 2 else first + 12
        faces[opens : opens + 12, INDEX["jawOpen"]] += 0.4
        if k % 2:
            faces[first : first + 24, INDEX["mouthPucker"]] += 0.4
    return SpokenSentence(talker, (faces * size + habit).astype(np.float32), tuple(words))


def sentences(count: int, seed: int, talker: str = "t", **how: float) -> list[SpokenSentence]:
    rng = np.random.default_rng(seed)
    return [sentence(rng, talker, **how) for _ in range(count)]


@pytest.fixture(scope="module")
def reader() -> LipReader:
    return LipReader(sentences(60, 0))


def test_words_that_look_different_are_read(reader: LipReader) -> None:
    found = reader.read(sentences(20, 1))
    assert found.shape == (20, 6)
    assert found.mean() > 0.98


def test_a_shape_says_what_it_tells_apart_and_no_more() -> None:
    # The jaw alone tells one bit of two, and so does rounding; the upper lip tells nothing.
    for group, share in (("jaw", 0.5), ("rounding", 0.5), ("upper lip", 0.25)):
        part = LipReader(sentences(60, 0), GROUPS[group])
        assert part.read(sentences(60, 1)).mean() == pytest.approx(share, abs=0.08), group
    assert {s for group in GROUPS.values() for s in group} == set(SHAPES)


def test_a_talker_s_rest_and_size_do_not_matter(reader: LipReader) -> None:
    other = sentences(10, 2, "other", habit=0.3, size=0.5)
    assert reader.read([*sentences(10, 3), *other]).mean() > 0.98
    assert reader.by_talker([*sentences(10, 3), *other]).keys() == {"t", "other"}


def test_a_still_face_is_not_read(reader: LipReader) -> None:
    still = [
        SpokenSentence("t", np.zeros((FRAMES, 52), np.float32), s.words) for s in sentences(40, 4)
    ]
    assert reader.read(still).mean() == pytest.approx(0.25, abs=0.08)


def test_controls_lie_where_they_must(reader: LipReader) -> None:
    captured = sentences(40, 5)
    jaw = [np.zeros_like(s.faces) for s in captured]
    for faces, s in zip(jaw, captured, strict=True):
        faces[:, INDEX["jawOpen"]] = s.faces[:, INDEX["jawOpen"]]
    rows = with_controls(reader, captured, [s.faces for s in captured], jaw)
    assert rows["captured"] == rows["predicted"]
    assert rows["captured"]["t"] > 0.98
    assert rows["another sentence"]["t"] < 0.25
    assert rows["loudness"]["t"] == pytest.approx(0.5, abs=0.1)
    # 100 ms late, half of the 200 ms that the jaw is open lie elsewhere; rounding still shows.
    assert 0.3 < rows["100 ms late"]["t"] < 0.95


def test_late_faces_are_those_of_six_frames_before(reader: LipReader) -> None:
    (s,) = sentences(1, 6)
    early = np.concatenate([s.faces[6:], s.faces[-6:]])
    pair = [s, *sentences(1, 7)]
    rows = with_controls(reader, pair, [early, pair[1].faces], [s.faces] * 2)
    # Made six frames early, the sentence is on time again when it is late.
    alone = LipReader(sentences(60, 0)).read([SpokenSentence("t", early, s.words)]).mean()
    assert alone < 1
    assert rows["100 ms late"]["t"] >= 0.5


def test_pairs_are_averaged() -> None:
    faces = np.zeros((3, 52), np.float32)
    faces[:, INDEX["mouthSmileLeft"]], faces[:, INDEX["jawOpen"]] = 0.4, 0.3
    found: Floats = mouth_shapes(faces, ("jawOpen", "mouthSmile"))
    np.testing.assert_allclose(found, [[0.3, 0.2]] * 3)


def test_the_least_alike_sentence_is_another_one_with_the_fewest_common_words() -> None:
    def sentence(text: str) -> tuple[tuple[float, float, str], ...]:
        return tuple((0.0, 1.0, w) for w in text.split())

    texts = ["a b c d e f", "a b c d e x", "a b c y e x", "z b c d e x"]
    # Counted from the next one on: 0 shares 5, 4, 4 words; 1 shares 5, 5, 5; 2 shares 4, 4, 5;
    # 3 shares 4, 5, 4.
    assert least_alike([sentence(t) for t in texts]) == [2, 2, 3, 0]


def test_a_sentence_of_another_length_is_refused() -> None:
    with pytest.raises(DataError, match="6 words, not 1"):
        SpokenSentence("t", np.zeros((9, 52), np.float32), ((0.0, 1.0, "bin"),))
