"""``for frame in edge.faces("speech.wav")``: faces for a Python program of your own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

from edge.audio.audio_file import SUFFIXES
from edge.audio.capture import Source, file_blocks, open_source
from edge.config import Config, parse, plain
from edge.contract import SAMPLE_RATE, BlendshapeFrame, InputError
from edge.pipeline import Pipeline
from edge.runtime import RestPacer, offline_faces
from edge.wiring import open_pipeline


def faces(
    source: str | os.PathLike[str] = "default",
    *,
    lookahead: int | None = None,
    emotion: str | None = None,
    bundle: str | os.PathLike[str] | None = None,
    seed: int = 0,
    channel: int | None = None,
) -> Generator[BlendshapeFrame, None, None]:
    """Every face of an audio file, or of a microphone for as long as the loop runs.

    ``source`` is a file if it is a path, ends in an audio suffix or begins with ``file:``; its
    faces come as fast as the loop takes them. Anything else is a microphone, by the names of
    ``edge-run --mic`` (``default``, part of a name, an index); its faces come 60 times a second,
    also while no audio comes, and audio that waits for longer than 120 ms is dropped. Leaving
    the loop closes the microphone.

    ``lookahead`` is in ms, one of the bundle's (0, 33, 67, 133 for the shipped one). ``emotion`` is
    that of every face. ``seed`` sets blinks, glances and head motion. ``channel`` counts from 1;
    without it the channel with the voice is taken.

    Raises ``EdgeError`` at the first face: a file or microphone that is not there, a bundle that
    cannot run, an unknown emotion.
    """
    given: dict[str, object] = {"lookahead": lookahead, "seed": seed, "channel": channel}
    if bundle is not None:
        given["bundle"] = os.fspath(bundle)
    if emotion is not None:
        given["emotion"] = {"name": emotion, "blend": 0.0}
    config = parse(plain(Config()) | given, "edge.faces")
    path = _file(source)
    _, pipeline = open_pipeline(config)
    if path:
        yield from offline_faces(file_blocks(path, SAMPLE_RATE, channel), pipeline)
    else:
        with closing(_microphone(os.fspath(source), config.queue_ms, channel)) as microphone:
            yield from live_faces(microphone, pipeline)


def _file(source: str | os.PathLike[str]) -> str | None:
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"edge.faces({source!r}): give a path, or a microphone's name as a str")
    text = os.path.expanduser(os.fspath(source))
    if text.startswith("file:"):
        return text.removeprefix("file:")
    named = not isinstance(source, str) or Path(text).suffix.lower() in SUFFIXES
    if os.path.isdir(text) and (named or os.sep in text):
        raise _folder(text)
    return text if named else None


def _folder(path: str) -> InputError:
    return InputError(f"{path} is a folder: give a file in it (edge-batch takes folders)")


def _microphone(name: str, queue_ms: int, channel: int | None) -> Source:
    try:
        return open_source(name, queue_ms, channel)
    except InputError as error:  # a bare name, such as "default", is a microphone's first
        raise (_folder(name) if os.path.isdir(name) else error) from None


def live_faces(
    source: Source, pipeline: Pipeline, clock: Callable[[], float] = time.monotonic
) -> Iterator[BlendshapeFrame]:
    """Faces of audio as it comes, and at rest 60 times a second while none does."""
    pacer = RestPacer(clock)
    while True:
        try:
            block = source.read(pacer.timeout())
        except EOFError:
            return
        if block is not None:
            yield from pipeline.push(block)
            pacer.audio_came()
        elif (now := pacer.due()) is not None:
            yield pipeline.rest(now)
