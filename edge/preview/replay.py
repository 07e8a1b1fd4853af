"""``edge-preview``: a recording of faces and its sound to a page that plays both."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before the libraries are loaded
    from edge.console import edge_preview

    sys.exit(edge_preview())

import argparse
import io
import signal
import threading
import wave
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from edge.audio.decode import open_audio
from edge.config import at_home
from edge.contract import ARKIT_52, EdgeError, Floats, InputError, UsageError, cut
from edge.files import open_regular
from edge.preview.server import PORT, PreviewServer, about

EXAMPLES = """\
examples:
  edge-run --mic file:clip.wav --offline --record record.csv
  edge-preview record.csv clip.wav        then open http://127.0.0.1:39542/ and press play

The sound is what keeps time: the head shows the face that belongs to the sample being heard.
"""

MOST_BYTES = 1 << 30
"""Of a file to replay: all of it is held in memory."""
MOST_HEAD = 64 * 1024
"""Letters of a recording's first line."""


def read_record(path: Path) -> Floats:
    """A CSV of ``--record`` to (faces, 53): seconds, then the weights in ``ARKIT_52`` order."""
    try:
        with io.TextIOWrapper(open_regular(path, MOST_BYTES), "ascii") as file:
            names = file.readline(MOST_HEAD).strip().split(",")
            missing = [name for name in ("time_s", *ARKIT_52) if name not in names]
            if missing:
                raise InputError(
                    f"{path}: no column '{missing[0]}'; give a file of edge-run --record csv:OUT"
                )
            lines = file.readlines()
            if not lines:
                raise InputError(f"{path}: it holds no face; record it again")
            rows = np.loadtxt(lines, np.float32, delimiter=",", ndmin=2)
            if rows.shape[1] != len(names):
                raise ValueError(f"{len(names)} names for {rows.shape[1]} columns")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a file of edge-run --record") from error
    except ValueError as error:  # not a number, a short row, or not text at all
        raise InputError(f"{path}: damaged ({cut(str(error), 200)}); record it again") from error
    return rows[:, [names.index(name) for name in ("time_s", *ARKIT_52)]]


def read_clip(path: Path) -> bytes:
    """A sound file as a WAV that every browser plays: 16 bit, its own rate, up to two channels."""
    out = io.BytesIO()
    with open_audio(path) as sound, wave.open(out, "wb") as file:
        file.setnchannels(min(sound.channels, 2))
        file.setsampwidth(2)
        file.setframerate(sound.rate)
        for block in sound.blocks:
            loud = np.clip(np.nan_to_num(block[:, :2]) * 32768, -32768, 32767)
            file.writeframes(loud.astype("<i2").tobytes())
    return out.getvalue()


def replay_files(record: Path, clip: Path, mode: str = "replay") -> Mapping[str, bytes]:
    """What a page needs to play both."""
    return {
        "/recording.bin": read_record(record).astype("<f4").tobytes(),
        "/clip.wav": read_clip(clip),
        "/about.json": about(mode, record.name),
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        "edge-preview",
        description="Play a recording of edge-run on a head in the browser, with its sound.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("record", type=at_home, metavar="RECORD.csv", help="of edge-run --record")
    p.add_argument("clip", type=at_home, metavar="CLIP.wav", help="the audio that it was made from")
    p.add_argument("--port", type=int, default=PORT, help=f"on this machine (default {PORT})")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; returns the exit status."""
    args = parser().parse_args(argv)
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    try:
        if not 0 <= args.port <= 65535:
            raise UsageError(f"--port {cut(str(args.port))}: give a port from 0 (any) to 65535")
        with closing(PreviewServer(args.port, replay_files(args.record, args.clip))) as server:
            print(f"open {server.url}; Ctrl-C ends it", flush=True)
            while not stop.wait(3600):  # with a limit, or Windows would not see Ctrl-C
                pass
    except EdgeError as error:
        print(f"edge-preview: {error}", file=sys.stderr)
        return error.status
    return 0
