"""The gate: speech at any level and beside any hum, and no other sound."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.gate_sounds import at_level, calm_breath, sung_vowel
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import SAMPLE_RATE, AudioBlock, Floats, faces_within
from edge.face import Face
from edge.features import Features
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from edge.speech_gate import HOLD, KEEP, OPEN, MouthOpening, SpeechGate
from tests.fakes import JAW, noise, silence, tone


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    bundle = read_bundle(DEFAULT)
    return Pipeline(bundle, open_engines(bundle))


def jaw_of(pipeline: Pipeline, samples: Floats) -> Floats:
    pipeline.restart()
    for _ in range(60):  # the mouth of the clip before falls shut
        pipeline.rest(0.0)
    samples = samples.astype(np.float32)
    frames = pipeline.push(AudioBlock(samples, 0, 0.0)) + pipeline.flush(0.0)
    return np.array([frame.weights[JAW] for frame in frames])


@pytest.fixture(scope="module")
def clean(pipeline: Pipeline, demo: Floats) -> Floats:
    return jaw_of(pipeline, demo)


def verdicts(samples: Floats) -> np.ndarray:
    gate = SpeechGate()
    return np.array([gate.speaks(mels) for _, mels, _ in Features().push(samples)])


def mouth_of(samples: Floats) -> Floats:
    """The jaw of a face whose network always gives 0.8, at a look-ahead of 0."""
    raw = np.zeros(52, np.float32)
    raw[JAW] = 0.8
    gate, face = SpeechGate(), Face({}, 0, 0)
    return np.array(
        [face.shape(raw, gate.listen(m))[0][JAW] for _, m, _ in Features().push(samples)]
    )


def at_rms(samples: Floats, db: float) -> Floats:
    return samples * np.float32(10 ** (db / 20) / np.sqrt(np.mean(samples**2)))


def sixteen_bit(samples: Floats) -> Floats:
    return np.round(samples * 32768).astype(np.float32) / 32768


@pytest.mark.parametrize("percent", [1, 2, 5, 10, -10])
def test_a_constant_offset_changes_nothing(
    pipeline: Pipeline, demo: Floats, clean: Floats, percent: int
) -> None:
    jaw = jaw_of(pipeline, np.clip(demo + percent / 100, -1, 1))
    assert jaw.mean() == pytest.approx(clean.mean(), rel=0.05)
    assert np.corrcoef(jaw, clean)[0, 1] > 0.98


@pytest.mark.parametrize("amplitude", [0.04, 0.08])
@pytest.mark.parametrize("hz", [50, 60])
def test_mains_hum_beside_speech_hardly_matters(
    pipeline: Pipeline, demo: Floats, clean: Floats, hz: int, amplitude: float
) -> None:
    hum = tone(hz, len(demo) / SAMPLE_RATE, amplitude=amplitude)
    jaw = jaw_of(pipeline, at_rms(demo, -29) + hum)
    assert np.corrcoef(jaw, clean)[0, 1] > 0.9


@pytest.mark.parametrize(("peak_db", "least"), [(-26, 0.95), (-46, 0.9), (-56, 0.75)])
def test_a_quiet_microphone_is_heard(
    pipeline: Pipeline, demo: Floats, clean: Floats, peak_db: float, least: float
) -> None:
    quiet = sixteen_bit(demo * np.float32(10 ** (peak_db / 20) / np.abs(demo).max()))
    assert np.corrcoef(jaw_of(pipeline, quiet), clean)[0, 1] > least


@pytest.mark.parametrize(
    "sound",
    [
        silence(15),
        silence(15) + np.float32(0.05),
        silence(15) - np.float32(0.1),
        *(tone(hz, 15, amplitude=a) for hz in (50, 60) for a in (0.04, 0.08)),
        tone(50, 15, amplitude=0.04) + np.float32(0.05),
        tone(50, 15, amplitude=0.02) + tone(150, 15, amplitude=0.01),
    ],
)
def test_silence_with_an_offset_or_hum_leaves_the_jaw_shut(
    pipeline: Pipeline, sound: Floats
) -> None:
    assert jaw_of(pipeline, sound)[30:].max() < 0.005


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("db", [-20, -30, -45])
def test_breath_hardly_moves_the_jaw(pipeline: Pipeline, db: float, seed: int) -> None:
    breath = calm_breath(20 * SAMPLE_RATE, np.random.default_rng(seed))
    jaw = jaw_of(pipeline, at_level(breath, db))
    assert jaw.mean() < 0.05
    assert jaw[300:].max() < 0.05  # in the first seconds doubt moves the lips


@pytest.mark.parametrize("db", [-60.0, -50.0, -40.0])
def test_steady_fan_noise_is_silence_once_it_is_known(db: float) -> None:
    assert not verdicts(noise(20, db))[-300:].any()


@pytest.mark.parametrize("offset", [0.0, 0.05])
def test_a_microphone_that_is_muted_for_a_minute_is_silence(offset: float) -> None:
    assert not verdicts(silence(60) + np.float32(offset)).any()


def test_mains_hum_is_silence_once_it_is_known() -> None:
    hum = tone(50, 20, amplitude=0.02) + tone(150, 20, amplitude=0.01)
    assert not verdicts(hum)[-300:].any()


@pytest.mark.parametrize("seed", range(4))
def test_the_rumble_of_a_fan_is_no_speech_though_its_loudness_jumps(
    seed: int, demo: Floats
) -> None:
    rng = np.random.default_rng(seed)
    # As of a fan's lowest bands: falling by 6 dB an octave, 10 dB from trough to crest.
    rumble = np.cumsum(rng.standard_normal(20 * SAMPLE_RATE))
    rumble -= np.convolve(rumble, np.ones(400) / 400, "same")
    rumble *= np.repeat(10 ** (rng.normal(0, 3, 1250) / 20), 256)
    sound = at_rms(rumble.astype(np.float32), -45)
    said = verdicts(np.concatenate([sound, at_rms(demo, -20)]))
    assert said[600:1200].mean() < 0.2
    assert said[1200:1320].any()


def test_digital_silence_does_not_make_whispers_of_a_room_speech(demo: Floats) -> None:
    muted = np.concatenate([silence(10), noise(0.5, -70), noise(0.5, -62.5)])
    said = verdicts(np.concatenate([muted, at_rms(demo, -55)]))
    assert not said[:660].any()  # a quiet room after a mute button
    assert said[660:].mean() > 0.6


@pytest.mark.parametrize("pitch", [110, 220])
def test_a_held_vowel_is_speech_for_as_long_as_it_is_held(pitch: int) -> None:
    vowel = sung_vowel(30 * SAMPLE_RATE, pitch, (750, 1250, 2600))
    said = verdicts(at_level(vowel, -20))
    assert said[60:].mean() > 0.98


def test_speech_goes_on_being_speech(demo: Floats) -> None:
    loud = np.array([level for _, _, level in Features().push(demo)]) > -30
    assert verdicts(demo)[loud].mean() > 0.99


def test_speech_is_noticed_over_a_fan(demo: Floats) -> None:
    fan = noise(12, -50)
    fan[8 * SAMPLE_RATE :] += demo[: 4 * SAMPLE_RATE]
    said = verdicts(fan)
    assert not said[60 * 5 : 60 * 8].any()
    assert np.argmax(said[480:]) < np.argmax(verdicts(demo)) + 3
    loud = np.array([level for _, _, level in Features().push(demo[: 4 * SAMPLE_RATE])]) > -30
    assert said[480:][loud[: len(said) - 480]].mean() > 0.95


def test_speech_opens_within_two_faces_at_the_default_look_ahead(
    pipeline: Pipeline, demo: Floats
) -> None:
    onset = loud_from(demo)
    sound = np.concatenate([silence(1), demo[onset : onset + SAMPLE_RATE]])
    gated = jaw_of(pipeline, sound)
    logits = []
    gate = SpeechGate()
    for _, mels, _ in Features().push(sound):
        logits.append(gate.listen(mels))
    first = next(i for i, free in enumerate(logits) if free == 1)
    # The face of a sound leaves four faces after the sound, and the verdict is one face younger.
    assert first - 60 <= 3 + 2
    assert gated[30:56].max() < 0.005


def test_a_stop_in_a_word_does_not_shut_the_mouth(demo: Floats) -> None:
    onset = loud_from(demo) + SAMPLE_RATE // 2
    word = demo[onset : onset + SAMPLE_RATE // 2]
    jaw = mouth_of(np.concatenate([demo[:onset], word, silence(0.1), word]))
    start = faces_within(onset) + 30
    assert jaw[start - 2 : start + 8].min() > 0.75


def test_the_mouth_is_shut_a_third_of_a_second_after_the_voice(
    pipeline: Pipeline, demo: Floats
) -> None:
    onset = loud_from(demo) + SAMPLE_RATE
    jaw = jaw_of(pipeline, np.concatenate([demo[:onset], silence(1.0)]))
    assert jaw[: faces_within(onset)].max() > 0.1
    assert jaw[faces_within(onset) + 20 :].max() < 0.02


def loud_from(samples: Floats) -> int:
    """The sample at which the first loud sound begins."""
    return int(np.argmax(np.abs(samples) > 0.3 * np.abs(samples).max()))


def test_the_gate_holds_after_the_last_face_of_speech() -> None:
    opening = MouthOpening()
    free = [opening.push(score) for score in [OPEN + 1.0] * 5 + [KEEP - 5.0] * 20]
    assert free == [1.0] * (5 + HOLD) + [0.0] * (20 - HOLD)


def test_the_gate_remembers_what_it_heard_and_a_reset_forgets_it(demo: Floats) -> None:
    mels = [m for _, m, _ in Features().push(demo[:SAMPLE_RATE])]
    gate = SpeechGate()
    first = []
    for m in mels:
        gate.speaks(m)
        first.append(gate.logit)
    gate.speaks(mels[0])
    assert gate.logit != first[0]
    gate.reset()
    gate.speaks(mels[0])
    assert gate.logit == first[0]


def test_the_runtime_and_the_training_agree(demo: Floats) -> None:
    torch = pytest.importorskip("torch")
    from edge.speech_gate import WEIGHTS
    from quantize.data.gate_streams import gate_features
    from quantize.training.train_speech_gate import GateNetwork

    network = GateNetwork()
    with np.load(WEIGHTS) as kept:
        network.load_state_dict({key: torch.from_numpy(kept[key]) for key in kept.files})
    features = gate_features(demo[: 4 * SAMPLE_RATE])
    with torch.no_grad():
        wanted = network(torch.from_numpy(features[None]))[0].numpy()
    gate, found = SpeechGate(), []
    for _, mels, _ in Features().push(demo[: 4 * SAMPLE_RATE]):
        gate.speaks(mels)
        found.append(gate.logit)
    assert found == pytest.approx(wanted, abs=1e-3)
