"""``edge-run``: arguments, signals, exit status."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before the libraries are loaded
    from edge.console import edge_run

    sys.exit(edge_run())

import argparse
import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

from edge.audio.devices import list_microphones
from edge.batch import record_file
from edge.bundle import PRECISIONS
from edge.config import Config, dump, parse, plain, read_config
from edge.contract import (
    ARKIT_52,
    ConfigError,
    EdgeError,
    InputError,
    Sink,
    UsageError,
)
from edge.diagnostics.doctor import doctor
from edge.diagnostics.probe import send_probe
from edge.inference.engine import ENGINES
from edge.outputs import open_output
from edge.outputs.common import check_delivery
from edge.preview.film import Film
from edge.runtime import run_offline
from edge.service.logs import set_up_logs
from edge.wiring import edgetalk_version, open_pipeline, run_live

log = logging.getLogger("edge")

TO = """SCHEME://HOST:PORT?OPTIONS, repeatable; vmc, vrchat, livelink, ifacialmocap, facecap, osc,
json; see docs/receivers.md"""

RECORD = """write every face to OUT; FORMAT is csv (52 ARKit columns), livelink (CSV as an iPhone's
Live Link Face records it), json or glb (animated glTF); without FORMAT OUT's suffix says it"""

EXAMPLES = """\
examples:
  edge-run --meter                                    default microphone to VMC on this machine
  edge-run --mic "USB Audio" --to vmc://10.0.0.7:39539
  edge-run --to vmc://10.0.0.7 --to "livelink://10.0.0.8?region=lower"
  edge-run --mic file:speech.wav --offline --record face.csv
  edge-run --mic file:speech.wav --offline --record livelink:take1.csv
  edge-run --mic file:speech.wav --offline --render speech.mp4
  edge-run --preview                                  a live head at http://127.0.0.1:39542
  arecord -f S16_LE -r 16000 -c 1 | edge-run --mic -
  edge-run --to "vmc://127.0.0.1?preset=vrm1" --to "livelink://10.0.0.9?fps=30&region=mouth"

exit status: 0 done, 2 usage, 66 no input (file or microphone), 69 something is missing or cannot be
written to (library, bundle, host, output), 78 bad configuration, 130 stopped by Ctrl-C
"""


