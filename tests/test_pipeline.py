"""The whole way from samples to faces, with the shipped bundle and with fake engines."""

from __future__ import annotations

import numpy as np
import pytest

from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import (
    AudioBlock,
    BlendshapeFrame,
    Floats,
    UsageError,
    face_end,
    faces_within,
)
from edge.inference.engine import open_engines
from edge.pipeline import FILLABLE, Pipeline
from edge.voice_emotion import VoiceEmotion
from tests.fakes import JAW, FakeDecoder, FakeGenerator, blocks, fake_bundle, noise, silence

Faces = list[BlendshapeFrame]


def real(lookahead: int | None = None, seed: int = 0) -> Pipeline:
    bundle = read_bundle(DEFAULT)
    return Pipeline(bundle, open_engines(bundle), lookahead, seed)


def fake(lookahead: int | None = None, seed: int = 0) -> Pipeline:
    return Pipeline(fake_bundle(), (FakeGenerator(), FakeDecoder()), lookahead, seed)


BOTH = pytest.mark.parametrize("make", [real, fake])


def faces(pipeline: Pipeline, samples: Floats, size: int | None = None) -> Faces:
    out = [frame for block in blocks(samples, size) for frame in pipeline.push(block)]
    return out + pipeline.flush(0.0)


def same(a: Faces, b: Faces) -> bool:
    return len(a) == len(b) and all(
        x.end == y.end
        and np.array_equal(x.weights, y.weights)
        and np.array_equal(x.head, y.head)
        and x.level_db == y.level_db
        for x, y in zip(a, b, strict=True)
    )


def jaws(frames: Faces) -> Floats:
    return np.array([frame.weights[JAW] for frame in frames])


@BOTH
@pytest.mark.parametrize("size", [1, 37, 160, 512])
def test_faces_do_not_depend_on_the_block_size(make, size: int, demo: Floats) -> None:
    sound = demo[8000:24_100]
    assert same(faces(make(), sound, size), faces(make(), sound))


@BOTH
def test_the_future_never_changes_the_past(make, demo: Floats) -> None:
    sound = demo[8000:24_000].copy()
    before = make().push(AudioBlock(sound, 0, 0.0))
    changed = sound.copy()
    changed[face_end(30) :] = noise(1, -10)[: len(sound) - face_end(30)]
    pipeline = make()
    after = pipeline.push(AudioBlock(changed, 0, 0.0))
    complete = 31 - pipeline.lookahead  # faces that audio up to face_end(30) completes
    assert same(before[:complete], after[:complete])
    assert not same(before[: complete + 1], after[: complete + 1])


@BOTH
@pytest.mark.parametrize("lookahead", [0, 2, 4])
def test_look_ahead_delays_the_face_and_not_the_time_on_it(make, lookahead: int) -> None:
    sound = noise(0.5)
    pipeline = make(lookahead)
    first = pipeline.push(AudioBlock(sound[: face_end(lookahead) - 1], 0, 0.0))
    assert first == []
    (frame,) = pipeline.push(AudioBlock(sound[:1], face_end(lookahead) - 1, 7.0))
    assert (frame.end, frame.captured_at) == (face_end(0), 7.0)
    assert pipeline.delay == pytest.approx((lookahead + 1) / 60)


@BOTH
@pytest.mark.parametrize("samples", [0, 100, 266, 4000, 8000, 8123])
@pytest.mark.parametrize("lookahead", [0, 4])
def test_flushed_to_the_end_every_face_was_shown_once(make, samples: int, lookahead: int) -> None:
    frames = faces(make(lookahead), noise(1)[:samples], 160)
    assert [f.end for f in frames] == [face_end(i) for i in range(faces_within(samples))]


def test_without_a_wish_the_bundles_own_look_ahead_is_used() -> None:
    assert real().lookahead == read_bundle(DEFAULT).lookahead
    assert fake(0).lookahead == 0


def test_a_look_ahead_that_was_not_trained_is_refused() -> None:
    with pytest.raises(UsageError, match="look-ahead 50 ms: this bundle offers 0, 33, 67 ms"):
        fake(3)


def test_the_look_ahead_is_one_hot_in_the_conditioning() -> None:
    rows = []

    class Listening(FakeGenerator):
        def step(self, *, mels: Floats, control: Floats) -> dict[str, Floats]:
            rows.append(control[0, :3].tolist())
            return super().step(mels=mels, control=control)

    pipeline = Pipeline(fake_bundle(), (Listening(), FakeDecoder()), 4)
    pipeline.push(AudioBlock(silence(0.1), 0, 0.0))
    assert rows == [[0.0, 0.0, 1.0]] * 6


@BOTH
@pytest.mark.parametrize("gap", [1, 333, FILLABLE])
def test_a_short_gap_is_heard_as_silence(make, gap: int) -> None:
    sound = noise(1)
    filled = sound.copy()
    filled[4000 : 4000 + gap] = 0
    torn = make()
    out = torn.push(AudioBlock(sound[:4000], 0, 0.0))
    out += torn.push(AudioBlock(sound[4000 + gap :], 4000 + gap, 0.0))
    assert same(out, make().push(AudioBlock(filled, 0, 0.0)))


@BOTH
def test_after_a_long_gap_everything_starts_anew(make) -> None:
    sound = noise(1)
    torn, fresh = make(), make()
    torn.push(AudioBlock(sound, 0, 0.0))
    again = torn.push(AudioBlock(sound, 32_000, 0.0))
    first = fresh.push(AudioBlock(sound, 0, 0.0))
    # Face 119 ends at 32 000, so 120 is the first whole one.
    assert [f.end - 32_000 for f in again] == [f.end for f in first]
    # Features, networks and gate forgot; the mouth and the blinks go on from where they were.
    assert np.allclose(jaws(again[20:]), jaws(first[20:]), atol=1e-4)


