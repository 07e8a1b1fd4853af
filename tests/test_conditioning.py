"""The conditioning of the generator: layout, look-ahead, styles and words."""

from __future__ import annotations

import numpy as np
import pytest

from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.conditioning import (
    AHEAD,
    REACH,
    SPAN,
    VISEME_FEATURES,
    Conditioning,
    ConditioningLayout,
    WordScript,
    viseme_features,
)
from edge.contract import AudioBlock, Floats, UsageError
from edge.pipeline import Pipeline
from edge.words import NO_VISEME, VISEME_FRAMES, VISEMES, spell
from tests.fakes import FakeDecoder, FakeGenerator, fake_bundle, silence

LAYOUT = fake_bundle().layout


def test_the_parts_of_the_layout_follow_each_other_and_fill_it() -> None:
    layout = ConditioningLayout((0, 4), ("calm", "broad", "shy"))
    parts = (layout.lookahead, layout.style, layout.visemes)
    numbers = [n for part in parts for n in range(layout.size)[part]]
    assert numbers == list(range(2 + 3 + VISEME_FEATURES))
    assert [n for n in range(layout.size)[layout.optional]] == numbers[2:]
    assert layout.at(4).tolist() == [[0, 1] + [0] * (3 + VISEME_FEATURES)]
    assert layout.one_hot(np.array([4, 0, 4])).tolist() == [[0, 1], [1, 0], [0, 1]]


@pytest.mark.toolchain
def test_bundle_and_student_share_the_layout() -> None:
    pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")
    from models.student_sizes import StudentConfig

    bundle = read_bundle(DEFAULT)
    config = StudentConfig(lookaheads=bundle.lookaheads, styles=bundle.styles)
    assert config.layout == bundle.layout
    assert bundle.conditioning_input(4)["control"].tolist() == config.at(4).tolist()
    assert bundle.generator.inputs["control"] == (1, config.control)


def test_an_untrained_look_ahead_is_refused_in_one_sentence_in_ms() -> None:
    words = r"look-ahead 50 ms: this bundle offers 0, 33, 67 ms"
    with pytest.raises(UsageError, match=words):
        LAYOUT.lookahead_of(50)
    with pytest.raises(UsageError, match=words):
        LAYOUT.at(3)
    with pytest.raises(UsageError, match=words):
        Conditioning(LAYOUT, 3)
    with pytest.raises(UsageError, match=words):
        Conditioning(LAYOUT, 2).set_lookahead(3)
    assert [LAYOUT.lookahead_of(ms) for ms in LAYOUT.lookaheads_ms] == [0, 2, 4]


def test_a_viseme_is_due_most_at_its_own_face_and_soon_a_fifth_of_a_second_before() -> None:
    visemes = np.full(200, NO_VISEME)
    visemes[100] = 3
    rows = viseme_features(visemes)
    assert rows.shape == (200 - SPAN + 1, VISEME_FEATURES)
    now, soon = rows[:, 3], rows[:, len(VISEMES) + 3]
    assert now.argmax() + REACH == 100
    assert soon.argmax() + REACH == 100 - AHEAD
    # A bell with a deviation of five faces: 1 / (1 + 2 exp(-1/50) + 2 exp(-4/50)).
    assert now.max() == soon.max()
    assert now.max() == pytest.approx(1 / (1 + 2 * np.exp(-1 / 50) + 2 * np.exp(-4 / 50)))
    assert np.flatnonzero(now).tolist() == list(range(100 - 2 * REACH, 101))
    visemes[98:103] = 3  # a whole viseme
    assert viseme_features(visemes)[:, 3].max() == pytest.approx(1)
    assert not np.delete(rows, [3, len(VISEMES) + 3], axis=1).any()


