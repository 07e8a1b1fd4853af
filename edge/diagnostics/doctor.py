"""``edge-run --doctor``: what a voice needs on its way to an avatar, looked at piece by piece."""

from __future__ import annotations

import errno
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edge.audio.audio_file import clean
from edge.audio.capture import open_source
from edge.audio.devices import list_microphones
from edge.bundle import Bundle
from edge.config import Config
from edge.contract import (
    FPS,
    SAMPLE_RATE,
    AudioBlock,
    EdgeError,
    Floats,
    InputError,
    one_line,
    quoted,
)
from edge.diagnostics.finding import Finding
from edge.diagnostics.machine import look_at_machine
from edge.outputs import open_output
from edge.pipeline import Pipeline

LISTEN = 2.0
"""Seconds of the speak test."""
PATIENCE = 3.0
"""Seconds until a microphone that says nothing is called dead; PulseAudio was measured to need up
to 1.9 s for its first sound."""
ASK = b"#bundle\0\0\0\0\0\0\0\0\1"
"""An OSC bundle with nothing in it: it moves no avatar."""

OpenPipeline = Callable[[Config], tuple[Bundle, Pipeline]]


def doctor(config: Config, open_pipeline: OpenPipeline, as_json: bool) -> int:
    """Look at everything, print a line each; the exit status of the worst, 0 if all can run."""
    findings = []
    for finding in examine(config, open_pipeline):
        findings.append(finding)
        if not as_json:
            text = one_line(finding.text)  # names of files, devices and bundles are in it
            print(f"{finding.verdict:4}  {finding.what:10}  {text}", flush=True)
    # 78 (edit a file) before 69 (install something) before 66 (plug something in).
    status = max(finding.status for finding in findings)
    if as_json:
        print(json.dumps({"status": status, "findings": [asdict(f) for f in findings]}))
    return status


def examine(config: Config, open_pipeline: OpenPipeline) -> Iterator[Finding]:
    """Every finding, in the order of the way from voice to avatar."""
    yield from look_at_microphones(config)
    yield from look_at_networks(config, open_pipeline)
    yield from look_at_machine(Path("/"))
    for url in config.to:
        yield look_at_output(url)


def look_at_microphones(
    config: Config, clock: Callable[[], float] = time.monotonic
) -> Iterator[Finding]:
    """What PortAudio offers, and what the chosen microphone hears in two seconds."""
    if config.mic == "-" or config.mic.startswith("file:"):
        yield Finding("microphone", "ok", f"'{config.mic}' is no device, so nothing is listened to")
        return
    try:
        found = list_microphones()
        names = "; ".join(f"{m['index']} {m['name']} ({m['rate']} Hz)" for m in found)
        if not found:
            raise InputError(
                "PortAudio sees no microphone: plug one in; a user outside the group 'audio' sees "
                "none either"
            )
        yield Finding("portaudio", "ok", names)
        print(f"edge-run: say something to {quoted(config.mic)} ...", file=sys.stderr, flush=True)
        yield judge(listen(config, clock))
    except EdgeError as error:
        yield Finding("microphone", "fail", str(error), error.status)


def listen(config: Config, clock: Callable[[], float]) -> Floats:
    """Two seconds (n,) of the microphone, or ``InputError`` if none come."""
    received: list[Floats] = []
    wanted, till = LISTEN * SAMPLE_RATE, clock() + LISTEN + PATIENCE
    with closing(open_source(config.mic, config.queue_ms, config.channel)) as source:
        while sum(map(len, received)) < wanted and clock() < till:
            if (block := source.read(0.1)) is not None:
                received.append(block.samples)
    if not received:
        raise InputError(
            f"microphone '{config.mic}' opens but gives no audio: is it unplugged, suspended or "
            "held by another program?"
        )
    return np.concatenate(received)


def judge(samples: Floats) -> Finding:
    """Is this audio that a face can be made from?"""
    broken = not np.isfinite(samples).all()
    samples = clean(samples)
    frames = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600)  # (T, 0.1 s)
    levels = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    loud, floor = float(levels.max(initial=-120)), float(np.percentile(levels, 10))
    figures = f"loudest {loud:.0f} dBFS, noise floor {floor:.0f} dBFS"
    clipped = float((np.abs(samples) >= 0.999).mean())
    if broken:
        trouble = "sends values that are no sound (NaN or infinite): choose another"
    elif not samples.any():
        trouble = "hears digital silence: unmute it (alsamixer, pavucontrol), or choose another"
    elif clipped > 1e-3:
        trouble = f"clips {clipped:.1%} of the time: turn its gain down"
    elif floor > -45 and loud - floor < 12:
        trouble = "hears steady noise: move it away from fans, or turn its gain down"
    elif loud < -45:
        trouble = "hears too little: speak during the test, turn its gain up, or choose another"
    else:
        return Finding("microphone", "ok", f"hears speech ({figures})")
    return Finding("microphone", "warn", f"{trouble} ({figures})")


def look_at_networks(config: Config, open_pipeline: OpenPipeline) -> Iterator[Finding]:
    """Is the bundle whole, and fast enough here?"""
    try:
        bundle, pipeline = open_pipeline(config)
    except EdgeError as error:
        yield Finding("bundle", "fail", str(error), error.status)
        return
    offered = ", ".join(map(str, bundle.layout.lookaheads_ms))
    yield Finding("bundle", "ok", f"{bundle.name} ({bundle.hash}), look-aheads {offered} ms")
    p50, p99 = step_us(pipeline)
    text = f"a face takes {p50:.0f} us (p50), {p99:.0f} us (p99) of {1e6 / FPS:.0f}"
    if p99 < 0.5e6 / FPS:
        yield Finding("engine", "ok", text)
    else:
        yield Finding("engine", "warn", f"{text}: close other programs, and see 'clocks' below")


def step_us(pipeline: Pipeline, faces: int = 300) -> tuple[float, float]:
    """Median and 99th percentile of the microseconds from audio to a face."""
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE // FPS + 1).astype(np.float32)
    took = []
    for i in range(faces + 30):
        began = time.perf_counter()
        pipeline.push(AudioBlock(noise * np.float32(0.05), i * len(noise), began))
        took.append(time.perf_counter() - began)
    p50, p99 = np.percentile(took[30:], (50, 99)) * 1e6  # the first ones warm caches
    return float(p50), float(p99)


def look_at_output(url: str) -> Finding:
    """Can a datagram go there, and does the machine there say that nobody listens?"""
    try:
        sink = open_output(url)
    except EdgeError as error:
        return Finding("output", "fail", str(error), error.status)
    # Connected, unlike the real output: so the system reports what comes back over ICMP. A name may
    # have several addresses, and a receiver listens on one: this is the output's own.
    with closing(sink), sink.target.open_socket() as probe:
        probe.settimeout(0.3)
        try:
            probe.connect(sink.target.address)
            probe.send(ASK)
            probe.recv(1)
        except ConnectionRefusedError:
            return Finding(
                "output", "warn",
                f"{url}: nobody listens there: start the avatar program, and compare the port",
            )  # fmt: skip
        except TimeoutError:
            pass  # the usual silence of a UDP receiver
        except OSError as error:
            way = "check network and address"
            if error.errno == errno.EPERM:
                way = "a firewall or the service's IPAddressDeny stops it, see systemd/lan.conf"
            return Finding("output", "fail", f"{url}: {error.strerror}: {way}", 69)
    return Finding("output", "ok", f"{url}: sent, and not refused; see it with edge-run --probe")
