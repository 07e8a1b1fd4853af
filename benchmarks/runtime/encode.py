"""Faces to datagrams: median time of each scheme beside python-osc in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from benchmarks import DEMO, RESULTS
from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import ARKIT_52, AudioBlock, BlendshapeFrame
from edge.inference.engine import open_engines
from edge.outputs import SCHEMES, open_output
from edge.pipeline import Pipeline
from quantize.evaluation.record import write_record

URLS = [
    *SCHEMES, "vmc?preset=vrm1", "vmc?case=both", "vrchat?mode=visemes&prefix=FT",
    "vrchat?binary=4", "osc?form=named", "json?form=array",
]  # fmt: skip


class Nowhere:
    """Takes datagrams and forgets them, so that only the encoding is timed."""

    name = "nowhere"

    def send(self, data: bytes | memoryview) -> None:
        """Forget."""

    def receive(self) -> None:
        """Nothing ever comes."""

    def close(self) -> None:
        """Nothing to release."""


@cache
def faces() -> list[BlendshapeFrame]:
    """The faces of the demo clip; how many shapes change from face to face matters to VRChat."""
    bundle = read_bundle(DEFAULT)
    pipeline = Pipeline(bundle, open_engines(bundle))
    return pipeline.push(AudioBlock(read_audio(DEMO), 0, time.monotonic()))


def timed(call: Callable[[BlendshapeFrame], Any], rounds: int = 3) -> dict[str, float]:
    """Microseconds a face."""
    took = []
    for frame in faces() * rounds:
        began = time.perf_counter_ns()
        call(frame)
        took.append((time.perf_counter_ns() - began) / 1000)
    p50, p99 = np.percentile(took, (50, 99))
    return {"p50_us": round(float(p50), 2), "p99_us": round(float(p99), 2)}


def python_osc(frame: BlendshapeFrame) -> bytes:
    """The bundle of ``vmc`` as python-osc builds it."""
    from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
    from pythonosc.osc_message_builder import OscMessageBuilder

    bundle = OscBundleBuilder(IMMEDIATELY)
    for name, value in zip(ARKIT_52, frame.weights.tolist(), strict=True):
        content = OscMessageBuilder("/VMC/Ext/Blend/Val")
        content.add_arg(name)
        content.add_arg(value)
        bundle.add_content(content.build())
    return bytes(bundle.build().dgram)


def main() -> None:
    """Measure, print, write."""
    rows = {}
    for url in URLS:
        scheme, _, query = url.partition("?")
        sink: Any = open_output(f"{scheme}://127.0.0.1:9" + (f"?{query}" if query else ""))
        sink._sink._target.close()
        sink._sink._target = Nowhere()
        rows[url] = timed(sink.send)
    peer = timed(python_osc, 1)
    sinks = [open_output(f"{s}://127.0.0.1:9") for s in ("vmc", "livelink", "osc", "json")]

    def four(frame: BlendshapeFrame) -> None:
        for sink in sinks:
            sink.send(frame)

    sending = timed(four)
    for row in rows.values():
        row["times_faster"] = round(peer["p50_us"] / row["p50_us"], 1)
    results = {"python_osc": peer, "encode": rows, "four_targets_with_sends": sending}
    print(write_record("encode", results, RESULTS))
    for name, row in {**rows, "python-osc (vmc)": peer, "four with sends": sending}.items():
        ratio = row.get("times_faster", "")
        print(f"{name:22} p50 {row['p50_us']:8} us   p99 {row['p99_us']:8} us   {ratio}")


if __name__ == "__main__":
    main()