def test_the_newest_words_replace_older_ones_from_where_they_begin() -> None:
    script = WordScript()
    script.replace(spell("mamama"), now=1000, first=1100)
    before, there = script.due(1100 - REACH - AHEAD - 1), script.due(1110)
    assert not before.any()
    assert there[VISEMES.index("PP")] > 0.2
    script.replace(spell("oh"), now=1105, first=1115)
    visemes = np.full(400, NO_VISEME)
    visemes[100:115], visemes[115:125] = spell("mamama")[:15], spell("oh")
    for face in (1103, 1112, 1118, 1130):
        want = viseme_features(visemes[face - 1000 - REACH :][:SPAN])[0]
        np.testing.assert_array_equal(script.due(face), want)
    assert not script.due(1125 + REACH).any()
    assert script.due(1125 + REACH - 1).any()


def test_an_empty_text_ends_the_expected_words() -> None:
    script = WordScript()
    script.replace(spell("mamama"), now=100, first=100)
    script.replace(spell(""), now=103, first=105)
    assert script.due(105).any()  # words before it still count
    assert not script.due(105 + REACH).any()


def test_a_script_drops_visemes_that_are_past() -> None:
    script = WordScript()
    for face in range(0, 100_000, 100):
        script.replace(spell("and so on"), now=face, first=face + 30)
    assert len(script._visemes) < 300


class RecordingGenerator(FakeGenerator):
    """Keeps its conditioning."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Floats] = []

    def step(self, *, mels: Floats, control: Floats) -> dict[str, Floats]:
        self.rows.append(control[0].copy())
        return super().step(mels=mels, control=control)


def recorded(lookahead: int = 2) -> tuple[Pipeline, RecordingGenerator]:
    generator = RecordingGenerator()
    return Pipeline(fake_bundle(), (generator, FakeDecoder()), lookahead), generator


@pytest.mark.parametrize("lookahead", [0, 4])
def test_words_reach_the_generator_when_it_makes_their_face(lookahead: int) -> None:
    pipeline, generator = recorded(lookahead)
    pipeline.push(AudioBlock(silence(0.5), 0, 0.0))  # faces 0 to 29
    pipeline.expect(spell("mum"), 0.5)  # face 60 on
    pipeline.push(AudioBlock(silence(1.5), 8000, 0.0))
    rows = np.stack(generator.rows)[:, LAYOUT.visemes]
    shut = rows[:, VISEMES.index("PP")] + rows[:, VISEMES.index("U")]
    # The middle of the word, when the face it belongs to is made.
    assert shut.argmax() == pytest.approx(60 + 1.5 * VISEME_FRAMES + lookahead, abs=1)
    assert rows[30 + lookahead : 60 - REACH - AHEAD + lookahead].max() == 0
    assert rows[60 + 3 * VISEME_FRAMES + REACH + lookahead :].max() == 0


def test_a_new_stream_has_no_words() -> None:
    pipeline, generator = recorded()
    pipeline.expect(spell("mum"), 0.0)
    pipeline.restart()
    pipeline.push(AudioBlock(silence(0.5), 0, 0.0))
    assert not np.stack(generator.rows)[:, LAYOUT.visemes].any()


def test_one_style_at_a_time_fades_in() -> None:
    pipeline, generator = recorded()
    for start, (name, amount) in enumerate([("broad", 0.5), ("calm", 1.0), ("calm", 0.0)]):
        pipeline.conditioning.set_style(name, amount)
        assert pipeline.conditioning.style == (name, amount)
        pipeline.push(AudioBlock(silence(0.5), 8000 * start, 0.0))
    styles = np.stack(generator.rows)[:, LAYOUT.style]
    assert styles[[0, 2, 5, 29]] == pytest.approx(np.array([[0, 1], [0, 3], [0, 6], [0, 6]]) / 12)
    assert styles[[30, 35, 41, 59]] == pytest.approx(
        np.array([[1, 5], [6, 0], [12, 0], [12, 0]]) / 12
    )
    assert styles[70].any()
    assert not styles[73:].any()  # to the last bit
    assert np.stack(generator.rows)[:, LAYOUT.lookahead].tolist() == [[0, 1, 0]] * 90
