"""How true and how legible the faces are: ``python -m benchmarks.accuracy``.

The whole runtime is measured (features, engines, gate, idle motion) at each declared delay on clips
never trained on, beside the loudness of the voice as the trivial baseline, the captured face as the
best there can be, the teachers it was distilled from (``--teacher``) and an earlier bundle
(``--before``). Writes ``results/accuracy.json`` and plots.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import RESULTS
from benchmarks.accuracy.cold_start import cold_start
from benchmarks.accuracy.plots import plot_bars, plot_lookahead, plot_sentence, plot_sheet
from benchmarks.command_line import exit_status, options
from edge.bundle import DEFAULT, Bundle
from edge.bundle_reader import read_bundle
from edge.contract import FPS
from quantize.evaluation.accuracy_table import print_table
from quantize.evaluation.evaluate import of_teachers
from quantize.evaluation.head_mesh import HeadMesh, read_head
from quantize.evaluation.predict import faces_of, of_bundle, open_pipeline
from quantize.evaluation.record import write_record
from quantize.evaluation.scoring import Faces, Row, captured, loudness, score
from quantize.evaluation.test_clips import PAIRED, TestClip, load_test_clips


@exit_status("accuracy")
def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    p = options("accuracy", __doc__, data=True)
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
    bundle = read_bundle(args.bundle)
    head = read_head(args.head) if args.head else None
    clips = load_test_clips(args.data)
    teacher = of_teachers(args.teacher, clips) if args.teacher else None
    before = of_bundle(read_bundle(args.before), clips) if args.before else None
    print(f"written: {measure(bundle, clips, head, teacher, before)}")


def measure(
    bundle: Bundle,
    clips: Sequence[TestClip],
    head: HeadMesh | None,
    teacher: Faces | None,
    before: Faces | None,
    out: Path = RESULTS,
) -> Path:
    """Score the bundle at each look-ahead and what to hold it against; print, draw, write."""
    results: dict[str, dict[str, Row]] = {}
    for lookahead in bundle.lookaheads:
        pipeline = open_pipeline(bundle, lookahead)
        faces = {t.id: faces_of(pipeline, t.samples) for t in clips}
        results[f"{lookahead * 1000 / FPS:.0f} ms"] = score(faces, clips, head)
        if lookahead == bundle.lookahead:
            cold = cold_start(partial(faces_of, pipeline), faces, clips)
            first = clips[0]
            plot_sentence(first, faces[first.id], out / "sentence.png")
            if teacher:
                minute = [t for t in clips if t.set in PAIRED[1:]]
                predicted = {"teacher": teacher, "student, as shipped": faces}
                plot_sheet(minute, predicted, out / "sheet.png")
    baselines = {
        "loudness": score(loudness(clips), clips, head),
        "captured": score(captured(clips), clips, head),
    }
    for name, other in (("teacher", teacher), ("before", before)):
        if other:
            baselines[name] = score(other, clips, head)
    print_table({f"look-ahead {k}": v for k, v in results.items()} | baselines)
    default = f"{bundle.lookahead * 1000 / FPS:.0f} ms"
    plot_bars({n: results[default][n] for n in PAIRED}, out / "accuracy.png")
    plot_lookahead(results, baselines.get("teacher"), PAIRED, out / "lookahead.png")
    print("cut at the start:", cold)
    found = {"default": default, "by_lookahead": results, "baselines": baselines, "crops": cold}
    return write_record("accuracy", found, out, bundle.folder)


if __name__ == "__main__":
    sys.exit(main())