def parser() -> argparse.ArgumentParser:
    """The command line; every default is in ``Config``."""
    p = argparse.ArgumentParser(
        "edge-run",
        description="A live voice to 52 ARKit blendshapes, sent to an avatar over OSC/UDP.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--mic",
        help="default, NAME (of PortAudio or of a PulseAudio or PipeWire source), INDEX, file:PATH,"
        " or - for raw s16le 16 kHz",
    )
    p.add_argument("--channel", type=int, metavar="N", help="of the microphone, from 1 (default)")
    p.add_argument("--wait-mic", action="store_true", default=None, help="start without it, wait")
    p.add_argument("--to", action="append", metavar="URL", help=TO)
    p.add_argument("--bundle", metavar="DIR", help="trained networks (default: the ones shipped)")
    p.add_argument("--config", metavar="FILE", help="edge.yaml; flags win over it")
    p.add_argument("--lookahead", type=int, metavar="MS", help="future audio that a face may use")
    p.add_argument("--engine", choices=ENGINES, help="what runs the networks (default: auto)")
    p.add_argument("--precision", choices=PRECISIONS, help="of the networks")
    p.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="sample the face, by --seed: 0 takes the likeliest (default), 1 samples as predicted",
    )
    p.add_argument("--seed", type=int, metavar="N", help="of blinks, glances, head motion, draws")
    p.add_argument("--record", metavar="[FORMAT:]OUT", help=RECORD)
    p.add_argument(
        "--record-audio",
        metavar="OUT.wav",
        help="keep the last 5 to 10 minutes of audio in OUT.wav and OUT.old.wav, for support."
        " People nearby are recorded: tell them, and delete the files. Without this no audio is"
        " ever stored or sent",
    )
    p.add_argument(
        "--max-latency",
        type=int,
        metavar="MS",
        dest="max_latency_ms",
        help="drop a face rather than send it later than this (default 150)",
    )
    p.add_argument(
        "--realtime",
        action="store_true",
        default=None,
        help="SCHED_FIFO and mlockall, where permitted",
    )
    p.add_argument("--offline", action="store_true", help="file: as fast as possible, no pacing")
    p.add_argument("--control", metavar="PORT", help="of OSC control on loopback, or off")
    p.add_argument("--meter", action="store_true", default=None, help="live view in the terminal")
    p.add_argument(
        "--preview",
        nargs="?",
        type=int,
        const=39542,
        metavar="PORT",
        help="a live head in a browser on this machine (default port 39542)",
    )
    p.add_argument(
        "--render",
        metavar="OUT.mp4",
        help="with --offline: a film of the head with the sound; needs Chromium and ffmpeg",
    )
    p.add_argument("--json", action="store_true", help="machine-readable results")
    p.add_argument("--doctor", action="store_true", help="check what a face needs, and exit")
    p.add_argument("--probe", action="store_true", help="show A I U E O and blinks, and exit")
    p.add_argument("--print-config", action="store_true", help="what would run as YAML, and exit")
    p.add_argument("--list-mics", action="store_true", help="microphones, and exit")
    p.add_argument("--list-shapes", action="store_true", help="the 52 names in order, and exit")
    p.add_argument("--version", action="version", version=f"edge-run {edgetalk_version()}")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status. Every failure is one sentence on standard error."""
    args = parser().parse_args(argv)
    set_up_logs()
    try:
        if args.list_shapes:
            print(json.dumps(ARKIT_52) if args.json else "\n".join(ARKIT_52))
        elif args.list_mics:
            _list_mics(args.json)
        elif args.doctor:
            return doctor(_config(args), open_pipeline, args.json)
        elif args.probe:
            _probe(_config(args))
        elif args.print_config:
            print(dump(_config(args)), end="")
        elif args.offline:
            _offline(_config(args), args.to, args.json, args.render)
        elif args.render:
            raise UsageError("--render needs --offline and --mic file:PATH")
        else:
            run_live(_config(args), partial(_config, args) if args.config else None)
    except EdgeError as error:
        log.error("%s", error)
        return error.status
    except KeyboardInterrupt:  # only without a microphone: a live run takes the signal itself
        log.error("stopped")
        return 130
    return 0


def _config(args: argparse.Namespace) -> Config:
    config = read_config(Path(args.config)) if args.config else Config()
    given = {
        key: value
        for key in (
            "mic",
            "channel",
            "wait_mic",
            "bundle",
            "lookahead",
            "engine",
            "precision",
            "seed",
            "temperature",
            "record",
            "record_audio",
            "max_latency_ms",
            "realtime",
            "meter",
            "preview",
        )
        if (value := getattr(args, key)) is not None
    }
    if args.to:
        given["to"] = list(args.to)
    if args.control is not None:
        given["control"] = _control(args.control, config)
    try:
        return parse(plain(config) | given, "command line")
    except ConfigError as error:
        raise UsageError(str(error)) from error


def _control(text: str, config: Config) -> dict[str, object] | None:
    if text == "off":
        return None
    if not text.isdecimal():
        raise UsageError(f"--control {text}: give a port number, or off")
    section = plain(config)["control"] or {}
    return {**section, "port": int(text)}


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
            index = "" if mic["index"] is None else mic["index"]
            print(f"{mark} {index:3}  {name}  ({channels} channels, {mic['rate']} Hz)")


def _offline(
    config: Config, to: Sequence[str] | None, as_json: bool, render: str | None = None
) -> None:
    if not config.mic.startswith("file:"):
        raise UsageError("--offline needs a file: --mic file:PATH")
    film = Film(render, config.mic.removeprefix("file:")) if render else None
    _, pipeline = open_pipeline(config)
    with ExitStack() as stack:
        # No network unless this command line names an output.
        sinks: list[Sink] = [stack.enter_context(closing(open_output(url))) for url in to or ()]
        path = config.mic.removeprefix("file:")
        if film:
            sinks.append(film)
        if config.record:
            result = record_file(path, config.record, pipeline, sinks)
        else:
            result = run_offline(path, pipeline, sinks)
        check_delivery(sinks)
    if film:
        film.make()
    if as_json:
        print(json.dumps(asdict(result) | {"delay_ms": round(pipeline.delay * 1000, 1)}))
    else:
        print(
            f"{result.audio_s:.2f} s of audio, {result.faces} faces, "
            f"{result.cpu_s_per_audio_s:.4f} CPU s per audio second, peak {result.peak_mb:.0f} MB"
        )


def _probe(config: Config) -> None:
    with ExitStack() as stack:
        sinks = [stack.enter_context(closing(open_output(url))) for url in config.to]
        send_probe(sinks)
        check_delivery(sinks)
