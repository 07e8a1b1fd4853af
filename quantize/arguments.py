"""The flags of each verb of ``edge-quantize``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge.inference.build import arguments as build_arguments

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


def add_prepare(verbs: Any) -> argparse.ArgumentParser:
    """``prepare``: recordings to shards."""
    p = verbs.add_parser("prepare", help="videos, takes, recordings to shards of features")
    p.add_argument(
        "--data", action="append", required=True, type=Path, metavar="DIR",
        help="videos, Live Link Face takes or recordings; repeatable",
    )  # fmt: skip
    p.add_argument("--out", required=True, type=Path, metavar="DIR")
    p.add_argument(
        "--face-model", type=Path, metavar="FILE", help="MediaPipe's face_landmarker.task"
    )
    p.add_argument("--noise", metavar="DIR", help="noise/ and rir/ to mix in")
    p.add_argument(
        "--renditions", type=int, default=1, metavar="N", help="1: as recorded; more: other voices"
    )
    p.add_argument("--seed", type=int, default=0, metavar="N")
    p.add_argument(
        "--speech", action="store_true", help="also what a teacher with a speech encoder hears"
    )
    return p


def add_train(verbs: Any) -> argparse.ArgumentParser:
    """``train``: recordings to a network."""
    p = verbs.add_parser(
        "train",
        help="recordings to a trained student, or to one of its teachers",
        description="Resumable: the same command goes on where it stopped. Under torchrun a "
        "batch is shared among its processes.",
    )
    p.add_argument(
        "what",
        nargs="?",
        default="student",
        choices=("student", "codebook", "emotion", "teacher", "generator"),
        help="(default: %(default)s)",
    )
    _run_options(p, "recordings (repeatable) or prepared shards", "of a student or teacher")
    p.add_argument("--steps", type=int, metavar="N", help="of the others")
    for part in ("teacher", "embedding", "codebook"):
        p.add_argument(f"--{part}", metavar="CHECKPOINT", help="what a generator stands on")
    return p


def add_distill(verbs: Any) -> argparse.ArgumentParser:
    """``distill``: teachers and recordings to a student."""
    p = verbs.add_parser(
        "distill",
        help="teachers and recordings to a student",
        description="Trains the student on captured faces and on what teachers say of every voice. "
        "Resumable: the same command goes on where it stopped.",
        epilog="example: edge-quantize distill --teacher runs/teacher/checkpoint.pt --codebook "
        "runs/codebook/checkpoint.pt --embedding runs/emotion/checkpoint.pt --data DIR --out runs/"
        "student",
    )
    p.add_argument(
        "--teacher", action="append", required=True, metavar="CHECKPOINT",
        help="of 'train teacher'; repeatable, their faces are averaged",
    )  # fmt: skip
    p.add_argument("--codebook", required=True, metavar="CHECKPOINT")
    p.add_argument("--embedding", required=True, metavar="CHECKPOINT", help="of 'train emotion'")
    _run_options(p, "recordings; repeatable", None)
    p.set_defaults(what="student", steps=None)
    return p


def add_export(verbs: Any) -> argparse.ArgumentParser:
    """``export``: checkpoint to bundle."""
    p = verbs.add_parser("export", help="checkpoint to bundle")
    p.add_argument("checkpoint", type=Path)
    p.add_argument("--out", required=True, type=Path, metavar="DIR")
    p.add_argument("--name", default="edgetalk", help="shown in logs (default: %(default)s)")
    p.add_argument(
        "--lookahead", type=int, default=4, metavar="FACES", help="default of the bundle (4)"
    )
    return p


def add_quantize(verbs: Any) -> argparse.ArgumentParser:
    """``quantize``: checkpoint to bundle in three precisions."""
    p = verbs.add_parser("quantize", help="checkpoint to bundle in fp32, fp16 and int8")
    p.add_argument("checkpoint", type=Path)
    p.add_argument("--out", required=True, type=Path, metavar="DIR")
    p.add_argument(
        "--data", type=Path, metavar="DIR", help="a run's folder (default: the checkpoint's)"
    )
    p.add_argument(
        "--report", type=Path, metavar="DIR", help="for sensitivity.json and .png (--data)"
    )
    p.add_argument("--name", default="edgetalk", help="shown in logs (default: %(default)s)")
    p.add_argument(
        "--lookahead", type=int, default=4, metavar="FACES", help="default of the bundle (4)"
    )
    p.add_argument(
        "--rounds", type=int, default=20, metavar="N", help="of training for int8 (20; 0: none)"
    )
    p.add_argument("--threads", type=int, metavar="N", help="of torch (default: all cores)")
    return p


def add_compare(verbs: Any) -> argparse.ArgumentParser:
    """``compare``: the precisions beside each other."""
    p = verbs.add_parser("compare", help="fp16 and int8 beside fp32: JSON, HTML, pictures")
    p.add_argument("bundle", type=Path)
    p.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder of the accuracy test sets",
    )
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="for the report")
    p.add_argument(
        "--gpu-records",
        type=Path,
        default=Path("benchmarks/records"),
        metavar="DIR",
        help="what benchmarks.runtime.gpu wrote, for the page (default: %(default)s)",
    )
    return p


def add_evaluate(verbs: Any) -> argparse.ArgumentParser:
    """``evaluate``: figures of a checkpoint or bundle."""
    p = verbs.add_parser("evaluate", help="how true and how legible are its faces?")
    p.add_argument("path", type=Path, metavar="CHECKPOINT|BUNDLE")
    p.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="folder of the accuracy test sets"
    )
    p.add_argument("--head", type=Path, metavar="GLB", help="a head with ARKit shapes: mm")
    p.add_argument("--json", action="store_true", help="JSON instead of the table")
    return p


def add_lint(verbs: Any) -> argparse.ArgumentParser:
    """``lint``: ONNX files to findings."""
    p = verbs.add_parser("lint", help="would TensorRT take these files as they are meant?")
    p.add_argument("files", type=Path, nargs="+", metavar="FILE.onnx")
    p.add_argument("--nvidia", action="store_true", help="ask NVIDIA's own parser too")
    return p


def add_build(verbs: Any) -> argparse.ArgumentParser:
    """``build``: bundle to engines."""
    p = verbs.add_parser("build", help="bundle to TensorRT engines for this device")
    build_arguments(p)
    return p


def _run_options(verb: argparse.ArgumentParser, data: str, epochs: str | None) -> None:
    """Flags of every run that keeps a ``run.yaml``; ``data`` and ``epochs`` are help texts."""
    verb.add_argument("--data", action="append", metavar="DIR", help=data)
    verb.add_argument("--noise", metavar="DIR", help="folder with noise/ and rir/ to mix in")
    verb.add_argument("--out", required=True, type=Path, metavar="DIR", help="the run's folder")
    verb.add_argument("--config", type=Path, metavar="FILE", help="run.yaml; flags win over it")
    verb.add_argument("--epochs", type=int, metavar="N", help=epochs)
    verb.add_argument("--seed", type=int, metavar="N")
    verb.add_argument("--threads", type=int, metavar="N", help="of torch (default: all cores)")
