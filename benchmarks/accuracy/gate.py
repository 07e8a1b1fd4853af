"""How well speech is told from every other sound: ``python -m benchmarks.accuracy.gate``.

The speech gate is held against loudness over a noise floor (what decided before) and, with
``--silero FILE.onnx``, against Silero VAD, on talkers and noises that no training heard. What is
speech is taken from the clean recording, one verdict a face. Writes ``results/gate.json``.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import RESULTS
from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import FPS, INDEX, SAMPLE_RATE, Floats, face_end, faces_within
from edge.features import Features
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from edge.speech_gate import CERTAIN, HOLD, SpeechGate
from quantize.data.load import load
from quantize.evaluation.predict import faces_of
from quantize.evaluation.record import write_record
from quantize.evaluation.test_clips import made_silence
from quantize.training.train_speech_gate import HELD_BACK, breaths, clicks, held_vowel, speech_faces

Scores = Callable[[Floats], Floats]
"""Samples -> (faces,) above 0 where the judge hears speech."""
DEMO = Path(__file__).parents[2] / "edge" / "assets" / "demo.flac"
CLIPS, PAUSE = 20, 1.0
"""Test clips of each set, and seconds of silence before and after each."""


def by_network(samples: Floats) -> Floats:
    """What the runtime decides by."""
    gate, out = SpeechGate(), []
    for _, mels, _ in Features().push(samples):
        gate.speaks(mels)
        out.append(gate.logit)
    return np.array(out, np.float32)


def by_loudness(samples: Floats) -> Floats:
    """Decibels over a floor that falls at once and rises by 3 dB a second."""
    floor, powers, out = -50.0, [0.0] * 4, []
    for end in map(face_end, range(faces_within(len(samples)))):
        heard = samples[max(0, end - 400) : end]
        powers = [*powers[1:], float(heard @ heard) / 400]
        db = 10 * math.log10(sum(powers) / 4 + 1e-12)
        floor = max(min(db, floor + 3 / FPS), -75.0)
        out.append(db - max(-62.0, floor + 6))
    return np.array(out, np.float32)


def by_silero(model: Path) -> Scores:
    """Silero VAD on one thread, a verdict each 32 ms, valid from the chunk's end."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def scores(samples: Floats) -> Floats:
        state, chances = np.zeros((2, 1, 128), np.float32), [0.0]
        padded = np.concatenate([np.zeros(64, np.float32), samples])
        for start in range(0, len(samples) - 511, 512):
            feed = {"input": padded[None, start : start + 576], "state": state}
            chance, state = session.run(None, feed | {"sr": np.array(SAMPLE_RATE)})
            chances.append(float(chance[0, 0]))
        ends = [face_end(i) // 512 for i in range(faces_within(len(samples)))]
        heard = np.clip(np.array(chances, np.float32)[ends], 1e-6, 1 - 1e-6)
        return np.asarray(np.log(heard / (1 - heard)), np.float32)

    return scores


def held(scores: Floats) -> NDArray[np.bool_]:
    """Verdicts with the runtime's hold; every score is a logit or as many decibels or so."""
    since, out = HOLD, []
    for score in scores:
        since = 0 if score > CERTAIN else since + 1
        out.append(since < HOLD)
    return np.array(out)


def area(scores: Floats, speech: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a face of speech scores above one without."""
    ranks = scores.argsort(kind="stable").argsort()[speech]
    n = int(speech.sum())
    return float((ranks.mean() - (n - 1) / 2) / (len(scores) - n))


def at_level(sound: Floats, db: float) -> Floats:
    """The sound with its loud parts (95 % of 25 ms) at an RMS in dBFS."""
    power = np.add.reduceat(sound**2, np.arange(0, len(sound), 400)) / 400
    gain = 10 ** (db / 20) / np.sqrt(np.percentile(power, 95) + 1e-12)
    return np.asarray(sound * gain, np.float32)


def test_speech(data: Path) -> list[tuple[Floats, NDArray[np.bool_]]]:
    """Talkers that no training heard, loud parts at -20 dBFS, and where they speak."""
    pause, found = np.zeros(round(PAUSE * SAMPLE_RATE), np.float32), []
    for source in ("librispeech_261spk", "emodb"):
        test = [c for c in load([data / source])[0] if c.split == "test" and c.audio]
        for clip in test[:: max(1, len(test) // CLIPS)][:CLIPS]:
            assert clip.audio is not None
            sound = at_level(read_audio(clip.audio)[: 8 * SAMPLE_RATE], -20)
            sound = np.concatenate([pause, sound, pause])
            found.append((sound, speech_faces(sound) > 0))
    return found


def conditions(noises: Sequence[Floats]) -> dict[str, Callable[[Floats, int], Floats]]:
    """Name -> what becomes of clip ``i``."""

    def noisy(snr: float) -> Callable[[Floats, int], Floats]:
        return lambda x, i: x + at_level(np.resize(noises[i % len(noises)], len(x)), -20 - snr)

    def humming(hz: int, amplitude: float) -> Callable[[Floats, int], Floats]:
        return lambda x, i: x + tone(hz, len(x), amplitude)

    return {
        "clean": lambda x, i: x,
        "offset of 10 %": lambda x, i: x * np.float32(0.9) + np.float32(0.1),
        "50 Hz at 0.08": humming(50, 0.08),
        "60 Hz at 0.08": humming(60, 0.08),
        "noise, 20 dB below": noisy(20),
        "noise, 10 dB below": noisy(10),
        "noise, 5 dB below": noisy(5),
        "30 dB softer": lambda x, i: quantised(x * np.float32(10**-1.5)),
        "45 dB softer": lambda x, i: quantised(x * np.float32(10**-2.25)),
    }


def tone(hz: float, length: int, amplitude: float) -> Floats:
    """A sine."""
    wave = amplitude * np.sin(2 * np.pi * hz * np.arange(length) / SAMPLE_RATE)
    return wave.astype(np.float32)


def quantised(samples: Floats) -> Floats:
    """As 16-bit files hold them."""
    return np.round(samples * 32768) / np.float32(32768)


def no_speech(noises: Sequence[Floats]) -> dict[str, Floats]:
    """Sounds that no mouth should move to."""
    length, rng = 30 * SAMPLE_RATE, np.random.default_rng(7)
    made = {clip.speaker: clip.samples for clip in made_silence()}
    for hz in (50, 60):
        made |= {f"{hz} Hz at {a}": tone(hz, length, a) for a in (0.04, 0.08)}
    made["offset of 5 %"] = np.full(length, 0.05, np.float32)
    for db in (-30, -45):
        made[f"breath at {db} dBFS"] = at_level(breaths(length, rng), db)
        made[f"noises at {db} dBFS"] = at_level(np.concatenate([n[:160_000] for n in noises]), db)
    knocks = clicks(length, rng)
    return made | {"clicks of full scale": knocks / np.abs(knocks).max()}


def _cost(scores: Scores, samples: Floats) -> float:
    began = time.process_time()
    faces = len(scores(samples))
    return 1e6 * (time.process_time() - began) / faces


def faces_in_trouble() -> dict[str, dict[str, float]]:
    """The demo clip's jaw through the whole runtime: r with the clean run's, and its mean."""
    bundle = read_bundle(DEFAULT)
    pipeline, demo = Pipeline(bundle, open_engines(bundle)), read_audio(DEMO)
    soft = at_level(demo, -29)
    sounds = {
        f"offset of {p} %": demo * np.float32(1 - p / 100) + np.float32(p / 100)
        for p in (1, 2, 5, 10)
    }
    for hz in (50, 60):
        for a in (0.04, 0.08):
            sounds[f"{hz} Hz at {a}, speech at -29 dBFS"] = soft + tone(hz, len(demo), a)
    for db in (-26, -36, -46, -56):
        peak = np.float32(10 ** (db / 20) / np.abs(demo).max())
        sounds[f"peak at {db} dBFS"] = quantised(demo * peak)
    clean = faces_of(pipeline, demo)[:, INDEX["jawOpen"]]
    rows = {"clean": {"jaw": float(clean.mean()), "r": 1.0}}
    for name, sound in sounds.items():
        jaw = faces_of(pipeline, sound.astype(np.float32))[:, INDEX["jawOpen"]]
        rows[name] = {"jaw": float(jaw.mean()), "r": float(np.corrcoef(jaw, clean)[0, 1])}
    return rows


def measure(judges: dict[str, Scores], data: Path) -> dict[str, object]:
    """Every judge on everything."""
    files = sorted((data / "noise_rir" / "noise").glob("*"))
    noises = [read_audio(f) for f in files if f.name.startswith(HELD_BACK)]
    clips = test_speech(data)
    results: dict[str, object] = {}
    for judge, scores in judges.items():
        speech: dict[str, dict[str, float]] = {}
        for name, change in conditions(noises).items():
            found = [scores(change(x, i).astype(np.float32)) for i, (x, _) in enumerate(clips)]
            said = np.concatenate([s for _, s in clips])
            verdict = np.concatenate([held(f) for f in found])
            speech[name] = {
                "area": round(area(np.concatenate(found), said), 4),
                "missed": round(float((~verdict[said]).mean()), 4),
                "false": round(float(verdict[~said].mean()), 4),
            }
        rng = np.random.default_rng(3)
        vowels = [at_level(held_vowel(30 * SAMPLE_RATE, rng), -20) for _ in range(8)]
        results[judge] = {
            "speech": speech,
            "no_speech": {
                name: round(float(held(scores(sound)).mean()), 4)
                for name, sound in no_speech(noises).items()
            },
            "held_vowels_30_s": round(float(np.mean([held(scores(v)).mean() for v in vowels])), 4),
            "us_a_face": round(_cost(scores, np.tile(clips[0][0], 10)), 1),
        }
    return results


def show(results: dict[str, object]) -> None:
    """A table for the terminal."""
    import json

    print(json.dumps(results, indent=1))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    p = argparse.ArgumentParser("benchmarks.accuracy.gate", description=__doc__.split("\n")[0])
    p.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    p.add_argument("--silero", type=Path, metavar="ONNX", help="of the package silero-vad")
    p.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    args = p.parse_args(argv)
    judges: dict[str, Scores] = {"speech gate": by_network, "loudness": by_loudness}
    if args.silero:
        judges["silero"] = by_silero(args.silero)
    results = {"judges": measure(judges, args.data), "faces": faces_in_trouble()}
    show(results)
    print(f"written: {write_record('gate', results, args.out)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
