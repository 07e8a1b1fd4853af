"""How true and how legible the faces are: ``python -m benchmarks.accuracy``.

The whole runtime is measured (features, engines, gate, idle motion) at each declared delay on clips
never trained on, beside the loudness of the voice as the trivial baseline, the captured face as the
best there can be, the teachers it was distilled from (``--teacher``) and an earlier bundle
(``--before``). Writes ``results/accuracy.json`` and plots.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.accuracy_plots import plot_bars, plot_lookahead, plot_sentence, plot_sheet
from benchmarks.crops import crops
from benchmarks.head import Head, read_head
from benchmarks.scoring import Faces, Row, captured, loudness, score
from benchmarks.trials import MADE, PAIRED, Trial, trials
from edge.bundle import DEFAULT, Bundle, read_bundle
from edge.contract import FPS, AudioBlock, EdgeError, Floats
from edge.engine import open_engines
from edge.pipeline import Pipeline


def faces_of(pipeline: Pipeline, samples: Floats) -> Floats:
    """The faces (n, 52) of a whole clip as sent, from a fresh start, the delay taken off."""
    pipeline.restart()
    frames = pipeline.push(AudioBlock(samples, 0, 0.0)) + pipeline.flush(0.0)
    return np.stack([frame.weights for frame in frames])


def open_pipeline(bundle: Bundle, lookahead: int | None) -> Pipeline:
    """A pipeline as ``edge-run`` builds it."""
    return Pipeline(bundle, open_engines(bundle), lookahead)


def of_bundle(
    bundle: Bundle, clips: Sequence[Trial], lookahead: int | None = None
) -> dict[str, Floats]:
    """Every trial's faces from the runtime."""
    pipeline = open_pipeline(bundle, lookahead)
    return {t.id: faces_of(pipeline, t.samples) for t in clips}


def cell(value: Any, width: int = 6, digits: int = 3) -> str:
    """A number of a table, or a dash."""
    return f"{value:{width}.{digits}f}" if isinstance(value, float) else " " * (width - 1) + "-"


def print_table(systems: dict[str, dict[str, Row]]) -> None:
    """Three tables: against captured faces, against phones, and in silence; a row a system."""
    wide = max(map(len, systems))
    keys = ("r_jaw", "r_mouth_live", "rmse_mean", "lve", "lve_mm", "eve_mm", "fdd_mm")
    more = ("std_ratio_jaw", "jitter_ratio_jaw", "jaw_in_silence")
    heads = ("r jaw", "r lips", "rmse", "LVE", "LVE mm", "EVE mm", "FDD", "std", "jitter", "quiet")
    for name in PAIRED:
        print(f"\n{name:{wide}}", *(f"{h:>6}" for h in heads))
        for system, table in systems.items():
            if row := table.get(name):
                print(f"{system:{wide}}", *(cell(row.get(k)) for k in (*keys, *more)))
    for name in dict.fromkeys(n for t in systems.values() for n in t):
        rows = {s: t[name] for s, t in systems.items() if "contrasts" in t.get(name, {})}
        if not rows:
            continue
        kinds = list(dict.fromkeys(k for r in rows.values() for k in r["contrasts"]["auc"]))
        print(f"\n{name + ': AUC':{wide}}", *(f"{k:>9.9}" for k in kinds), "     mean  delay ms")
        for system, row in rows.items():
            found, delay = row["contrasts"], row["closure"]["median_ms"]
            areas = [cell(found["auc"].get(k), 9) for k in kinds]
            print(f"{system:{wide}}", *areas, cell(found["auc_mean"], 9), cell(delay, 9, 0))
    still = {s: t[MADE] for s, t in systems.items() if MADE in t}
    for system, row in still.items():
        kinds = [k for k in row if k != "clips"]
        print(f"\n{MADE}, {system}:", ", ".join(f"{k} {row[k]:.4f}" for k in kinds))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    p = argparse.ArgumentParser("benchmarks.accuracy", description=__doc__.split("\n")[0])
    p.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    p.add_argument("--bundle", type=Path, default=DEFAULT, metavar="DIR")
    p.add_argument(
        "--head", type=Path, metavar="GLB", help="a head with ARKit shapes: errors in mm"
    )
    p.add_argument(
        "--teacher", type=Path, action="append", metavar="CHECKPOINT",
        help="of 'train teacher'; repeatable, their faces are averaged",
    )  # fmt: skip
    p.add_argument("--before", type=Path, metavar="DIR", help="an earlier bundle")
    args = p.parse_args(argv)
    try:
        bundle = read_bundle(args.bundle)
        head = read_head(args.head) if args.head else None
        clips = trials(args.data)
        taught = of_teachers(args.teacher, clips) if args.teacher else None
        before = of_bundle(read_bundle(args.before), clips) if args.before else None
    except EdgeError as error:
        print(f"benchmarks.accuracy: {error}", file=sys.stderr)
        return error.status
    print(f"written: {measure(bundle, clips, head, taught, before)}")
    return 0


def of_teachers(checkpoints: Sequence[Path], clips: Sequence[Trial]) -> Faces:
    """Every trial's mean face by teachers, which hear whole clips."""
    from quantize.evaluate import of_teacher  # which imports this file, and torch

    each = [of_teacher(checkpoint, clips) for checkpoint in checkpoints]
    return {t.id: np.mean([faces[t.id] for faces in each], axis=0) for t in clips}


def measure(
    bundle: Bundle,
    clips: Sequence[Trial],
    head: Head | None,
    taught: Faces | None,
    before: Faces | None,
) -> Path:
    """Score the bundle at each look-ahead and what to hold it against; print, draw, write."""
    results: dict[str, dict[str, Row]] = {}
    for lookahead in bundle.lookaheads:
        pipeline = open_pipeline(bundle, lookahead)
        faces = {t.id: faces_of(pipeline, t.samples) for t in clips}
        results[f"{lookahead * 1000 / FPS:.0f} ms"] = score(faces, clips, head)
        if lookahead == bundle.lookahead:
            cut = crops(partial(faces_of, pipeline), faces, clips)
            first = clips[0]
            plot_sentence(first, faces[first.id], report.RESULTS / "sentence.png")
            if taught:
                minute = [t for t in clips if t.set in PAIRED[1:]]
                shown = {"teacher": taught, "student, as shipped": faces}
                plot_sheet(minute, shown, report.RESULTS / "sheet.png")
    baselines = {
        "loudness": score(loudness(clips), clips, head),
        "captured": score(captured(clips), clips, head),
    }
    for name, other in (("teacher", taught), ("before", before)):
        if other:
            baselines[name] = score(other, clips, head)
    print_table({f"look-ahead {k}": v for k, v in results.items()} | baselines)
    default = f"{bundle.lookahead * 1000 / FPS:.0f} ms"
    plot_bars({n: results[default][n] for n in PAIRED}, report.RESULTS / "accuracy.png")
    plot_lookahead(results, baselines.get("teacher"), PAIRED, report.RESULTS / "lookahead.png")
    print("cut at the start:", cut)
    record = {"default": default, "by_lookahead": results, "baselines": baselines, "crops": cut}
    return report.write("accuracy", record, bundle.folder)


if __name__ == "__main__":
    sys.exit(main())