def test_one_sample_more_than_a_short_gap_is_a_long_one() -> None:
    generator = FakeGenerator()
    pipeline = Pipeline(fake_bundle(), (generator, FakeDecoder()))
    assert generator.resets == 1
    pipeline.push(AudioBlock(noise(0.1), FILLABLE, 0.0))
    assert generator.resets == 1
    pipeline.push(AudioBlock(noise(0.1), 1600 + FILLABLE + FILLABLE + 1, 0.0))
    assert generator.resets == 2


def test_audio_that_goes_back_in_time_starts_anew() -> None:
    generator = FakeGenerator()
    pipeline = Pipeline(fake_bundle(0), (generator, FakeDecoder()))
    pipeline.push(AudioBlock(noise(1), 0, 0.0))
    frames = pipeline.push(AudioBlock(noise(0.1), 800, 0.0))
    assert generator.resets == 2
    assert [f.end for f in frames][:2] == [1066, 1333]


@BOTH
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e30])
def test_broken_samples_do_no_lasting_harm(make, poison: float, demo: Floats) -> None:
    sound = demo[: 16_000 * 6]
    broken = sound.copy()
    broken[16_000:16_100] = poison
    good, bad = faces(make(), sound, 160), faces(make(), broken, 160)
    assert all(np.isfinite(f.weights).all() for f in bad)
    assert all((f.weights >= 0).all() and (f.weights <= 1).all() for f in bad)
    later = 60 * 4 + 30
    difference = np.abs(jaws(good[later:]) - jaws(bad[later:]))
    # 3.5 s later the loudness may still differ a little, nothing else.
    assert difference.mean() < 0.05


@BOTH
def test_a_seed_repeats_a_face_and_another_does_not(make) -> None:
    a, b, c = (faces(make(seed=s), silence(3)) for s in (1, 1, 2))
    assert same(a, b)
    assert not same(a, c)


def test_a_rest_without_audio_shuts_the_mouth_and_keeps_the_time(demo: Floats) -> None:
    pipeline = fake(0)
    frames = pipeline.push(AudioBlock(demo[40_000:56_000], 0, 0.0))
    assert frames[-1].weights[JAW] > 0.3
    rests = [pipeline.rest(5.0 + i) for i in range(30)]
    assert rests[0].weights[JAW] > rests[5].weights[JAW] > rests[-1].weights[JAW]
    assert rests[-1].weights[JAW] < 0.01
    assert (rests[-1].end, rests[-1].captured_at) == (16_000, 34.0)


@pytest.mark.parametrize("lookahead", [0, 4])
def test_time_does_not_go_back_when_audio_comes_after_a_rest(lookahead: int) -> None:
    pipeline, sound = fake(lookahead), noise(1)
    before = pipeline.push(AudioBlock(sound[:8100], 0, 0.0))
    rest = pipeline.rest(1.0)
    after = pipeline.push(AudioBlock(sound[8100:], 8100, 0.0))
    assert before[-1].end <= rest.end < after[0].end
    assert fake(lookahead).rest(0.0).end == 0


def test_frames_of_one_push_do_not_share_memory() -> None:
    for make in (real, fake):
        first, second = make(0).push(AudioBlock(noise(0.1), 0, 0.0))[:2]
        assert not np.shares_memory(first.weights, second.weights)


def test_the_shipped_bundle_moves_the_jaw_in_speech_and_rests_in_silence(demo: Floats) -> None:
    frames = faces(real(), np.concatenate([demo, silence(3)]))
    levels = np.array([f.level_db for f in frames])
    speech = jaws(frames)[levels > -35]
    assert len(speech) > 100
    assert speech.max() > 0.15
    assert speech.std() > 0.02
    assert jaws(frames)[-120:].max() <= 0.02


def test_the_shipped_bundle_keeps_still_in_pure_silence() -> None:
    frames = faces(real(), silence(4))
    assert jaws(frames).max() <= 0.02
    others = [i for i in range(14, 41)]
    weights = np.array([f.weights[others] for f in frames])
    assert np.ptp(weights, axis=0).max() < 0.01


def test_networks_that_answer_nan_are_begun_anew_and_no_face_shows_it() -> None:
    generator, decoder = FakeGenerator(), FakeDecoder()
    pipeline = Pipeline(fake_bundle(), (generator, decoder))
    resets = generator.resets
    decoder._last = float("nan")  # from now on every face would be NaN
    frames = pipeline.push(AudioBlock(noise(0.5), 0, 0.0))
    assert len(frames) > 20
    assert all(np.isfinite(frame.weights).all() for frame in frames)
    assert generator.resets == resets + 1


def test_an_emotion_that_is_nan_is_begun_anew() -> None:
    generator = FakeGenerator()
    pipeline = Pipeline(fake_bundle(), (generator, FakeDecoder()))
    voice_emotion = VoiceEmotion(("neutral",), np.ones((1, 2), np.float32), np.zeros(1, np.float32))
    resets = generator.resets
    pipeline._update_emotion(voice_emotion, np.array([[[0.5, 0.5, np.nan, 0.0]]], np.float32))
    assert generator.resets == resets + 1
    assert np.isfinite(voice_emotion.uncertainty)
    pipeline._update_emotion(voice_emotion, np.full((1, 1, 4), 0.5, np.float32))
    assert generator.resets == resets + 1
