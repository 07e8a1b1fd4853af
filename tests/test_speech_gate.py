"""The gate: speech at any level and beside any hum, and no other sound."""

from __future__ import annotations

import numpy as np
import pytest

from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import SAMPLE_RATE, AudioBlock, Floats
from edge.features import N_MELS, Features
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from edge.speech_gate import HOLD, SpeechGate
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
        tone(50, 15, amplitude=0.02) + tone(150, 15, amplitude=0.01),
        noise(15, -60),
        noise(15, -45),
    ],
)
def test_no_sound_but_speech_moves_the_jaw(pipeline: Pipeline, sound: Floats) -> None:
    jaw = jaw_of(pipeline, sound)
    assert jaw.mean() < (0.01 if len(np.unique(np.abs(sound))) > 20_000 else 0.005)
    assert jaw[-300:].max() < 0.05


@pytest.mark.parametrize("db", [-20, -30, -45])
def test_breath_is_hardly_ever_taken_for_speech(db: float) -> None:
    pytest.importorskip("scipy", reason="what makes the breath needs scipy")
    pytest.importorskip("torch")
    from quantize.training.train_speech_gate import breaths

    sound = breaths(30 * SAMPLE_RATE, np.random.default_rng(7))
    said = verdicts((sound / np.abs(sound).max() * 10 ** (db / 20)).astype(np.float32))
    assert said.mean() < 0.1


@pytest.mark.parametrize("pitch", [110, 220])
def test_a_held_vowel_is_speech_for_as_long_as_it_is_held(pitch: int) -> None:
    time = np.arange(30 * SAMPLE_RATE) / SAMPLE_RATE
    # The harmonics of an "a": two formants, falling by 6 dB an octave beside them.
    voice = np.zeros_like(time)
    for k in range(1, 4000 // pitch):
        formants = sum(1 / (1 + ((k * pitch - hz) / 120) ** 2) for hz in (750, 1250, 2600))
        voice += (formants + 0.02) / k**0.5 * np.sin(2 * np.pi * k * pitch * time + k * k)
    said = verdicts(at_rms(voice.astype(np.float32), -20))
    assert said[60:].mean() > 0.98


def test_speech_goes_on_being_speech(demo: Floats) -> None:
    loud = np.array([level for _, _, level in Features().push(demo)]) > -30
    assert verdicts(demo)[loud].mean() > 0.99


def test_speech_is_heard_over_a_fan(demo: Floats) -> None:
    fan = noise(6, -50)
    fan[3 * SAMPLE_RATE :] += demo[: 3 * SAMPLE_RATE]
    said = verdicts(fan)
    assert not said[:180].any()
    assert np.argmax(said) < np.argmax(verdicts(demo)) + 180 + 6


def test_doubt_lets_the_mouth_go_in_part_and_not_for_ever() -> None:
    gate = SpeechGate()
    gate._step = lambda mels: -1.5  # type: ignore[method-assign]
    let = [gate.listen(np.zeros(N_MELS, np.float32)) for _ in range(900)]
    assert 0.3 < max(let) < 0.5
    assert let[-1] < 0.001


def test_a_stop_in_a_word_does_not_shut_the_gate() -> None:
    gate = SpeechGate()
    scores = iter([1.0] * 5 + [-1.0] * 20)
    gate._step = lambda mels: next(scores)  # type: ignore[method-assign]
    said = [gate.speaks(np.zeros(N_MELS, np.float32)) for _ in range(25)]
    assert said == [True] * (5 + HOLD - 1) + [False] * (20 - HOLD + 1)


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
    from quantize.training.train_speech_gate import GateNetwork

    network = GateNetwork()
    with np.load(WEIGHTS) as kept:
        network.load_state_dict({key: torch.from_numpy(kept[key]) for key in kept.files})
    mels = np.stack([m for _, m, _ in Features().push(demo[: 4 * SAMPLE_RATE])])
    with torch.no_grad():
        wanted = network(torch.from_numpy(mels[None]))[0].numpy()
    gate, found = SpeechGate(), []
    for m in mels:
        gate.speaks(m)
        found.append(gate.logit)
    assert found == pytest.approx(wanted, abs=1e-3)
