"""Does one voice get many faces, and do its lips stay true?

``python -m benchmarks.teachers.diversity RUN``

The generator of ``edge-quantize train generator`` on clips not trained on: eight faces a voice
at rising temperatures, how far they are from each other, and how far from the captured face beside
the greedy one. Writes ``results/diversity.json`` and a plot.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, pairwise, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import RESULTS
from benchmarks.command_line import exit_status, options
from edge.contract import Floats
from models.code_generator import CodeGenerator, generate
from models.codebook import SLOW, Codebook
from models.embedding import sample
from models.teacher import LEVELS
from quantize.data.targets import arkit_spread
from quantize.evaluation.evaluate import features_of
from quantize.evaluation.record import write_record
from quantize.evaluation.scoring import LOWER, UPPER, score
from quantize.evaluation.test_clips import MADE_SILENCE, TestClip, load_test_clips
from quantize.plotting import pyplot
from quantize.training.inference import faces_of
from quantize.training.train_code_generator import (
    FrozenNetworks,
    TeacherFeatures,
    open_generator,
    teacher_features_of,
)

SETS = ("GRID s1, unseen sentences", "FACEGOOD, unseen clip", "EMO-DB, two unseen talkers")
TEMPERATURES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
SAMPLES = 8
REGIONS = {"upper": UPPER, "mouth": LOWER}
"""Eyes and brows; jaw and mouth."""
ERRORS = ("rmse_mean", "lve")
BOUND = 1.1
"""Lip error over that of the greedy face that is still borne."""

Draw = Callable[[CodeGenerator, FrozenNetworks, TeacherFeatures, float, int], Floats]
"""The generator, a voice, a temperature and N -> N faces (N, T, 52), in deviations of speech."""


def as_shipped(
    net: CodeGenerator, parts: FrozenNetworks, voice: TeacherFeatures, at: float, count: int
) -> Floats:
    """Codes drawn as ``generate`` does by itself."""
    return _generated(net, parts, voice, voice.mean.expand(count, -1), at)


def both_levels(
    net: CodeGenerator, parts: FrozenNetworks, voice: TeacherFeatures, at: float, count: int
) -> Floats:
    """Slow and fast codes drawn at one temperature, as DEEPTalk means it."""
    return _generated(net, parts, voice, voice.mean.expand(count, -1), at, fast=1.0)


def emotion_drawn(
    net: CodeGenerator, parts: FrozenNetworks, voice: TeacherFeatures, at: float, count: int
) -> Floats:
    """The emotion drawn from the embedding, its deviation times ``at``; greedy codes."""
    many = [x.expand(count, -1) for x in (voice.mean, voice.log_variance)]
    drawn = sample(many[0], many[1], at, torch.Generator().manual_seed(0))
    return _generated(net, parts, voice, drawn)


def _generated(
    net: CodeGenerator,
    parts: FrozenNetworks,
    voice: TeacherFeatures,
    emotion: Tensor,
    at: float = 0.0,
    fast: float = 0.0,
) -> Floats:
    """A face for every emotion (N, W), all drawn with one stream of random numbers."""
    content = voice.content.expand(len(emotion), -1, -1)
    faces = generate(net, parts.codebook, content, emotion, at, fast=fast)
    return np.asarray(faces[:, : voice.faces].numpy(), np.float32)


WAYS: dict[str, Draw] = {
    "as shipped": as_shipped,
    "both levels": both_levels,
    "mood": emotion_drawn,
}


def distance(samples: Floats) -> float:
    """Mean over pairs of samples (N, T, C) of the root mean square distance of their faces."""
    pairs = [np.sqrt(np.mean((a - b) ** 2)) for a, b in combinations(samples, 2)]
    return float(np.mean(pairs))


def figures(drawn: Mapping[str, Floats], clips: Sequence[TestClip]) -> dict[str, Any]:
    """Set -> diversity in deviations of speech, lip errors and r of the jaw, means over samples.

    ``sample_codes`` holds every clip's faces (N, T, 52) in deviations.
    """
    spread, count = arkit_spread(), len(next(iter(drawn.values())))
    scored = [score({k: f[i] * spread for k, f in drawn.items()}, clips) for i in range(count)]
    found: dict[str, Any] = {}
    for name, first in scored[0].items():
        ids = [t.id for t in clips if t.set == name]
        row = {
            f"diversity_{region}": float(np.mean([distance(drawn[k][..., at]) for k in ids]))
            for region, at in REGIONS.items()
        }
        for key in (*ERRORS, "r_jaw", "r_mouth_live", "jitter_ratio_jaw"):
            if key in first:
                row[key] = float(np.mean([s[name][key] for s in scored]))
        if "contrasts" in first:
            row["auc"] = float(np.mean([s[name]["contrasts"]["auc_mean"] for s in scored]))
        found[name] = row
    return found


def curve(
    draw: Draw,
    net: CodeGenerator,
    parts: FrozenNetworks,
    voices: dict[str, TeacherFeatures],
    clips: Sequence[TestClip],
) -> list[dict[str, Any]]:
    """A row a temperature: itself, and every set's figures; lip errors also over the greedy one."""
    rows: list[dict[str, Any]] = []
    for at in TEMPERATURES:
        count = SAMPLES if at else 2  # greedy faces are all the same
        sets = figures({k: draw(net, parts, v, at, count) for k, v in voices.items()}, clips)
        for name, row in sets.items():
            greedy = rows[0]["sets"][name] if rows else row
            for key in ERRORS:
                if key in row:
                    row[f"{key}_over_greedy"] = row[key] / greedy[key]
        rows.append({"temperature": at, "sets": sets})
        print(at, {n: {k: round(v, 3) for k, v in r.items()} for n, r in sets.items()}, flush=True)
    return rows


