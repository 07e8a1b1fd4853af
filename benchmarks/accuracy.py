"""Predicted faces against captured ones never trained on: ``python -m benchmarks.accuracy``.

The whole runtime is measured (features, engines, gate, idle motion) at the declared delay, beside
the loudness of the voice as the trivial baseline. Writes ``results/accuracy.json`` and two plots.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.metrics import jitter, pearson, silent, spread_ratio
from edge.audio import read_audio
from edge.bundle import DEFAULT, Bundle, read_bundle
from edge.contract import ARKIT_52, FPS, INDEX, SAMPLE_RATE, AudioBlock, EdgeError, Floats
from edge.engine import open_engines
from edge.pipeline import Pipeline
from quantize.augment import coloured, hum
from quantize.data import Clip, load
from quantize.targets import LEARNED, LIVE_STD, Scale, fit_scales, to_sixty

JAW = INDEX["jawOpen"]
MOUTH = [INDEX[n] for n in LEARNED if n.startswith("mouth")]
QUIET_FLOOR_DB = -60.0
"""Where the loudness baseline stops falling."""

# Set -> (folder, split measured). None of these clips or, but for GRID s1 and FACEGOOD, speakers
# was trained on, nor was anything chosen by them.
SETS = {
    "GRID s1, unseen sentences": ("grid_s1_video_blendshapes", "test"),
    "FACEGOOD, unseen clip": ("facegood_paired", "test"),
    "GRID, five unseen talkers": ("grid_other_speakers", "test"),
}


@dataclass(frozen=True)
class Run:
    """One clip, captured and predicted, both 60 faces a second."""

    clip: Clip
    captured: Floats
    """(faces, 52) in the source's scale."""
    predicted: Floats
    """(faces, 52) as sent."""
    level_db: Floats
    """(faces,) loudness heard at the same moment."""


def faces_of(pipeline: Pipeline, samples: Floats) -> tuple[Floats, Floats]:
    """The faces of a whole clip, from a fresh start: weights (n, 52) and loudness (n,)."""
    pipeline.restart()
    block = AudioBlock(samples, 0, 0.0)
    frames = pipeline.push(block)
    frames += pipeline.flush(0.0)
    # A frame carries the loudness of the newest audio heard, which is look-ahead faces later.
    level = np.array([f.level_db for f in frames], np.float32)
    late = pipeline.lookahead
    level = np.concatenate([np.full(late, level[0]), level])[: len(level)]
    return np.stack([f.weights for f in frames]), level


def run_clip(pipeline: Pipeline, clip: Clip) -> Run:
    """Predict one clip."""
    assert clip.audio is not None
    assert clip.capture is not None
    predicted, level = faces_of(pipeline, read_audio(clip.audio))
    return Run(clip, to_sixty(clip.capture, len(predicted)), predicted, level)


