"""Configuration to a running process: source, pipeline, outputs, control and service joined."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge.audio.capture import Source, open_source
from edge.bundle import DEFAULT, Bundle
from edge.bundle_reader import read_bundle
from edge.config import Config
from edge.contract import Engine, InputError, MissingError, Sink
from edge.control.commands import ControlCommands, Status
from edge.control.listener import ControlListener
from edge.control.live_settings import LiveSettings
from edge.control.status import describe
from edge.inference.engine import open_engines
from edge.outputs import open_output
from edge.outputs.output_set import Outputs
from edge.pipeline import Pipeline
from edge.preview.feed import Preview
from edge.realtime import be_realtime, tight_timers
from edge.recording.audio_record import AudioRecord, RecordedSource
from edge.recording.face_record import open_record
from edge.run_stats import RunStats
from edge.runtime import run
from edge.service.logs import EveryMinute
from edge.service.meter import Meter
from edge.service.prometheus import MetricsPage
from edge.service.sd_notify import Service, managed, open_service

log = logging.getLogger(__name__)


def edgetalk_version() -> str:
    """Version of the installed package."""
    try:
        return version("edgetalk")
    except PackageNotFoundError:
        return "0+source"


def open_pipeline(config: Config) -> tuple[Bundle, Pipeline]:
    """The bundle and the engines that the configuration names."""
    bundle = read_bundle(Path(config.bundle) if config.bundle else DEFAULT)
    lookahead = bundle.lookahead_of(config.lookahead)
    engines = open_engines(bundle, config.engine, config.precision)
    return bundle, make_pipeline(config, bundle, engines, lookahead)


def make_pipeline(
    config: Config, bundle: Bundle, engines: tuple[Engine, Engine], lookahead: int
) -> Pipeline:
    """A pipeline from its first sample, with the gains and the emotion that are configured."""
    pipeline = Pipeline(bundle, engines, lookahead, config.seed, config.temperature)
    pipeline.face.set_gains(config.gains)
    emotion = config.emotion
    pipeline.face.emotion_blend.fade_to(emotion.name, emotion.intensity, emotion.blend)
    return pipeline


def _source(config: Config, stack: ExitStack, inputs: Sequence[Path | int], force: bool) -> Source:
    if config.mic == "-":
        _need_standard_input()
    # Where a service manager listens nobody is there to plug in a microphone and try again.
    wait = config.wait_mic or managed()
    source: Source = open_source(config.mic, config.queue_ms, config.channel, wait, config.realtime)
    stack.enter_context(closing(source))
    if config.record_audio:
        record = stack.enter_context(
            closing(AudioRecord(config.record_audio, inputs=inputs, force=force))
        )
        log.info("audio is being recorded to %s: tell the people nearby", config.record_audio)
        source = RecordedSource(source, record)
    return source


def _need_standard_input() -> None:
    """``InputError`` where it is closed, a folder, or open for writing alone."""
    if sys.stdin is None:
        raise InputError("--mic -: standard input is closed; pipe raw s16le 16 kHz samples into it")
    try:
        os.read(sys.stdin.fileno(), 0)
    except OSError as error:
        raise InputError(f"--mic -: standard input cannot be read ({error.strerror})") from error


def _set_by_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set from now on."""
    event = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: event.set())
    return event


def run_live(
    config: Config, load: Callable[[], Config] | None, inputs: Sequence[Path | int], force: bool
) -> None:
    """Send faces until the audio ends or a signal comes; ``load`` reads the configuration again.

    No output overwrites one of the ``inputs``, nor, without ``force``, a file of others.
    """
    tight_timers()
    bundle, pipeline = open_pipeline(config)
    stop, stats = _set_by_signals(), RunStats()
    with ExitStack() as stack:
        outputs = stack.enter_context(closing(Outputs(config.to, open_output)))
        stats.send_failures = outputs.send_failures
        sinks: list[Sink] = [outputs]
        if config.record:
            sinks.append(stack.enter_context(closing(open_record(config.record, inputs, force))))
        source = _source(config, stack, inputs, force)
        title = f"bundle {bundle.name} ({bundle.hash}), mic {config.mic}, to {', '.join(config.to)}"
        log.info("%s, declared delay %.0f ms", title, pipeline.delay * 1000)
        if config.meter:
            sinks.append(stack.enter_context(closing(Meter(sys.stdout, stats, "EdgeTalk"))))
        if config.metrics is not None:
            stack.enter_context(closing(MetricsPage(config.metrics, stats, source)))
        sinks.append(EveryMinute(stats, source))
        # Last, because systemd is told of faces that have been sent.
        if service := open_service(stats, source):
            sinks.append(stack.enter_context(closing(service)))
        live = LiveSettings(bundle, pipeline, outputs, config, load)
        signal.signal(signal.SIGHUP, partial(_reload, live, service))
        status = open_control(stack, live, stats, source)
        if config.preview is not None:
            preview = Preview(config.preview, title, live, status, stats, source)
            sinks.append(stack.enter_context(closing(preview)))
            log.info("preview: open %s", preview.url)
        if config.realtime:
            be_realtime()
        late = config.max_latency_ms / 1000
        run(source, pipeline, sinks, stop, stats, max_latency=late, between=live.inbox.drain)
    _log_totals(stats, source, outputs)


def _log_totals(stats: RunStats, source: Source, outputs: Outputs) -> None:
    p50, p99 = stats.latency_ms()
    log.info(
        "%d faces and %d at rest; latency p50 %.1f ms, p99 %.1f ms; %d late, %d lost, "
        "%d blocks of audio dropped, %d datagrams refused",
        stats.faces, stats.rested, p50, p99, stats.dropped["late"], stats.dropped["lost"],
        source.dropped, sum(outputs.send_failures().values()),
    )  # fmt: skip
    outputs.check()


def _reload(live: LiveSettings, service: Service | None, *_: object) -> None:
    if service:
        service.reloading()
    live.reload()


def open_control(stack: ExitStack, live: LiveSettings, stats: RunStats, source: Source) -> Status:
    """Listen for OSC, unless it is off or its default port is taken; returns the status."""
    control, began = live.config.control, time.monotonic()

    def status() -> dict[str, Any]:
        up = {"version": edgetalk_version(), "uptime_s": round(time.monotonic() - began, 1)}
        return up | describe(live, stats, source)

    if control is None:
        return status
    try:
        listener = ControlListener(ControlCommands(live, status, control.allow), control)
    except MissingError as error:
        if control.port is not None:
            raise
        log.warning("%s Running without control.", str(error) + ".")
        return status
    stack.enter_context(closing(listener))
    log.info("control: OSC on UDP %s:%d", *listener.address)
    return status