def ceilings(
    parts: FrozenNetworks, sounds: dict[str, Floats], clips: Sequence[TestClip]
) -> dict[str, dict[str, Any]]:
    """What the generator learned acted speech from: the teacher's face, and what codes leave of it.

    In its neutral emotion and at full strength.
    """
    found = {}
    for title, level in (("neutral", 0), ("full strength", len(LEVELS) - 1)):
        faces = {k: faces_of(parts.teacher, m, level) / arkit_spread() for k, m in sounds.items()}
        coded = {k: _through(parts.codebook, face) for k, face in faces.items()}
        for name, predicted in (("teacher", faces), ("teacher through the codes", coded)):
            found[f"{name}, {title}"] = figures(
                {k: np.stack([f] * 2) for k, f in predicted.items()}, clips
            )
    return found


@torch.no_grad()
def _through(codebook: Codebook, face: Floats) -> Floats:
    whole = np.pad(face, ((0, -len(face) % SLOW), (0, 0)), "edge")
    decoded, _, _ = codebook(torch.from_numpy(whole)[None])
    return np.asarray(decoded[0, : len(face)].numpy(), np.float32)


def verdict(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Set -> does diversity never fall, and up to which temperature is the lip error borne?"""
    found = {}
    for name in rows[0]["sets"]:
        sets = [row["sets"][name] for row in rows]
        grows = {
            region: all(b > a for a, b in pairwise(each))
            for region in REGIONS
            for each in [[s[f"diversity_{region}"] for s in sets]]
        }
        found[name] = {"grows": grows}
        if all(f"{key}_over_greedy" in sets[0] for key in ERRORS):
            worst = [max(s[f"{key}_over_greedy"] for key in ERRORS) for s in sets]
            borne = takewhile(lambda pair: pair[1] <= BOUND, zip(rows, worst, strict=True))
            found[name]["lips_within_bound_up_to"] = [row for row, _ in borne][-1]["temperature"]
    return found


def plot(curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Diversity of both regions and lip error over temperature, a line a way and set."""
    plt = pyplot()
    panels = {
        "diversity_upper": "eyes and brows: distance of two samples",
        "diversity_mouth": "jaw and mouth: distance of two samples",
        "rmse_mean_over_greedy": "lip RMSE over the greedy face's",
    }
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
    for panel, (key, title) in zip(axes, panels.items(), strict=True):
        for colour, (way, rows) in enumerate(curves.items()):
            for style, name in zip(("-", "--", ":"), rows[0]["sets"], strict=False):
                if key in rows[0]["sets"][name]:
                    panel.plot(
                        [row["temperature"] for row in rows],
                        [row["sets"][name][key] for row in rows],
                        style, color=f"C{colour}", label=f"{way}, {name.split(',')[0]}",
                    )  # fmt: skip
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("temperature")
    axes[2].axhline(BOUND, color="grey", linewidth=0.8)
    axes[0].set_ylabel("standard deviations of speech")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8
    )
    figure.savefig(path, dpi=90)
    plt.close(figure)


@exit_status("teachers.diversity")
def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    p = options("teachers.diversity", __doc__, checkpoint="of 'train generator'", data=True)
    args = p.parse_args(argv)
    net, parts = open_generator(args.checkpoint)
    clips = [t for t in load_test_clips(args.data, SETS) if t.set != MADE_SILENCE]
    sounds = {t.id: features_of(t, t.faces, parts.teacher.speech) for t in clips}
    voices = {k: teacher_features_of(parts, each) for k, each in sounds.items()}
    curves = {way: curve(draw, net, parts, voices, clips) for way, draw in WAYS.items()}
    found = {"samples": SAMPLES, "bound": BOUND, "ways": curves} | {
        "verdict": {way: verdict(rows) for way, rows in curves.items()},
        "ceilings": ceilings(parts, sounds, clips),
    }
    plot(curves, RESULTS / "diversity.png")
    print(found["verdict"])
    print(f"written: {write_record('diversity', found, RESULTS)}")


if __name__ == "__main__":
    sys.exit(main())
