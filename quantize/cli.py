"""``edge-quantize``: one verb a step, in the order they are run."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from edge.contract import ConfigError, EdgeError, InputError, MissingError
from edge.inference.build import arguments, build_asked

EXAMPLES = """\
examples:
  edge-quantize prepare --data ~/videos --face-model face_landmarker.task --out prepared
  edge-quantize train teacher --data prepared --out runs/teacher       (needs no recordings)
  edge-quantize train --data ~/takes --out runs/mine --epochs 30
  edge-quantize train --config runs/mine/run.yaml --out runs/mine      (goes on where it stopped)
  edge-quantize train teacher --data DATA/emodb --data DATA/grid --out runs/teacher
  torchrun --nproc-per-node 2 -m quantize.cli train codebook --data DATA/takes --out runs/codes
  edge-quantize export runs/mine/checkpoint.pt --out mybundle
  edge-quantize quantize runs/mine/checkpoint.pt --out mybundle        (also fp16 and int8)
  edge-quantize lint mybundle/*.onnx
  edge-quantize evaluate mybundle --data DATA
  edge-quantize compare mybundle --data DATA --out report
  edge-run --bundle mybundle --mic file:speech.wav --offline --record face.csv
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        "edge-quantize",
        description="Recordings of voices and faces to a bundle that edge-run runs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = p.add_subparsers(dest="verb", required=True, metavar="VERB")

    prepare = verbs.add_parser("prepare", help="videos, takes, recordings to shards of features")
    prepare.add_argument(
        "--data", action="append", required=True, type=Path, metavar="DIR",
        help="videos, Live Link Face takes or recordings; repeatable",
    )  # fmt: skip
    prepare.add_argument("--out", required=True, type=Path, metavar="DIR")
    prepare.add_argument(
        "--face-model", type=Path, metavar="FILE", help="MediaPipe's face_landmarker.task"
    )
    prepare.add_argument("--noise", metavar="DIR", help="noise/ and rir/ to mix in")
    prepare.add_argument(
        "--renditions", type=int, default=1, metavar="N", help="1: as recorded; more: other voices"
    )
    prepare.add_argument("--seed", type=int, default=0, metavar="N")
    prepare.add_argument(
        "--speech", action="store_true", help="also what a teacher with a speech encoder hears"
    )
    prepare.set_defaults(run=_prepare)

    train = verbs.add_parser(
        "train",
        help="recordings to a trained student, or to one of its teachers",
        description="Resumable: the same command goes on where it stopped. Under torchrun a "
        "batch is shared among its processes.",
    )
    train.add_argument(
        "what",
        nargs="?",
        default="student",
        choices=("student", "codebook", "emotion", "teacher", "generator"),
        help="(default: %(default)s)",
    )
    _run_options(train, "recordings (repeatable) or prepared shards", "of a student or teacher")
    train.add_argument("--steps", type=int, metavar="N", help="of the others")
    for part in ("teacher", "embedding", "codebook"):
        train.add_argument(f"--{part}", metavar="CHECKPOINT", help="what a generator stands on")
    train.set_defaults(run=_train)

    distill = verbs.add_parser(
        "distill",
        help="teachers and recordings to a student",
        description="Trains the student on captured faces and on what teachers say of every voice. "
        "Resumable: the same command goes on where it stopped.",
        epilog="example: edge-quantize distill --teacher runs/teacher/checkpoint.pt --codebook "
        "runs/codebook/checkpoint.pt --embedding runs/emotion/checkpoint.pt --data DIR --out runs/"
        "student",
    )
    distill.add_argument(
        "--teacher", action="append", required=True, metavar="CHECKPOINT",
        help="of 'train teacher'; repeatable, their faces are averaged",
    )  # fmt: skip
    distill.add_argument("--codebook", required=True, metavar="CHECKPOINT")
    distill.add_argument(
        "--embedding", required=True, metavar="CHECKPOINT", help="of 'train emotion'"
    )
    _run_options(distill, "recordings; repeatable", None)
    distill.set_defaults(run=_distill, what="student", steps=None)

    export = verbs.add_parser("export", help="checkpoint to bundle")
    export.add_argument("checkpoint", type=Path)
    export.add_argument("--out", required=True, type=Path, metavar="DIR")
    export.add_argument("--name", default="edgetalk", help="shown in logs (default: %(default)s)")
    export.add_argument(
        "--lookahead", type=int, default=4, metavar="FACES", help="default of the bundle (4)"
    )
    export.set_defaults(run=_export)

    quantize = verbs.add_parser("quantize", help="checkpoint to bundle in fp32, fp16 and int8")
    quantize.add_argument("checkpoint", type=Path)
    quantize.add_argument("--out", required=True, type=Path, metavar="DIR")
    quantize.add_argument(
        "--data", type=Path, metavar="DIR", help="a run's folder (default: the checkpoint's)"
    )
    quantize.add_argument(
        "--report", type=Path, metavar="DIR", help="for sensitivity.json and .png (--data)"
    )
    quantize.add_argument("--name", default="edgetalk", help="shown in logs (default: %(default)s)")
    quantize.add_argument(
        "--lookahead", type=int, default=4, metavar="FACES", help="default of the bundle (4)"
    )
    quantize.add_argument(
        "--rounds", type=int, default=20, metavar="N", help="of training for int8 (20; 0: none)"
    )
    quantize.add_argument("--threads", type=int, metavar="N", help="of torch (default: all cores)")
    quantize.set_defaults(run=_quantize)

    compare = verbs.add_parser("compare", help="fp16 and int8 beside fp32: JSON, HTML, pictures")
    compare.add_argument("bundle", type=Path)
    compare.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder of the accuracy test sets",
    )
    compare.add_argument("--out", required=True, type=Path, metavar="DIR", help="for the report")
    compare.add_argument(
        "--gpu-records",
        type=Path,
        default=Path("benchmarks/records"),
        metavar="DIR",
        help="what benchmarks.runtime.gpu wrote, for the page (default: %(default)s)",
    )
    compare.set_defaults(run=_compare)

    evaluate = verbs.add_parser("evaluate", help="how true and how legible are its faces?")
    evaluate.add_argument("path", type=Path, metavar="CHECKPOINT|BUNDLE")
    evaluate.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="folder of the accuracy test sets"
    )
    evaluate.add_argument("--head", type=Path, metavar="GLB", help="a head with ARKit shapes: mm")
    evaluate.add_argument("--json", action="store_true", help="JSON instead of the table")
    evaluate.set_defaults(run=_evaluate)

    lint = verbs.add_parser("lint", help="would TensorRT take these files as they are meant?")
    lint.add_argument("files", type=Path, nargs="+", metavar="FILE.onnx")
    lint.add_argument("--nvidia", action="store_true", help="ask NVIDIA's own parser too")
    lint.set_defaults(run=_lint)
    build = verbs.add_parser("build", help="bundle to TensorRT engines for this device")
    arguments(build)
    build.set_defaults(run=build_asked)
    return p


def _run_options(verb: argparse.ArgumentParser, data: str, epochs: str | None) -> None:
    """What every run that keeps a ``run.yaml`` can be told; ``data`` and ``epochs`` are helps."""
    verb.add_argument("--data", action="append", metavar="DIR", help=data)
    verb.add_argument("--noise", metavar="DIR", help="folder with noise/ and rir/ to mix in")
    verb.add_argument("--out", required=True, type=Path, metavar="DIR", help="the run's folder")
    verb.add_argument("--config", type=Path, metavar="FILE", help="run.yaml; flags win over it")
    verb.add_argument("--epochs", type=int, metavar="N", help=epochs)
    verb.add_argument("--seed", type=int, metavar="N")
    verb.add_argument("--threads", type=int, metavar="N", help="of torch (default: all cores)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; returns the exit status. Every failure is one sentence on standard error."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="edge-quantize: %(message)s", stream=sys.stderr)
    for chatty in ("onnx_ir", "onnxscript"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        args.run(args)
    except EdgeError as error:
        print(f"edge-quantize: {error}", file=sys.stderr)
        return error.status
    except ImportError as error:
        missing = MissingError(f"{error.name} is not installed: pip install 'edgetalk[toolchain]'")
        print(f"edge-quantize: {missing}", file=sys.stderr)
        return missing.status
    except KeyboardInterrupt:
        print("edge-quantize: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _prepare(args: argparse.Namespace) -> None:
    from quantize.data.prepare import prepare
    from quantize.data.renditions import read_rooms

    counts = prepare(
        args.data,
        args.out,
        model=args.face_model,
        rooms=read_rooms(args.noise),
        renditions=args.renditions,
        seed=args.seed,
        speech=args.speech,
    )
    told = ", ".join(f"{count} {split}" for split, count in counts.items())
    logging.info("%s: %s samples", args.out / "shards", told)


def _distill(args: argparse.Namespace) -> None:
    _train(args, may_take=("teacher", "embedding", "codebook"))


def _train(args: argparse.Namespace, may_take: Sequence[str] = ()) -> None:
    import torch

    from quantize.training.run_settings import read_settings

    if args.threads:
        torch.set_num_threads(args.threads)
    kind, run = _trainer(args.what)
    known = {f.name for f in fields(kind)}
    if args.what == "student":
        known -= {"teacher", "embedding", "codebook"}.difference(may_take)
    changes = {
        name: getattr(args, name)
        for name in ("data", "noise", "epochs", "steps", "seed", "teacher", "embedding", "codebook")
        if getattr(args, name) is not None
    }
    if foreign := sorted(changes.keys() - known):
        raise ConfigError(
            f"train {args.what} takes no --{foreign[0]}; see edge-quantize train --help, "
            "and edge-quantize distill for a student with teachers"
        )
    settings = read_settings(kind, args.config, **changes)
    torch.manual_seed(settings.seed)  # of the first weights
    run(settings, args.out)
    logging.info("trained: %s", args.out / "checkpoint.pt")


def _trainer(what: str) -> tuple[type[Any], Callable[[Any, Path], object]]:
    """Settings and function that train ``what``."""
    if what == "student":
        from quantize.training.student_config import StudentRun
        from quantize.training.train_student import train_student

        return StudentRun, train_student
    if what == "codebook":
        from quantize.training.train_codebook import CodebookRun, train_codebook

        return CodebookRun, train_codebook
    if what == "emotion":
        from quantize.training.train_emotion_embedding import EmotionRun, train_emotion

        return EmotionRun, train_emotion
    if what == "teacher":
        from quantize.training.teacher_config import TeacherRun
        from quantize.training.train_teacher import train_teacher

        return TeacherRun, train_teacher
    from quantize.training.train_code_generator import GeneratorRun, train_generator

    return GeneratorRun, train_generator


def _export(args: argparse.Namespace) -> None:
    from quantize.export.to_onnx import export

    bundle = export(args.checkpoint, args.out, args.name, args.lookahead)
    logging.info("bundle %s (%s) written to %s", bundle.name, bundle.hash, args.out)


def _quantize(args: argparse.Namespace) -> None:
    import torch

    from quantize.export.quantize_bundle import quantize

    if args.threads:
        torch.set_num_threads(args.threads)
    data = args.data or args.checkpoint.parent
    bundle = quantize(
        args.checkpoint,
        data,
        args.out,
        name=args.name,
        lookahead=args.lookahead,
        report=args.report or data,
        rounds=args.rounds,
    )
    logging.info("bundle %s (%s) written to %s", bundle.name, bundle.hash, args.out)


def _compare(args: argparse.Namespace) -> None:
    from quantize.evaluation.precision import compare, summary
    from quantize.evaluation.precision_report import write_report

    results, streams = compare(args.bundle, args.data)
    print(summary(results))
    page = write_report(results, streams, args.bundle, args.out, args.gpu_records)
    logging.info("written: %s", page)


def _evaluate(args: argparse.Namespace) -> None:
    import json

    from quantize.evaluation.accuracy_table import print_table
    from quantize.evaluation.evaluate import evaluate
    from quantize.evaluation.head_mesh import read_head
    from quantize.evaluation.test_clips import load_test_clips

    head = read_head(args.head) if args.head else None
    systems = evaluate(args.path, load_test_clips(args.data), head)
    if args.json:
        print(json.dumps(systems, indent=1))
    else:
        print_table(systems)


def _lint(args: argparse.Namespace) -> None:
    import onnx

    from quantize.export.lint import lint

    bad = 0
    for path in args.files:
        try:
            model = onnx.load(path)
            onnx.checker.check_model(model, full_check=True)
        except Exception as error:  # protobuf and onnx share no other base
            raise InputError(f"{path}: not a readable ONNX file ({error})") from error
        findings = [str(finding) for finding in lint(model)]
        if args.nvidia:
            from quantize.export.rtx_parser import verdict

            said = verdict(model.SerializeToString())
            findings += [f"NVIDIA's parser: {said}"] if said else []
        for finding in findings:
            print(f"{path}: {finding}")
        bad += bool(findings)
    print(f"{len(args.files)} files, {bad} with findings")
    if bad:
        raise EdgeError("some files are not fit for TensorRT, see above")


if __name__ == "__main__":
    sys.exit(main())
