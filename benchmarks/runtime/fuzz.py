"""Damaged files to everything that reads one: refused in a sentence, at once, with nothing left.

    python -m benchmarks.runtime.fuzz [--files N]

A sixth each are edge.yaml, bundle.yaml, codes.npz, an ONNX network, a WAV and a recording, with
bytes changed, cut, repeated or replaced by what parsers stumble over; ``bundle.yaml`` is given the
right SHA-256 of a damaged file, as a liar would. The sound goes all the way to a recording. The
datagrams are in ``benchmarks.runtime.control_flood``.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import random
import re
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks import DEMO, RESULTS, ROOT
from edge.audio.audio_file import read_audio
from edge.audio.capture import file_blocks
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.config import Config, read_config
from edge.contract import ARKIT_52, SAMPLE_RATE, EdgeError
from edge.inference.engine import OnnxEngine, open_engines
from edge.preview.replay import read_record
from edge.recording.offline_record import record_faces
from edge.wiring import make_pipeline
from quantize.evaluation.record import write_record

SEED = 16
FILES = 10_000
HEAD = 100
"""Bytes at the beginning of a file that get half of the faults, because headers are believed."""
HANG_S = 2.0
MOST_MEMORY = 4 << 30
"""Bytes of address space; ONNX Runtime and numpy take one gigabyte of it for nothing."""
GIVE_UP_S = 5
"""Seconds after which a case is interrupted."""
STUMBLES = [
    *(
        b".inf",
        b"-.nan",
        b"&a [*a]",
        b"[" * 600,
        b"{" * 40,
        b"!!int ''",
        b"!!python/name:os.system",
    ),
    *(b"\0", b"\n", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"9" * 400, b"0x" + b"f" * 4000),
    *(b"../../x", b"-1", b"null", b"\xf0\x9f\xa6\x9c", b"\xed\xa0\x80", b",", b": ", b"nan"),
]

Read = Callable[[Path], object]
"""Reads the damaged file; anything but an ``EdgeError`` is a traceback."""


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The same bytes with one to four faults."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        near = min(len(out), HEAD) if rng.random() < 0.5 else len(out)
        at, width = rng.randrange(near + 1), rng.choice((1, 4, 50, 1000))
        kind = rng.randrange(6)
        if kind == 0:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del out[at : at + width]
        elif kind == 2:
            out[at:at] = out[at : at + width] * rng.randint(1, 20)
        elif kind == 3:
            out[at : at + rng.choice((0, 4, 8))] = rng.choice(STUMBLES)
        elif kind == 4:
            out[at:at] = rng.randbytes(width)
        elif rng.random() < 0.3:
            del out[at:]
    return bytes(out)


class Targets:
    """What is damaged, and what reads it, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._out = folder / "out"
        self._out.mkdir(parents=True)
        self._bundle = Path(shutil.copytree(DEFAULT, folder / "bundle"))
        self._whole = read_bundle(DEFAULT)
        self._engines = open_engines(self._whole, "onnxruntime")
        speech = read_audio(DEMO)[: SAMPLE_RATE // 5]
        soundfile.write(wav := folder / "good.wav", speech, SAMPLE_RATE)
        rows = np.linspace(0, 1, 5 * 53).reshape(5, 53)
        sheet = "\n".join(",".join(f"{v:.4f}" for v in row) for row in rows)
        self.kinds: dict[str, tuple[Path, bytes, Read]] = {
            kind: (path, data, read)
            for kind, path, data, read in (
                ("edge.yaml", folder / "edge.yaml", self._text(ROOT / "systemd"), read_config),
                ("bundle.yaml", self._bundle / "bundle.yaml", b"", self._read_bundle),
                ("npz", self._bundle / "codes.npz", b"", self._read_named),
                ("onnx", self._bundle / "decoder.onnx", b"", self._read_named),
                ("wav", folder / "clip.wav", wav.read_bytes(), self._record),
                (
                    "csv",
                    folder / "face.csv",
                    f"time_s,{','.join(ARKIT_52)}\n{sheet}\n".encode(),
                    read_record,
                ),
            )
        }
        for kind, (path, data, read) in self.kinds.items():
            self.kinds[kind] = (path, data or path.read_bytes(), read)
        self._good = (self._bundle / "bundle.yaml").read_text("utf-8")

    @staticmethod
    def _text(folder: Path) -> bytes:
        """The example without its comments, so that damage hits values."""
        return re.sub(rb"(?m)^\s*#.*\n", b"", (folder / "edge.yaml").read_bytes())

    def _read_bundle(self, path: Path) -> None:
        read_bundle(path.parent).tables()

    def _read_named(self, path: Path) -> None:
        """A file of the bundle whose hash is put right."""
        was = hashlib.sha256((DEFAULT / path.name).read_bytes()).hexdigest()
        now = hashlib.sha256(path.read_bytes()).hexdigest()
        (path.parent / "bundle.yaml").write_text(self._good.replace(was, now), "utf-8")
        bundle = read_bundle(path.parent)
        bundle.tables()
        if path.suffix == ".onnx":
            OnnxEngine(path.parent, bundle.decoder)

    def _record(self, path: Path) -> None:
        pipeline = make_pipeline(Config(), self._whole, self._engines, self._whole.lookahead)
        record_faces(file_blocks(str(path)), f"csv:{self._out / 'face.csv'}", pipeline)

    def half_written(self, refused: bool) -> bool:
        """Is there anything but a whole recording of a file that was not refused?"""
        left = list(self._out.iterdir())
        whole = all(p.name == "face.csv" and p.read_bytes().endswith(b"\n") for p in left)
        for path in left:
            path.unlink()
        return not whole or (refused and bool(left))

    def one(self, kind: str, number: int) -> dict[str, Any]:
        """Damage, read, put right again; what came of it."""
        path, data, read = self.kinds[kind]
        path.write_bytes(damaged(data, random.Random(f"{SEED} {kind} {number}")))
        came: dict[str, Any] = {"kind": kind, "number": number, "end": "accepted"}
        began = time.monotonic()
        signal.alarm(GIVE_UP_S)
        try:
            read(path)
        except EdgeError as error:
            came["end"] = "refused" if str(error).isprintable() else "more than one line"
        except Exception as error:
            came |= {"end": "traceback", "why": repr(error)[:200]}
        signal.alarm(0)
        came["seconds"] = time.monotonic() - began
        came["half_written"] = self.half_written(came["end"] != "accepted")
        path.write_bytes(data)
        if path.parent == self._bundle:
            (self._bundle / "bundle.yaml").write_text(self._good, "utf-8")
        return came


def _gave_up(*_: object) -> None:
    raise TimeoutError("it hangs")


def work(pipe: Connection, folder: Path, cases: list[tuple[str, int]]) -> None:
    """In a process of its own, because a damaged network may take the process with it."""
    signal.signal(signal.SIGALRM, _gave_up)
    # A file that takes all memory must not take the machine with it: here it is a traceback.
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    targets = Targets(folder)
    for kind, number in cases:
        pipe.send(targets.one(kind, number))
    pipe.close()


def fuzz(files: int) -> dict[str, Any]:
    """Read so many damaged files; figures for the record."""
    names = ("edge.yaml", "bundle.yaml", "npz", "onnx", "wav", "csv")
    cases = [(names[i % len(names)], i // len(names)) for i in range(files)]
    came: list[dict[str, Any]] = []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as top:
        while len(came) < files:
            ours, theirs = context.Pipe(duplex=False)
            folder, left = Path(top) / str(len(came)), cases[len(came) :]
            process = context.Process(target=work, args=(theirs, folder, left))
            process.start()
            theirs.close()
            try:
                while True:
                    came.append(ours.recv())
            except EOFError:
                process.join()
            if len(came) < files:
                if process.exitcode is None or process.exitcode >= 0:
                    raise RuntimeError("the fuzz itself failed, see above")
                kind, number = cases[len(came)]
                came.append({"kind": kind, "number": number, "end": f"exit {process.exitcode}"})
            shutil.rmtree(folder, ignore_errors=True)
    return summary(came)


def summary(came: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by kind, and each case that should not be."""
    bad = [c for c in came if c["end"] not in ("accepted", "refused")]
    hangs = [c for c in came if c.get("seconds", 0.0) > HANG_S]
    return {
        "files": len(came),
        "seed": SEED,
        "kinds": {
            kind: dict(Counter(c["end"] for c in came if c["kind"] == kind))
            for kind in dict.fromkeys(c["kind"] for c in came)
        },
        "tracebacks": len(bad),
        "hangs": len(hangs),
        "half_written": sum(c.get("half_written", False) for c in came),
        "slowest_s": round(max(c.get("seconds", 0.0) for c in came), 3),
        "examples": [{k: c[k] for k in c if k != "seconds"} for c in (*bad, *hangs)[:20]],
    }


def main() -> None:
    """Measure, print and write."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    p.add_argument("--files", type=int, default=FILES)
    results = fuzz(p.parse_args().files)
    print(write_record("fuzz", results, RESULTS).read_text())


if __name__ == "__main__":
    main()
