"""``edge-quantize``: one verb a step, in the order they are run."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.build import arguments, build_asked
from edge.contract import EdgeError, MissingError

EXAMPLES = """\
examples:
  edge-quantize train --data ~/takes --out runs/mine --epochs 30
  edge-quantize train --config runs/mine/run.yaml --out runs/mine      (goes on where it stopped)
  edge-quantize export runs/mine/checkpoint.pt --out mybundle
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

    train = verbs.add_parser("train", help="recordings to a trained student")
    train.add_argument("--data", action="append", metavar="DIR", help="recordings; repeatable")
    train.add_argument("--noise", metavar="DIR", help="folder with noise/ and rir/ to mix in")
    train.add_argument("--out", required=True, type=Path, metavar="DIR", help="the run's folder")
    train.add_argument("--config", type=Path, metavar="FILE", help="run.yaml; flags win over it")
    train.add_argument("--epochs", type=int, metavar="N")
    train.add_argument("--seed", type=int, metavar="N")
    train.add_argument("--threads", type=int, metavar="N", help="of torch (default: all cores)")
    train.set_defaults(run=_train)

    export = verbs.add_parser("export", help="checkpoint to bundle")
    export.add_argument("checkpoint", type=Path)
    export.add_argument("--out", required=True, type=Path, metavar="DIR")
    export.add_argument("--name", default="edgetalk", help="shown in logs (default: %(default)s)")
    export.add_argument(
        "--lookahead", type=int, default=4, metavar="FACES", help="default of the bundle (4)"
    )
    export.set_defaults(run=_export)

    build = verbs.add_parser("build", help="bundle to TensorRT engines for this device")
    arguments(build)
    build.set_defaults(run=build_asked)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; returns the exit status. Every failure is one sentence on standard error."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="edge-quantize: %(message)s", stream=sys.stderr)
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


def _train(args: argparse.Namespace) -> None:
    import torch

    from quantize.train import read_run, train

    if args.threads:
        torch.set_num_threads(args.threads)
    changes = {"data": args.data, "noise": args.noise, "epochs": args.epochs, "seed": args.seed}
    checkpoint = train(read_run(args.config, **changes), args.out)
    logging.info("trained: %s; now: edge-quantize export %s --out DIR", checkpoint, checkpoint)


def _export(args: argparse.Namespace) -> None:
    from quantize.export import export

    bundle = export(args.checkpoint, args.out, args.name, args.lookahead)
    logging.info("bundle %s (%s) written to %s", bundle.name, bundle.hash, args.out)


if __name__ == "__main__":
    sys.exit(main())
