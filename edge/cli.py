"""``edge-run``: arguments, signals, exit status."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge.audio_record import AudioRecord, Recorded
from edge.bundle import DEFAULT, PRECISIONS, Bundle, read_bundle
from edge.capture import Source, open_source
from edge.config import Config, dump, parse, plain, read_config
from edge.contract import (
    ARKIT_52,
    ConfigError,
    EdgeError,
    InputError,
    MissingError,
    Sink,
    UsageError,
)
from edge.control import Orders
from edge.devices import list_microphones
from edge.doctor import doctor
from edge.engine import ENGINES, open_engines
from edge.listen import Listener
from edge.live import Live, Outputs
from edge.logs import EveryMinute, set_up_logs
from edge.meter import Meter
from edge.metrics import Metrics
from edge.outputs import open_output
from edge.pipeline import Pipeline
from edge.probe import send_probe
from edge.realtime import be_realtime, tight_timers
from edge.record import CsvRecord
from edge.runtime import Score, run, run_offline
from edge.service import Service, managed, open_service
from edge.status import describe

log = logging.getLogger("edge")

TO = """SCHEME://HOST:PORT?OPTIONS, repeatable; vmc, vrchat, livelink, ifacialmocap, facecap, osc,
json; see docs/receivers.md"""

EXAMPLES = """\
examples:
  edge-run --meter                                    default microphone to VMC on this machine
  edge-run --mic "USB Audio" --to vmc://10.0.0.7:39539
  edge-run --to vmc://10.0.0.7 --to "livelink://10.0.0.8?region=lower"
  edge-run --mic file:speech.wav --offline --record face.csv
  arecord -f S16_LE -r 16000 -c 1 | edge-run --mic -

  edge-run --to "vmc://127.0.0.1?preset=vrm1" --to "livelink://10.0.0.9?fps=30&region=mouth"

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
    p.add_argument("--lookahead", type=int, metavar="MS", help="future audio a face may hear")
    p.add_argument("--engine", choices=ENGINES, help="what runs the networks (default: auto)")
    p.add_argument("--precision", choices=PRECISIONS, help="of the networks")
    p.add_argument("--seed", type=int, metavar="N", help="of blinks, glances and head motion")
    p.add_argument("--record", metavar="OUT.csv", help="write every face to a CSV file")
    p.add_argument(
        "--record-audio",
        metavar="OUT.wav",
        help="keep the last 5 to 10 minutes heard in OUT.wav and OUT.old.wav, for support. People"
        " nearby are recorded: tell them, and delete the files. Without this no audio is ever"
        " stored or sent",
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
    p.add_argument("--json", action="store_true", help="machine-readable results")
    p.add_argument("--doctor", action="store_true", help="check what a face needs, and exit")
    p.add_argument("--probe", action="store_true", help="show A I U E O and blinks, and exit")
    p.add_argument("--print-config", action="store_true", help="what would run as YAML, and exit")
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
    set_up_logs()
    try:
        if args.list_shapes:
            print(json.dumps(ARKIT_52) if args.json else "\n".join(ARKIT_52))
        elif args.list_mics:
            _list_mics(args.json)
        elif args.doctor:
            return doctor(_config(args), _pipeline, args.json)
        elif args.probe:
            _probe(_config(args))
        elif args.print_config:
            print(dump(_config(args)), end="")
        elif args.offline:
            _offline(_config(args), args.to, args.json)
        else:
            _live(_config(args), partial(_config, args) if args.config else None)
    except EdgeError as error:
        log.error("%s", error)
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
            "channel",
            "wait_mic",
            "bundle",
            "lookahead",
            "engine",
            "precision",
            "seed",
            "record",
            "record_audio",
            "max_latency_ms",
            "realtime",
            "meter",
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


def _pipeline(config: Config) -> tuple[Bundle, Pipeline]:
    bundle = read_bundle(Path(config.bundle) if config.bundle else DEFAULT)
    lookahead = faces_of(config.lookahead, bundle)
    engines = open_engines(bundle, config.engine, config.precision)
    return bundle, Pipeline(bundle, engines, lookahead, config.seed)


def faces_of(lookahead_ms: int | None, bundle: Bundle) -> int:
    """Look-ahead in faces; it must be one that the bundle was trained for."""
    if lookahead_ms is None:
        return bundle.lookahead
    if lookahead_ms not in bundle.offered_ms:
        choice = ", ".join(map(str, bundle.offered_ms))
        raise UsageError(f"--lookahead {lookahead_ms}: this bundle offers {choice} (ms)")
    return bundle.offered_ms[lookahead_ms]


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


def _probe(config: Config) -> None:
    with ExitStack() as stack:
        send_probe([stack.enter_context(closing(open_output(url))) for url in config.to])


def _source(config: Config, stack: ExitStack) -> Source:
    # Where a service manager listens nobody is there to plug in a microphone and try again.
    wait = config.wait_mic or managed()
    source: Source = open_source(config.mic, config.queue_ms, config.channel, wait, config.realtime)
    stack.enter_context(closing(source))
    if config.record_audio:
        record = stack.enter_context(closing(AudioRecord(config.record_audio)))
        log.info("audio is being recorded to %s: tell the people nearby", config.record_audio)
        source = Recorded(source, record)
    return source


def _live(config: Config, load: Callable[[], Config] | None) -> None:
    tight_timers()
    bundle, pipeline = _pipeline(config)
    stop, score = threading.Event(), Score()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    with ExitStack() as stack:
        outputs = stack.enter_context(
            closing(Outputs(config.to, partial(open_output, delay=pipeline.delay)))
        )
        sinks: list[Sink] = [outputs]
        if config.record:
            sinks.append(stack.enter_context(closing(CsvRecord(config.record))))
        source = _source(config, stack)
        title = (
            f"bundle {bundle.name} ({bundle.hash}), mic {config.mic}, to {', '.join(config.to)}, "
            f"declared delay {pipeline.delay * 1000:.0f} ms"
        )
        log.info("%s", title)
        if config.meter:
            sinks.append(stack.enter_context(closing(Meter(sys.stdout, score, "EdgeTalk"))))
        if config.metrics is not None:
            stack.enter_context(closing(Metrics(config.metrics, score, source)))
        sinks.append(EveryMinute(score, source))
        # Last: a face that reaches the service has left.
        if service := open_service(score, source):
            sinks.append(stack.enter_context(closing(service)))
        live = Live(bundle, pipeline, outputs, config, load)
        signal.signal(signal.SIGHUP, partial(_reload, live, service))
        _open_control(stack, live, score, source)
        if config.realtime:
            be_realtime()
        late = config.max_latency_ms / 1000
        run(source, pipeline, sinks, stop, score, max_latency=late, between=live.inbox.drain)
    p50, p99 = score.latency_ms()
    log.info(
        "%d faces and %d at rest; latency p50 %.1f ms, p99 %.1f ms; %d late, %d lost, "
        "%d blocks of audio dropped",
        score.faces, score.rested, p50, p99, score.dropped["late"], score.dropped["lost"],
        source.dropped,
    )  # fmt: skip


def _reload(live: Live, service: Service | None, *_: object) -> None:
    if service:
        service.reloading()
    live.reload()


def _open_control(stack: ExitStack, live: Live, score: Score, source: Source) -> None:
    """OSC in, unless it is turned off or its usual port is taken."""
    control, began = live.config.control, time.monotonic()
    if control is None:
        return

    def status() -> dict[str, object]:
        up = {"version": edgetalk_version(), "uptime_s": round(time.monotonic() - began, 1)}
        return up | describe(live, score, source)

    try:
        listener = Listener(Orders(live, status, control.allow), control)
    except MissingError as error:
        if control.port is not None:
            raise
        log.warning("%s Running without control.", str(error) + ".")
        return
    stack.enter_context(closing(listener))
    log.info("control: OSC on UDP %s:%d", *listener.address)


if __name__ == "__main__":
    sys.exit(main())
