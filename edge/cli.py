"""``edge-run``: arguments, signals, exit status."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge.bundle import DEFAULT, PRECISIONS, Bundle, read_bundle
from edge.capture import list_microphones, open_source
from edge.config import Config, read_config
from edge.contract import ARKIT_52, FPS, EdgeError, InputError, Sink, UsageError
from edge.engine import ENGINES, open_engines
from edge.meter import Meter
from edge.outputs import open_output
from edge.pipeline import Pipeline
from edge.record import CsvRecord
from edge.runtime import Score, run, run_offline

log = logging.getLogger("edge")

EXAMPLES = """\
examples:
  edge-run --meter                                    default microphone to VMC on this machine
  edge-run --mic "USB Audio" --to vmc://10.0.0.7:39539
  edge-run --mic file:speech.wav --offline --record face.csv
  arecord -f S16_LE -r 16000 -c 1 | edge-run --mic -

exit status: 0 done, 2 usage, 66 no input (file or microphone), 69 something is missing
(library, bundle, host), 78 bad configuration
"""


def parser() -> argparse.ArgumentParser:
    """The command line; every default is in ``Config``."""
    p = argparse.ArgumentParser(
        "edge-run",
        description="A live voice to 52 ARKit blendshapes, sent to an avatar over OSC/UDP.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--mic", help="default, NAME, INDEX, file:PATH, or - for raw s16le 16 kHz")
    p.add_argument("--to", action="append", metavar="URL", help="vmc://HOST:PORT; repeatable")
    p.add_argument("--bundle", metavar="DIR", help="trained networks (default: the ones shipped)")
    p.add_argument("--config", metavar="FILE", help="edge.yaml; flags win over it")
    p.add_argument("--lookahead", type=int, metavar="MS", help="future audio a face may hear")
    p.add_argument("--engine", choices=ENGINES, help="what runs the networks (default: auto)")
    p.add_argument("--precision", choices=PRECISIONS, help="of the networks")
    p.add_argument("--seed", type=int, metavar="N", help="of blinks, glances and head motion")
    p.add_argument("--record", metavar="OUT.csv", help="write every face to a CSV file")
    p.add_argument("--offline", action="store_true", help="file: as fast as possible, no pacing")
    p.add_argument("--meter", action="store_true", default=None, help="live view in the terminal")
    p.add_argument("--json", action="store_true", help="machine-readable results")
    p.add_argument("--list-mics", action="store_true", help="microphones, and exit")
    p.add_argument("--list-shapes", action="store_true", help="the 52 names in order, and exit")
    p.add_argument("--version", action="version", version=f"edge-run {edgetalk_version()}")
    return p


def edgetalk_version() -> str:
    """Version of the installed package."""
    try:
        return version("edgetalk")
    except PackageNotFoundError:
        return "0+source"


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status. Every failure is one sentence on standard error."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="edge-run: %(message)s", stream=sys.stderr)
    try:
        if args.list_shapes:
            print(json.dumps(ARKIT_52) if args.json else "\n".join(ARKIT_52))
        elif args.list_mics:
            _list_mics(args.json)
        elif args.offline:
            _offline(_config(args), args.to, args.json)
        else:
            _live(_config(args))
    except EdgeError as error:
        print(f"edge-run: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:  # `edge-run --list-shapes | head`
        sys.stderr.close()
    return 0


def _config(args: argparse.Namespace) -> Config:
    config = read_config(Path(args.config)) if args.config else Config()
    given = {
        key: value
        for key in (
            "mic",
            "bundle",
            "lookahead",
            "engine",
            "precision",
            "seed",
            "record",
            "meter",
        )
        if (value := getattr(args, key)) is not None
    }
    if args.to:
        given["to"] = tuple(args.to)
    return replace(config, **given)


def _list_mics(as_json: bool) -> None:
    found = list_microphones()
    if as_json:
        print(json.dumps(found))
    elif not found:
        raise InputError("no microphone found; plug one in, or use --mic file:PATH")
    else:
        for mic in found:
            mark = "*" if mic["default"] else " "
            name, channels = mic["name"], mic["channels"]
            print(f"{mark} {mic['index']:3}  {name}  ({channels} channels, {mic['rate']} Hz)")


def _pipeline(config: Config) -> tuple[Bundle, Pipeline]:
    bundle = read_bundle(Path(config.bundle) if config.bundle else DEFAULT)
    lookahead = faces_of(config.lookahead, bundle)
    engines = open_engines(bundle, config.engine, config.precision)
    return bundle, Pipeline(bundle, engines, lookahead, config.seed)


def faces_of(lookahead_ms: int | None, bundle: Bundle) -> int:
    """Look-ahead in faces; it must be one that the bundle was trained for."""
    if lookahead_ms is None:
        return bundle.lookahead
    offered = {round(n * 1000 / FPS): n for n in bundle.lookaheads}
    if lookahead_ms not in offered:
        choice = ", ".join(map(str, offered))
        raise UsageError(f"--lookahead {lookahead_ms}: this bundle offers {choice} (ms)")
    return offered[lookahead_ms]


def _offline(config: Config, to: Sequence[str] | None, as_json: bool) -> None:
    if not config.mic.startswith("file:"):
        raise UsageError("--offline needs a file: --mic file:PATH")
    _, pipeline = _pipeline(config)
    with ExitStack() as stack:
        # No network unless it was asked for on this command line.
        sinks: list[Sink] = [stack.enter_context(closing(open_output(url))) for url in to or ()]
        if config.record:
            sinks.append(stack.enter_context(closing(CsvRecord(config.record))))
        result = run_offline(config.mic.removeprefix("file:"), pipeline, sinks)
    if as_json:
        print(json.dumps(asdict(result) | {"delay_ms": round(pipeline.delay * 1000, 1)}))
    else:
        print(
            f"{result.audio_s:.2f} s of audio, {result.faces} faces, "
            f"{result.cpu_s_per_audio_s:.4f} CPU s per audio second, peak {result.peak_mb:.0f} MB"
        )


def _live(config: Config) -> None:
    bundle, pipeline = _pipeline(config)
    stop, score = threading.Event(), Score()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    with ExitStack() as stack:
        sinks: list[Sink] = [stack.enter_context(closing(open_output(url))) for url in config.to]
        if config.record:
            sinks.append(stack.enter_context(closing(CsvRecord(config.record))))
        source = stack.enter_context(closing(open_source(config.mic, config.queue_ms)))
        title = (
            f"bundle {bundle.name} ({bundle.hash}), mic {config.mic}, to {', '.join(config.to)}, "
            f"declared delay {pipeline.delay * 1000:.0f} ms"
        )
        log.info("%s", title)
        if config.meter:
            sinks.append(stack.enter_context(closing(Meter(sys.stdout, score, "EdgeTalk"))))
        run(source, pipeline, sinks, stop, score)
    p50, p99 = score.latency_ms()
    log.info(
        "%d faces and %d at rest; latency p50 %.1f ms, p99 %.1f ms; %d blocks of audio dropped",
        score.faces, score.rested, p50, p99, source.dropped,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
