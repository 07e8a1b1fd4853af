"""Audio that ends to a recording of its faces."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edge.contract import AudioBlock, Sink
from edge.pipeline import Pipeline
from edge.recording.face_record import open_record
from edge.runtime import Offline, run_offline


def record_faces(
    blocks: Iterable[AudioBlock],
    where: str,
    pipeline: Pipeline,
    sinks: Iterable[Sink] = (),
    inputs: Iterable[Path | int] = (),
    force: bool = False,
) -> Offline:
    """Audio that ends to a recording (as ``open_record`` names it), whole or not at all.

    ``inputs`` are the files that it must not replace, ``force`` lets it replace any other.
    """
    record = open_record(where, inputs, force)
    try:
        result = run_offline(blocks, pipeline, [*sinks, record])
        record.close()
    finally:
        record.discard()
    return result
