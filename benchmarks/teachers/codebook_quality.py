"""The codebook on captures it never saw.

``python -m benchmarks.teachers.codebook_quality CHECKPOINT``

How many codes are used, how much of the motion they keep beside principal components at the same
bits a second, and the error of each shape. With ``--teacher`` also how many codes are used by what
the codebook was taught: captures and that teacher's faces. Writes ``results/codebook.json`` and a
plot.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import RESULTS
from benchmarks.command_line import exit_status, options
from edge.contract import ARKIT_52, FPS, Floats
from quantize.data.load import load
from quantize.evaluation.record import write_record
from quantize.plotting import pyplot
from quantize.training.checkpoint import open_run
from quantize.training.motion import Motion, motion
from quantize.training.train_codebook import (
    bits_per_second,
    explained,
    measure,
    through,
    with_predicted,
)

SETS = ("facegood_paired", "grid_s1_video_blendshapes", "livelinkface_captures_noaudio")


VOICES = ("emodb", "librispeech_261spk")
"""Sets whose faces a teacher made for it."""


def components(trained: Motion, held: Motion, bits: float) -> dict[str, Any]:
    """The best that principal components do with ``bits`` a second: explained variance.

    Tried: 2 to 16 components, 1 to 8 bits each on an even grid over the range of the training
    motion, sampled 60 / n times a second and joined by straight lines.
    """
    known = trained.faces * trained.live
    mean = known.mean(0)
    _, _, axes = np.linalg.svd((known - mean)[::7], full_matrices=False)
    best: dict[str, Any] = {"explained": -1.0}
    for count in range(2, 17):
        basis = axes[:count]
        low, high = np.percentile((known - mean) @ basis.T, (0.5, 99.5), axis=0)
        for stride in (1, 2, 4, 6, 8, 12, 16):
            depth = int(bits / (FPS / stride) / count)
            if 1 <= depth <= 8:
                decoded = _coded(held.faces * held.live - mean, basis, low, high, depth, stride)
                value = explained(decoded + mean, held)
                if value > best["explained"]:
                    best = {
                        "explained": value, "components": count, "bits_each": depth,
                        "per_second": FPS / stride,
                    }  # fmt: skip
    return best


def _coded(x: Floats, basis: Floats, low: Floats, high: Floats, depth: int, stride: int) -> Floats:
    levels = 2**depth - 1
    kept = (x @ basis.T)[::stride]
    steps = np.round(np.clip((kept - low) / np.maximum(high - low, 1e-6), 0, 1) * levels) / levels
    at = np.arange(len(kept)) * stride
    whole = [np.interp(np.arange(len(x)), at, column) for column in (steps * (high - low) + low).T]
    return np.asarray(np.stack(whole, 1) @ basis, np.float32)


def channels(decoded: Floats, held: Motion) -> dict[str, dict[str, float]]:
    """Shape -> root mean square error in deviations of speech, and r."""
    found = {}
    for i, name in enumerate(ARKIT_52):
        at = held.live[: len(decoded), i]
        if at.any():
            a, b = decoded[at, i], held.faces[: len(decoded)][at, i]
            moving = a.std() > 1e-6 and b.std() > 1e-6
            found[name] = {
                "rmse": float(np.sqrt(np.mean((a - b) ** 2))),
                "r": float(np.corrcoef(a, b)[0, 1]) if moving else 0.0,
            }
    return found


def plot(found: dict[str, dict[str, float]], path: Path) -> None:
    """r of every shape through the codes."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(11, 3.5), layout="constrained")
    axes.bar(list(found), [row["r"] for row in found.values()])
    axes.tick_params(axis="x", rotation=90, labelsize=7)
    axes.set(ylabel="r through the codes", ylim=(0, 1))
    figure.savefig(path, dpi=90)
    plt.close(figure)


@exit_status("teachers.codebook_quality")
def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    p = options("teachers.codebook_quality", __doc__, checkpoint="of 'train codebook'", data=True)
    p.add_argument("--teacher", type=Path, metavar="CHECKPOINT", help="of 'train teacher'")
    args = p.parse_args(argv)
    from models.codebook import Codebook, CodebookConfig

    net = open_run(args.checkpoint, "codebook", Codebook, CodebookConfig)
    clips, _ = load([args.data / name for name in SETS])
    voices_only = load([args.data / name for name in VOICES])[0] if args.teacher else []
    training = [c for c in clips if c.split == "train"]
    trained = motion(training, training)
    held = motion([c for c in clips if c.split != "train"], training)
    bits = bits_per_second(net.config)
    decoded, _, _ = through(net, held)
    shapes = channels(decoded, held)
    found = {
        "bits_per_second": bits,
        "unseen": measure(net, held),
        "all": measure(net, trained),
        "principal_components": components(trained, held, bits),
        "shapes": shapes,
    }
    if args.teacher:
        voices = [c for c in (*clips, *voices_only) if c.split == "train"]
        found["taught"] = measure(net, with_predicted(trained, voices, args.teacher, seed=0))
    plot(shapes, RESULTS / "codebook.png")
    print({k: v for k, v in found.items() if k != "shapes"})
    print(f"written: {write_record('codebook', found, RESULTS)}")


if __name__ == "__main__":
    sys.exit(main())
