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
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from edge.audio.capture import offline_blocks
from edge.audio.devices import list_microphones
from edge.config import Config, dump, parse, plain, read_config
from edge.console import ended_by_signals
from edge.contract import (
    ARKIT_52,
    ConfigError,
    EdgeError,
    InputError,
    Sink,
    UsageError,
    one_line,
)
from edge.diagnostics.doctor import doctor
from edge.diagnostics.probe import send_probe
from edge.outputs import open_output
from edge.outputs.common import check_delivery
from edge.preview.film import Film
from edge.recording.offline_record import record_faces
from edge.recording.output_paths import check_distinct, inputs_of
from edge.run_flags import parser
from edge.runtime import run_offline
from edge.service.logs import set_up_logs
from edge.wiring import open_pipeline, run_live

log = logging.getLogger("edge")


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
            with ended_by_signals():
                _offline(_config(args), args)
        elif args.render is not None:
            raise UsageError("--render needs --offline and --mic file:PATH")
        else:
            config = _config(args)
            check_distinct(config)
            load = partial(_config, args) if args.config else None
            run_live(config, load, inputs_of(config, args.config), args.force)
    except EdgeError as error:
        log.error("%s", error)
        return error.status
    except KeyboardInterrupt:  # only without a microphone: a live run takes the signal itself
        log.error("stopped")
        return 130
    except SystemExit as end:  # of ended_by_signals
        log.error("stopped")
        return int(end.code or 0)
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
            name, channels = one_line(mic["name"]), mic["channels"]
            index = "" if mic["index"] is None else mic["index"]
            print(f"{mark} {index:3}  {name}  ({channels} channels, {mic['rate']} Hz)")


def _offline(config: Config, args: argparse.Namespace) -> None:
    render, inputs = args.render, inputs_of(config, args.config)
    if config.mic != "-" and not config.mic.startswith("file:"):
        raise UsageError("--offline needs audio that ends: --mic file:PATH, or - for a pipe")
    if args.record_audio is not None:
        raise UsageError("--record-audio is for a live run; --offline has its audio already")
    if render is not None and not render.strip():
        raise UsageError("--render: an empty name; give a file such as OUT.mp4")
    if render and config.mic == "-":
        raise UsageError("--render needs a file for the sound: --mic file:PATH")
    check_distinct(replace(config, record_audio=None), render)
    clip = config.mic.removeprefix("file:")
    film = Film(render, clip, inputs, args.force) if render else None
    _, pipeline = open_pipeline(config)
    with ExitStack() as stack:
        # No network unless this command line names an output.
        sinks: list[Sink] = [
            stack.enter_context(closing(open_output(url))) for url in args.to or ()
        ]
        blocks = offline_blocks(config.mic, config.channel)
        if film:
            sinks.append(film)
        if config.record:
            result = record_faces(blocks, config.record, pipeline, sinks, inputs, args.force)
        else:
            result = run_offline(blocks, pipeline, sinks)
        check_delivery(sinks)
    if film:
        film.make()
    if args.json:
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
