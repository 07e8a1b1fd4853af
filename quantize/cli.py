"""``edge-quantize``: one verb a step, in the order they are run."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from edge.contract import ConfigError, EdgeError, MissingError, one_line
from edge.inference.build import build_asked
from quantize import arguments


def parser() -> argparse.ArgumentParser:
    """The command line; ``run`` of what it parses is the function of the verb."""
    p = argparse.ArgumentParser(
        "edge-quantize",
        description="Recordings of voices and faces to a bundle that edge-run runs.",
        epilog=arguments.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = p.add_subparsers(dest="verb", required=True, metavar="VERB")
    for add, run in (
        (arguments.add_prepare, _prepare),
        (arguments.add_train, _train),
        (arguments.add_distill, _distill),
        (arguments.add_export, _export),
        (arguments.add_quantize, _quantize),
        (arguments.add_compare, _compare),
        (arguments.add_evaluate, _evaluate),
        (arguments.add_lint, _lint),
        (arguments.add_build, build_asked),
    ):
        add(verbs).set_defaults(run=run)
    return p


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
    samples = ", ".join(f"{count} {split}" for split, count in counts.items())
    logging.info("%s: %s samples", args.out / "shards", samples)


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
    from quantize.export.lint import lint, read_model

    bad = 0
    for path in args.files:
        model = read_model(path)
        findings = [str(finding) for finding in lint(model)]
        if args.nvidia:
            from quantize.export.rtx_parser import verdict

            refusal = verdict(model.SerializeToString())
            findings += [f"NVIDIA's parser: {refusal}"] if refusal else []
        for finding in findings:
            print(one_line(f"{path}: {finding}"))
        bad += bool(findings)
    print(f"{len(args.files)} files, {bad} with findings")
    if bad:
        raise EdgeError("some files are not fit for TensorRT, see above")


if __name__ == "__main__":
    sys.exit(main())
