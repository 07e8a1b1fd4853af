"""How well speech is told from every other sound: ``python -m benchmarks.accuracy.gate``.

The speech gate is held against loudness over a noise floor (what decided before) and, with
``--silero FILE.onnx``, against Silero VAD, on talkers and noises that no training heard. What is
speech is taken from the clean recording, one verdict a face. Writes ``results/gate.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import RESULTS
from benchmarks.accuracy.gate_sounds import (
    at_level,
    calm_breath,
    conditions,
    keystrokes,
    quantised,
    sung_vowel,
    tone,
)
from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import FPS, INDEX, SAMPLE_RATE, Floats, face_end, faces_within
from edge.features import Features
from edge.inference.engine import open_engines
from edge.inference.onnx_runtime import load_onnxruntime
from edge.pipeline import Pipeline
from edge.speech_gate import MouthOpening, SpeechGate
from quantize.data.gate_streams import noise_files, speech_faces
from quantize.data.load import load
from quantize.evaluation.predict import faces_of
from quantize.evaluation.record import write_record
from quantize.evaluation.test_clips import made_silence

Scores = Callable[[Floats], Floats]
"""Samples -> (faces,) above 0 where the judge hears speech."""
LabelledClip = tuple[Floats, NDArray[np.bool_]]
"""Samples, and the faces (faces,) in which there is speech."""
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
    onnxruntime = load_onnxruntime()

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
    opening, out = MouthOpening(), []
    for score in scores:
        opening.push(float(score))
        out.append(opening.speaks)
    return np.array(out)


def area(scores: Floats, speech: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a face of speech scores above one without."""
    ranks = scores.argsort(kind="stable").argsort()[speech]
    n = int(speech.sum())
    return float((ranks.mean() - (n - 1) / 2) / (len(scores) - n))


def test_speech(data: Path) -> list[LabelledClip]:
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


def no_speech(noises: Sequence[Floats]) -> dict[str, Floats]:
    """Sounds that no mouth should move to."""
    length, rng = 30 * SAMPLE_RATE, np.random.default_rng(7)
    made = {clip.speaker: clip.samples for clip in made_silence()}
    for hz in (50, 60):
        made |= {f"{hz} Hz at {a}": tone(hz, length, a) for a in (0.04, 0.08)}
    made["offset of 5 %"] = np.full(length, 0.05, np.float32)
    for db in (-30, -45):
        breath = np.concatenate([calm_breath(length // 3, rng) for _ in range(3)])
        made[f"breath at {db} dBFS"] = at_level(breath, db)
        made[f"noises at {db} dBFS"] = at_level(np.concatenate([n[:160_000] for n in noises]), db)
    keys = keystrokes(length, rng)
    return made | {"keystrokes of full scale": keys / np.abs(keys).max()}


def _cost(scores: Scores, samples: Floats) -> float:
    """Microseconds a face, less those of the features, which the runtime has anyway."""

    def seconds(work: Callable[[], object]) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    spent = seconds(lambda: scores(samples))
    if scores is by_network:
        spent -= seconds(lambda: list(Features().push(samples)))
    return 1e6 * spent / faces_within(len(samples))


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


def jaws_without_speech(noises: Sequence[Floats]) -> dict[str, dict[str, float]]:
    """The jaw through the whole runtime beside every sound of ``no_speech``: mean and most."""
    bundle = read_bundle(DEFAULT)
    pipeline, rows = Pipeline(bundle, open_engines(bundle)), {}
    for name, sound in no_speech(noises).items():
        jaw = faces_of(pipeline, sound)[FPS // 2 :, INDEX["jawOpen"]]
        rows[name] = {"mean": round(float(jaw.mean()), 4), "most": round(float(jaw.max()), 4)}
    return rows


def measure(
    judges: dict[str, Scores], noises: Sequence[Floats], clips: Sequence[LabelledClip]
) -> dict[str, object]:
    """Every judge on everything."""
    speech = np.concatenate([where for _, where in clips])
    vowels = [
        at_level(sung_vowel(30 * SAMPLE_RATE, pitch, formants), -20)
        for pitch in (110, 160, 220, 300)
        for formants in ((750, 1250, 2600), (300, 2200, 2900), (320, 800, 2400))
    ]
    results: dict[str, object] = {}
    for judge, scores in judges.items():
        rows: dict[str, dict[str, float]] = {}
        for name, change in conditions(noises).items():
            found = [scores(change(x, i).astype(np.float32)) for i, (x, _) in enumerate(clips)]
            verdict = np.concatenate([held(f) for f in found])
            rows[name] = {
                "area": round(area(np.concatenate(found), speech), 4),
                "missed": round(float((~verdict[speech]).mean()), 4),
                "false": round(float(verdict[~speech].mean()), 4),
            }
        alone = {n: held(scores(sound)).mean() for n, sound in no_speech(noises).items()}
        results[judge] = {
            "speech": rows,
            "no_speech": {name: round(float(share), 4) for name, share in alone.items()},
            "held_vowels_30_s": round(float(np.mean([held(scores(v)).mean() for v in vowels])), 4),
            "us_a_face": round(_cost(scores, np.tile(clips[0][0], 10)), 1),
        }
    return results


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
    noises = [read_audio(f) for f in noise_files(args.data, "test")]
    results = {
        "judges": measure(judges, noises, test_speech(args.data)),
        "faces": faces_in_trouble(),
        "jaw_without_speech": jaws_without_speech(noises),
    }
    print(json.dumps(results, indent=1))
    print(f"written: {write_record('gate', results, args.out)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
