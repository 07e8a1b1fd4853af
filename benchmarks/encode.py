"""Faces to datagrams: median time of each scheme beside python-osc in the same run."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract import ARKIT_52, BlendshapeFrame
from edge.outputs import SCHEMES, open_output

URLS = [*SCHEMES, "vmc?preset=vrm1", "vmc?case=both", "vrchat?mode=visemes", "osc?form=named"]
RESULT = Path(__file__).parent / "results/encode.json"


class Nowhere:
    """Takes datagrams and forgets them, so that only the encoding is timed."""

    name = "nowhere"

    def send(self, data: bytes) -> None:
        """Forget."""

    def receive(self) -> None:
        """Nothing ever comes."""

    def close(self) -> None:
        """Nothing to release."""


def faces(count: int = 2000) -> list[BlendshapeFrame]:
    """Shapes that move slowly, as a face does: every value changes by up to 0.05 a frame."""
    phase = np.random.default_rng(0).uniform(0, 6, 52)
    weights = [(0.5 + 0.5 * np.sin(phase + i * 0.1)).astype(np.float32) for i in range(count)]
    return [BlendshapeFrame(w, 1, time.monotonic()) for w in weights]


def timed(call: Callable[[BlendshapeFrame], Any], count: int) -> dict[str, float]:
    """Microseconds a face."""
    took = []
    for frame in faces(count):
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
        rows[url] = timed(sink.send, 2000)
    peer = timed(python_osc, 300)
    sinks = [open_output(f"{s}://127.0.0.1:9") for s in ("vmc", "livelink", "osc", "json")]

    def four(frame: BlendshapeFrame) -> None:
        for sink in sinks:
            sink.send(frame)

    sending = timed(four, 2000)
    for row in rows.values():
        row["times_faster"] = round(peer["p50_us"] / row["p50_us"], 1)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    result = {
        "git": commit.stdout.strip(), "machine": platform.machine(), "python_osc": peer,
        "python": platform.python_version(), "encode": rows, "four_targets_with_sends": sending,
    }  # fmt: skip
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    for name, row in {**rows, "python-osc (vmc)": peer, "four with sends": sending}.items():
        ratio = row.get("times_faster", "")
        print(f"{name:22} p50 {row['p50_us']:8} us   p99 {row['p99_us']:8} us   {ratio}")


if __name__ == "__main__":
    main()