def measure(runs: Sequence[Run], scale: Scale) -> dict[str, Any]:
    """Means over clips of one set; ``scale`` brings the captured faces to the common range."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        # Channels that move in this very clip; r of a still channel is noise.
        moving = [c for c in MOUTH if run.captured[:, c].std() >= LIVE_STD]
        r = pearson(run.predicted, run.captured)
        loud = np.maximum(run.level_db, QUIET_FLOOR_DB)[:, None]
        truth = run.captured * np.where(scale.live, scale.factor, 0)
        quiet = silent(run.level_db)
        # Both at the capture's own rate: interpolation would make the captured side smoother.
        fps = run.clip.capture.fps if run.clip.capture else FPS
        at = np.round(np.arange(1, int(len(truth) / FPS * fps)) * FPS / fps).astype(int) - 1
        rows.append(
            {
                "jaw": float(r[JAW]),
                "energy": float(pearson(loud, run.captured[:, [JAW]])[0]),
                "mouth": {ARKIT_52[c]: float(r[c]) for c in moving},
                "spread": float(spread_ratio(run.predicted, truth)[JAW]),
                "silence": run.predicted[quiet, JAW].tolist(),
                "jitter": float(jitter(run.predicted[at])[JAW] / jitter(truth[at])[JAW]),
            }
        )
    mouth: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row["mouth"].items():
            mouth.setdefault(name, []).append(value)
    channels = {n: float(np.mean(v)) for n, v in mouth.items()}
    live = [r for n, r in channels.items() if scale.live[INDEX[n]]]
    still = [v for row in rows for v in row["silence"]]
    return {
        "clips": len(rows),
        "r_jaw": _mean(rows, "jaw"),
        "r_jaw_log_energy": _mean(rows, "energy"),
        # Live: alive over the whole training part of this capture system. All: also channels that
        # move in a test clip only, which nothing could have taught.
        "r_mouth_live": float(np.mean(live)),
        "r_mouth_all": float(np.mean(list(channels.values()))),
        "r_mouth": channels,
        "std_ratio_jaw": _mean(rows, "spread"),
        "jaw_in_silence": float(np.mean(still)) if len(still) >= FPS else None,
        "jitter_ratio_jaw": float(np.median([row["jitter"] for row in rows])),
    }


def _mean(rows: Sequence[dict[str, Any]], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


def _or_dash(value: float | None) -> str:
    return "  -  " if value is None else f"{value:.3f}"


def made_silence(pipeline: Pipeline) -> dict[str, float]:
    """Mean jaw over the last 7 of 10 s of nothing, hiss, fan noise and hum."""
    rng, n = np.random.default_rng(0), 10 * SAMPLE_RATE
    sounds = {"digital silence": np.zeros(n, np.float32)}
    for name, sound, db in (
        ("room hiss at -60 dBFS", coloured(n, rng), -60),
        ("fan at -45 dBFS", coloured(n, rng), -45),
        ("hum at -45 dBFS", hum(n, rng), -45),
    ):
        rms = np.sqrt(np.mean(sound**2))
        sounds[name] = (sound * 10 ** (db / 20) / rms).astype(np.float32)
    return {
        name: float(faces_of(pipeline, sound)[0][-7 * FPS :, JAW].mean())
        for name, sound in sounds.items()
    }


def plot_sentence(run: Run, scale: Scale, path: Path) -> None:
    """Jaw, pucker and lip closure of one sentence, captured (common range) and predicted."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    truth = (run.captured - scale.zero) * scale.factor
    time = (np.arange(len(truth)) + 1) / FPS
    figure, rows = plt.subplots(3, 1, figsize=(9, 6), sharex=True, layout="constrained")
    for axes, name in zip(rows, ("jawOpen", "mouthPucker", "mouthClose"), strict=True):
        column = INDEX[name]
        axes.plot(time, truth[:, column], color="0.45", label="captured")
        axes.plot(time, run.predicted[:, column], color="tab:blue", label="predicted")
        r = pearson(run.predicted[:, [column]], run.captured[:, [column]])[0]
        axes.set_ylabel(name)
        axes.text(0.01, 0.85, f"r {r:.2f}", transform=axes.transAxes)
    rows[0].legend(loc="upper right")
    rows[0].set_title(f"{run.clip.id}: {run.clip.text or ''}".strip(": "))
    rows[-1].set_xlabel("s")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def plot_bars(results: dict[str, Any], path: Path) -> None:
    """r of the jaw beside loudness, and of the other mouth channels, a set each."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.5), layout="constrained")
    place = np.arange(len(results))
    for offset, key, label in (
        (-0.27, "r_jaw_log_energy", "loudness alone, jaw"),
        (0.0, "r_jaw", "EdgeTalk, jaw"),
        (0.27, "r_mouth_live", "EdgeTalk, other mouth shapes"),
    ):
        bars = axes.bar(place + offset, [m[key] for m in results.values()], 0.25, label=label)
        axes.bar_label(bars, fmt="%.2f", fontsize=8)
    axes.set(xticks=place, xticklabels=list(results), ylabel="Pearson r, zero lag", ylim=(0, 1))
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def open_pipeline(bundle: Bundle, lookahead: int | None) -> Pipeline:
    """A pipeline as ``edge-run`` builds it."""
    return Pipeline(bundle, open_engines(bundle), lookahead)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    p = argparse.ArgumentParser("benchmarks.accuracy", description=__doc__.split("\n")[0])
    p.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    p.add_argument("--bundle", type=Path, default=DEFAULT, metavar="DIR")
    args = p.parse_args(argv)
    try:
        bundle = read_bundle(args.bundle)
        clips = {name: load([args.data / folder])[0] for name, (folder, _) in SETS.items()}
    except EdgeError as error:
        print(f"benchmarks.accuracy: {error}", file=sys.stderr)
        return error.status
    scales = fit_scales([c for found in clips.values() for c in found if c.split == "train"])
    # The unseen GRID talkers were captured as s1 was.
    scales["grid_other"] = scales["grid_s1"]
    results: dict[str, dict[str, Any]] = {}
    for lookahead in bundle.lookaheads:
        pipeline = open_pipeline(bundle, lookahead)
        label = f"{lookahead * 1000 / FPS:.0f} ms"
        results[label] = {}
        for name, (_, split) in SETS.items():
            runs = [run_clip(pipeline, c) for c in clips[name] if c.split == split]
            scale = scales[runs[0].clip.source]
            results[label][name] = m = measure(runs, scale)
            print(
                f"look-ahead {label:>6}  {name:26} r jaw {m['r_jaw']:.3f} "
                f"(loudness {m['r_jaw_log_energy']:.2f})  mouth live {m['r_mouth_live']:.3f} "
                f"all {m['r_mouth_all']:.3f}  "
                f"std ratio {m['std_ratio_jaw']:.2f}  silence {_or_dash(m['jaw_in_silence'])}  "
                f"jitter {m['jitter_ratio_jaw']:.2f}"
            )
            if lookahead == bundle.lookahead and name.startswith("GRID s1"):
                plot_sentence(runs[0], scale, report.RESULTS / "sentence.png")
        results[label]["made silence, mean jaw"] = made_silence(pipeline)
    default = f"{bundle.lookahead * 1000 / FPS:.0f} ms"
    plot_bars({n: results[default][n] for n in SETS}, report.RESULTS / "accuracy.png")
    path = report.write("accuracy", {"default": default, "by_lookahead": results}, args.bundle)
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
