"""One measured process: a clip to faces on this core; one JSON line like those of the peers.

``python speed_child.py CLIP REPS [BLOCK] [PRECISION] [URL] [--stages | --turns]``. With ``--turns``
it plays the clip once for each line on standard input and answers with the CPU seconds. Uses only
what has been in ``edge`` for long, so that an older commit can be measured by the same file.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import FPS, SAMPLE_RATE, AudioBlock, Sink
from edge.inference.engine import open_engines
from edge.outputs import open_output
from edge.pipeline import Pipeline


def timed(owner: Any, name: str, into: list[int]) -> None:
    """Make a method note how many ns each call took."""
    call: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **named: Any) -> Any:
        began = time.perf_counter_ns()
        out = call(*args, **named)
        into.append(time.perf_counter_ns() - began)
        return out

    setattr(owner, name, wrapped)


def play(pipeline: Pipeline, blocks: list[AudioBlock], sink: Sink | None) -> int:
    """The whole clip from a fresh start; returns the number of faces."""
    pipeline.restart()
    faces = 0
    for block in blocks:
        for frame in pipeline.push(block):
            faces += 1
            if sink is not None:
                sink.send(frame)
    return faces


def stages(
    pipeline: Pipeline, blocks: list[AudioBlock], sink: Any, total: float
) -> dict[str, float]:
    """Median µs a face of each stage as they follow one another, caches as cold as they are.

    What is left of ``total``, the µs that a face took without stopwatches, is everything else.
    """
    took: dict[str, list[int]] = {}
    for name, owner, method in (
        ("features", pipeline._features, "_describe"),
        ("generator", pipeline._generator, "step"),
        ("decoder", pipeline._decoder, "step"),
        ("face", pipeline.face, "shape"),
        ("send", sink._sink._target, "send"),
        ("encode and send", sink, "send"),
    ):
        timed(owner, method, took.setdefault(name, []))
    for _ in range(5):
        play(pipeline, blocks, sink)
    # A face may take several datagrams, so sends are added up a face.
    a_face = {
        name: float(np.median(t)) / 1000 * len(t) / len(took["face"]) for name, t in took.items()
    }
    a_face["encode"] = a_face.pop("encode and send") - a_face["send"]
    a_face["everything else"] = max(0.0, total - sum(a_face.values()))
    return {name: round(us, 2) for name, us in a_face.items()}


def calls_a_face(pipeline: Pipeline, blocks: list[AudioBlock]) -> float:
    """Python and C function calls from samples to a face, as cProfile counts them."""
    profile = cProfile.Profile()
    faces: int = profile.runcall(play, pipeline, blocks, None)
    return round(pstats.Stats(profile).total_calls / faces, 1)  # type: ignore[attr-defined]


def main() -> None:
    """Measure and print."""
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    clip, reps = words[0], int(words[1])
    block = int(words[2]) if len(words) > 2 else SAMPLE_RATE // 100
    precision = words[3] if len(words) > 3 else "fp32"
    sink: Any = open_output(words[4]) if len(words) > 4 else None
    bundle = read_bundle(DEFAULT)
    pipeline = Pipeline(bundle, open_engines(bundle, "onnxruntime", precision))
    samples = read_audio(clip)
    blocks = [AudioBlock(samples[i : i + block], i, 0.0) for i in range(0, len(samples), block)]
    if "--turns" in sys.argv:
        for _ in sys.stdin:
            began = time.process_time()
            play(pipeline, blocks, sink)
            print(time.process_time() - began, flush=True)
        return
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(reps):
        play(pipeline, blocks, sink)
    audio = len(samples) / SAMPLE_RATE * reps
    result: dict[str, Any] = {
        "cpu_s_per_audio_s": (time.process_time() - cpu) / audio,
        "wall_s_per_audio_s": (time.perf_counter() - wall) / audio,
        "audio_s": audio / reps,
        "reps": reps,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }
    if "--stages" in sys.argv:
        result["calls_a_face"] = calls_a_face(pipeline, blocks)
        total = result["cpu_s_per_audio_s"] / FPS * 1e6
        result["stages_us"] = stages(pipeline, blocks, sink, total)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
