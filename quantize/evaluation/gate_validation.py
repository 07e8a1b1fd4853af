"""Settings of the speech gate, compared on what neither its training nor a test holds.

``python -m quantize.evaluation.gate_validation --data DIR`` prints, for each setting: how well the
gated jaw follows the captured one (GRID s1's validation sentences, the training talkers of
``grid_talkers``), and how far noises alone open the mouth (a recorded one that was kept back, and
made ones of other seeds). ``edge.speech_gate`` holds what was chosen.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import INDEX, SAMPLE_RATE, Floats, faces_within
from edge.face import CLOSE, OPEN
from edge.features import Features
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from edge.speech_gate import MouthOpening, SpeechGate
from quantize.data import made_sounds as made
from quantize.data.gate_streams import gate_voices, noise_files, speech_faces
from quantize.data.load import load
from quantize.data.made_sounds import set_level
from quantize.data.targets import to_sixty
from quantize.evaluation.predict import faces_of

JAW = INDEX["jawOpen"]
TALKERS = {"grid_s1_video_blendshapes": "validation", "grid_talkers": "train"}
MOST = 60
"""Clips of a set."""
MAKERS = (made.noise, made.impacts, made.engine, made.music, made.breaths)
SETTINGS = tuple(
    itertools.product((0.0, 0.5, 1.0), (1.0, 2.0), (-4.2, -3.5, 9.0), (6, 9), (0.98, 0.99, 0.995))
)
"""``OPEN``, how far ``KEEP`` is below it, ``UNLIKELY`` (9: never), ``HOLD``, ``FADE``."""


class OpenGate(SpeechGate):
    """Lets everything through."""

    def listen(self, mels: Floats) -> float:
        """(N_MELS,) -> 1."""
        return 1.0


Scores = list[float]
"""The logit of every face."""


def logits(samples: Floats) -> Scores:
    """The gate's logit of every face."""
    gate = SpeechGate()
    found: Scores = []
    for _, mels, _ in Features().push(samples):
        gate.listen(mels)
        found.append(gate.logit)
    return found


def freedom(scores: Scores, opening: MouthOpening) -> Floats:
    """(faces,) how far the mouth moves, as ``edge.face`` smooths it, verdict and face in line."""
    free, out = 0.0, []
    for score in scores:
        away = opening.push(score) - free
        free += away * (OPEN if away > 0 else CLOSE)
        out.append(free)
    # At a look-ahead the verdict is one face younger than the face.
    return np.array([*out[1:], free], np.float32)


def captured_jaws(data: Path) -> dict[str, list[tuple[Scores, Floats, Floats]]]:
    """Set -> clips: logits, the jaw without a gate, the captured jaw."""
    bundle = read_bundle(DEFAULT)
    pipeline = Pipeline(bundle, open_engines(bundle))
    pipeline._gate = OpenGate()
    found: dict[str, list[tuple[Scores, Floats, Floats]]] = {}
    for source, split in TALKERS.items():
        clips = [c for c in load([data / source])[0] if c.split == split and c.capture and c.audio]
        for clip in clips[:: -(-len(clips) // MOST)]:
            assert clip.audio is not None
            assert clip.capture is not None
            samples = read_audio(clip.audio)
            jaw = to_sixty(clip.capture, faces_within(len(samples)))[:, JAW]
            ungated = faces_of(pipeline, samples)[:, JAW]
            found.setdefault(source, []).append((logits(samples), ungated, jaw))
    return found


def noises_alone(data: Path) -> dict[str, list[Scores]]:
    """Kind -> logits of 20 s each, at several levels."""
    rng, found = np.random.default_rng(1 << 40), {}
    recorded = [read_audio(f)[: 20 * SAMPLE_RATE] for f in noise_files(data, "validation")]
    found["kept back"] = [
        logits(set_level(sound, 10 ** (db / 20))) for sound in recorded for db in (-20, -30, -45)
    ]
    for maker in MAKERS:
        sounds = [maker(20 * SAMPLE_RATE, rng) for _ in range(6)]
        levels = (10 ** (rng.uniform(-50, -20) / 20) for _ in sounds)
        found[maker.__name__] = [
            logits(set_level(s, g)) for s, g in zip(sounds, levels, strict=True)
        ]
    return found


def voices(data: Path) -> dict[str, list[tuple[Scores, Floats]]]:
    """Condition -> logits and where there is speech, of validation readers and speakers."""
    noise = read_audio(noise_files(data, "validation")[0])
    found: dict[str, list[tuple[Scores, Floats]]] = {}
    files = gate_voices(data, "validation")
    for i, file in enumerate(files[:: -(-len(files) // 30)]):
        sound = set_level(read_audio(file)[: 6 * SAMPLE_RATE], 0.1)
        sound = np.pad(sound, SAMPLE_RATE)
        speech = speech_faces(sound)
        beside = np.resize(np.roll(noise, -i * 70_000), len(sound))
        for name, heard in (
            ("clean", sound),
            ("noise 10 dB below", sound + set_level(beside, 0.032)),
            ("40 dB softer", np.round(sound * 327.68) / 32768),
        ):
            found.setdefault(name, []).append((logits(heard.astype(np.float32)), speech))
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    p = argparse.ArgumentParser("gate_validation", description=__doc__.split("\n")[0])
    p.add_argument("--data", type=Path, required=True, metavar="DIR")
    args = p.parse_args(argv)
    jaws, noise, spoken = captured_jaws(args.data), noises_alone(args.data), voices(args.data)
    for source, clips in jaws.items():
        ungated = np.concatenate([jaw for _, jaw, _ in clips])
        whole = np.corrcoef(ungated, np.concatenate([jaw for _, _, jaw in clips]))[0, 1]
        print(f"{source}: {len(clips)} clips, r without a gate {whole:.4f}")
    for start, below, unlikely, hold, fade in SETTINGS:
        row = [f"{start:4} {start - below:4} {unlikely:4} {hold:2} {fade} | r"]

        def opened(scores: Scores) -> Floats:
            return freedom(scores, MouthOpening(start, start - below, unlikely, hold, fade))  # noqa: B023

        for clips in jaws.values():
            gated = np.concatenate([jaw * opened(scores) for scores, jaw, _ in clips])
            row.append(f"{np.corrcoef(gated, np.concatenate([c[2] for c in clips]))[0, 1]:.4f}")
        row.append("| noise")
        row += [f"{k} {np.mean([opened(s).mean() for s in v]):.3f}" for k, v in noise.items()]
        for name, found in spoken.items():
            free = np.concatenate([opened(scores) for scores, _ in found])
            speech = np.concatenate([s for _, s in found]) > 0
            row.append(f"| {name} {1 - free[speech].mean():.3f} {free[~speech].mean():.3f}")
        print(*row)


if __name__ == "__main__":
    main()
