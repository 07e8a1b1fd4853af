"""Words that are known before they are heard: spelled, placed in time, told to the networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.bundle import Network
from edge.contract import AudioBlock, Floats
from edge.pipeline import Pipeline
from edge.words import (
    AHEAD,
    LONGEST,
    NO_VISEME,
    PAUSE,
    REACH,
    SOUND,
    SPAN,
    VISEME_FEATURES,
    VISEMES,
    WordScript,
    spell,
    viseme_features,
)
from tests.fakes import FakeDecoder, FakeGenerator, fake_bundle, silence


def named(sounds: NDArray[np.int8]) -> str:
    return " ".join("_" if v == NO_VISEME else VISEMES[v] for v in sounds[::SOUND])


@pytest.mark.parametrize(
    ("words", "sounds"),
    [
        ("moon", "PP U nn"),
        ("Bob, Pam", f"PP O PP {'_ ' * (PAUSE // SOUND)}PP aa PP"),
        ("the ship", "TH E CH I PP"),
        ("letter", "nn E DD E RR"),
        ("place", "PP nn aa kk"),
        ("see", "SS I"),
        ("phone", "FF O nn"),
        ("5", "FF aa I FF"),
        ("schön", "CH O nn"),
        ("don't", "DD O nn DD"),
        ("wait—stop\nnow", "U E DD SS DD O PP nn O"),
        ("use the café", "U SS TH E kk aa FF E"),
        ("3.5, e.g.", f"TH RR I FF aa I FF {'_ ' * (PAUSE // SOUND)}E kk{' _' * (PAUSE // SOUND)}"),
        ("Straße", "SS DD RR aa SS"),
        ("你好", ""),
        ("", ""),
    ],
)
def test_letters_are_the_mouth_shapes_they_mostly_stand_for(words: str, sounds: str) -> None:
    assert named(spell(words)) == sounds


def test_every_sound_is_one_of_the_visemes_and_lasts_its_time() -> None:
    assert len(spell("hello " * 1000)) == LONGEST
    sounds = spell("The quick brown fox jumps over the lazy dog 0 1 2 3 4 6 7 8 9; why, xylophone?")
    assert sounds.dtype == np.int8
    assert sounds.max() < len(VISEMES)
    assert set(sounds[sounds != NO_VISEME].tolist()) == set(range(1, len(VISEMES)))
    assert len(sounds) % SOUND == 0


def test_a_sound_is_due_most_at_its_own_face_and_soon_a_fifth_of_a_second_before() -> None:
    sounds = np.full(200, NO_VISEME)
    sounds[100] = 3
    rows = viseme_features(sounds)
    assert rows.shape == (200 - SPAN + 1, VISEME_FEATURES)
    now, soon = rows[:, 3], rows[:, len(VISEMES) + 3]
    assert now.argmax() + REACH == 100
    assert soon.argmax() + REACH == 100 - AHEAD
    # A bell with a deviation of five faces: 1 / (1 + 2 exp(-1/50) + 2 exp(-4/50)).
    assert now.max() == soon.max()
    assert now.max() == pytest.approx(1 / (1 + 2 * np.exp(-1 / 50) + 2 * np.exp(-4 / 50)))
    assert np.flatnonzero(now).tolist() == list(range(100 - 2 * REACH, 101))
    sounds[98:103] = 3  # a whole sound
    assert viseme_features(sounds)[:, 3].max() == pytest.approx(1)
    assert not np.delete(rows, [3, len(VISEMES) + 3], axis=1).any()


def test_a_script_tells_what_was_said_last_from_where_it_begins() -> None:
    script = WordScript()
    script.say(spell("mamama"), now=1000, first=1100)
    before, there = script.due(1100 - REACH - AHEAD - 1), script.due(1110)
    assert not before.any()
    assert there[VISEMES.index("PP")] > 0.2
    script.say(spell("oh"), now=1105, first=1115)
    sounds = np.full(400, NO_VISEME)
    sounds[100:115], sounds[115:125] = spell("mamama")[:15], spell("oh")
    for face in (1103, 1112, 1118, 1130):
        want = viseme_features(sounds[face - 1000 - REACH :][:SPAN])[0]
        np.testing.assert_array_equal(script.due(face), want)
    assert not script.due(1125 + REACH).any()
    assert script.due(1125 + REACH - 1).any()


def test_an_empty_text_ends_what_was_expected() -> None:
    script = WordScript()
    script.say(spell("mamama"), now=100, first=100)
    script.say(spell(""), now=103, first=105)
    assert script.due(105).any()  # what is said already still counts
    assert not script.due(105 + REACH).any()


def test_a_script_forgets_what_nobody_asks_about_any_more() -> None:
    script = WordScript()
    for face in range(0, 100_000, 100):
        script.say(spell("and so on"), now=face, first=face + 30)
    assert len(script._sounds) < 300


class Listening(FakeGenerator):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.conditioning_input: list[Floats] = []

    def step(self, *, mels: Floats, control: Floats) -> dict[str, Floats]:
        self.conditioning_input.append(control[0].copy())
        return super().step(mels=mels, control=control)


def listening(lookahead: int = 2) -> tuple[Pipeline, Listening]:
    generator = Listening()
    return Pipeline(fake_bundle(), (generator, FakeDecoder()), lookahead), generator


@pytest.mark.parametrize("lookahead", [0, 4])
def test_words_reach_the_network_at_the_face_that_shows_them(lookahead: int) -> None:
    pipeline, generator = listening(lookahead)
    pipeline.push(AudioBlock(silence(0.5), 0, 0.0))  # faces 0 to 29
    pipeline.expect(spell("mum"), 0.5)  # face 60 on
    pipeline.push(AudioBlock(silence(1.5), 8000, 0.0))
    rows = np.stack(generator.conditioning_input)[:, -VISEME_FEATURES:]
    shut = rows[:, VISEMES.index("PP")] + rows[:, VISEMES.index("U")]
    # The middle of the word, when the face it belongs to is made.
    assert shut.argmax() == pytest.approx(60 + 1.5 * SOUND + lookahead, abs=1)
    assert rows[30 + lookahead : 60 - REACH - AHEAD + lookahead].max() == 0
    assert rows[60 + 3 * SOUND + REACH + lookahead :].max() == 0


def test_a_new_stream_knows_no_words() -> None:
    pipeline, generator = listening()
    pipeline.expect(spell("mum"), 0.0)
    pipeline.restart()
    pipeline.push(AudioBlock(silence(0.5), 0, 0.0))
    assert not np.stack(generator.conditioning_input)[:, -VISEME_FEATURES:].any()


def test_a_style_is_told_alone_and_fades() -> None:
    pipeline, generator = listening()
    for start, (name, amount) in enumerate([("broad", 0.5), ("calm", 1.0), ("calm", 0.0)]):
        pipeline.set_style(name, amount)
        assert pipeline.style == (name, amount)
        pipeline.push(AudioBlock(silence(0.5), 8000 * start, 0.0))
    styles = np.stack(generator.conditioning_input)[:, 3:5]
    assert styles[[0, 2, 5, 29]] == pytest.approx(np.array([[0, 1], [0, 3], [0, 6], [0, 6]]) / 12)
    assert styles[[30, 35, 41, 59]] == pytest.approx(
        np.array([[1, 5], [6, 0], [12, 0], [12, 0]]) / 12
    )
    assert styles[70].any()
    assert not styles[73:].any()  # to the last bit
    assert np.stack(generator.conditioning_input)[:, :3].tolist() == [[0, 1, 0]] * 90


def test_an_older_bundle_is_told_its_look_ahead_and_nothing_else() -> None:
    heard = []

    class Older(FakeGenerator):
        def step(self, *, mels: Floats, lookahead: Floats) -> dict[str, Floats]:  # type: ignore[override]
            heard.append(lookahead[0].tolist())
            return super().step(mels=mels, control=lookahead)

    inputs = {"lookahead": (1, 3)}
    generator = Network("none.onnx", "", inputs, {})
    bundle = replace(fake_bundle(), generator=generator, styles=())
    assert not bundle.reads_words
    pipeline = Pipeline(bundle, (Older(), FakeDecoder()), 4)
    pipeline.expect(spell("mum"), 0.0)
    pipeline.push(AudioBlock(silence(0.1), 0, 0.0))
    assert heard == [[0, 0, 1]] * 6
