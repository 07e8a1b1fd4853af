"""The flags of ``edge-run``; every default is in ``edge.config.Config``."""

from __future__ import annotations

import argparse

from edge.bundle import PRECISIONS
from edge.inference.engine import ENGINES
from edge.wiring import edgetalk_version

TO = """SCHEME://HOST:PORT?OPTIONS, repeatable; vmc, vrchat, livelink, ifacialmocap, facecap, osc,
json; see docs/receivers.md"""

RECORD = """write every face to OUT; FORMAT is csv (52 ARKit columns), livelink (CSV as an iPhone's
Live Link Face records it), json or glb (animated glTF); without FORMAT OUT's suffix says it"""

EXAMPLES = """\
examples:
  edge-run --meter                                    default microphone to VMC on this machine
  edge-run --mic "USB Audio" --to vmc://10.0.0.7:39539
  edge-run --to vmc://10.0.0.7 --to "livelink://10.0.0.8?region=lower"
  edge-run --mic file:speech.wav --offline --record face.csv
  edge-run --mic file:speech.wav --offline --record livelink:take1.csv
  edge-run --mic file:speech.wav --offline --render speech.mp4
  edge-run --preview                                  a live head at http://127.0.0.1:39542
  arecord -f S16_LE -r 16000 -c 1 | edge-run --mic -
  edge-run --to "vmc://127.0.0.1?preset=vrm1" --to "livelink://10.0.0.9?fps=30&region=mouth"

exit status: 0 done, 2 usage, 66 no input (file or microphone), 69 something is missing or cannot be
written to (library, bundle, host, output), 78 bad configuration, 130 stopped by Ctrl-C,
129 or 143 --offline ended by SIGHUP or SIGTERM
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        "edge-run",
        description="A live voice to 52 ARKit blendshapes, sent to an avatar over OSC/UDP.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _input_flags(p)
    _face_flags(p)
    _output_flags(p)
    _question_flags(p)
    return p


def _input_flags(p: argparse.ArgumentParser) -> None:
    """What is heard."""
    p.add_argument(
        "--mic",
        help="default, NAME (of PortAudio or of a PulseAudio or PipeWire source), INDEX, file:PATH,"
        " or - for raw s16le 16 kHz",
    )
    p.add_argument(
        "--channel", type=int, metavar="N", help="from 1 (default: the one with the voice)"
    )
    p.add_argument("--wait-mic", action="store_true", default=None, help="start without it, wait")
    p.add_argument(
        "--offline", action="store_true", help="file or pipe: as fast as possible, no pacing"
    )


def _face_flags(p: argparse.ArgumentParser) -> None:
    """What makes the face."""
    p.add_argument("--bundle", metavar="DIR", help="trained networks (default: the ones shipped)")
    p.add_argument("--config", metavar="FILE", help="edge.yaml; flags win over it")
    p.add_argument("--lookahead", type=int, metavar="MS", help="future audio that a face may use")
    p.add_argument("--engine", choices=ENGINES, help="what runs the networks (default: auto)")
    p.add_argument("--precision", choices=PRECISIONS, help="of the networks")
    p.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="sample the face, by --seed: 0 takes the likeliest (default), 1 samples as predicted",
    )
    p.add_argument("--seed", type=int, metavar="N", help="of blinks, glances, head motion, draws")
    p.add_argument(
        "--max-latency",
        type=int,
        metavar="MS",
        dest="max_latency_ms",
        help="drop a face rather than send it later than this (default 150)",
    )
    p.add_argument(
        "--realtime",
        action="store_true",
        default=None,
        help="SCHED_FIFO and mlockall, where permitted",
    )


def _output_flags(p: argparse.ArgumentParser) -> None:
    """Where faces go, and who steers them."""
    p.add_argument("--to", action="append", metavar="URL", help=TO)
    p.add_argument("--record", metavar="[FORMAT:]OUT", help=RECORD)
    p.add_argument(
        "--record-audio",
        metavar="OUT.wav",
        help="keep the last 5 to 10 minutes of audio in OUT.wav and OUT.old.wav, for support."
        " People nearby are recorded: tell them, and delete the files. Without this no audio is"
        " ever stored or sent. Not with --offline",
    )
    p.add_argument("--control", metavar="PORT", help="of OSC control on loopback, or off")
    p.add_argument("--meter", action="store_true", default=None, help="live view in the terminal")
    p.add_argument(
        "--preview",
        nargs="?",
        type=int,
        const=39542,
        metavar="PORT",
        help="a live head in a browser on this machine (default port 39542)",
    )
    p.add_argument(
        "--render",
        metavar="OUT.mp4",
        help="with --offline: a film of the head with the sound; needs Chromium and ffmpeg",
    )
    p.add_argument(
        "--force",
        action="store_true",
        help="let --record, --record-audio and --render overwrite a file that edge-run did not"
        " write; never an input",
    )


def _question_flags(p: argparse.ArgumentParser) -> None:
    """What is asked instead of running, and how it is answered."""
    p.add_argument("--json", action="store_true", help="machine-readable results")
    p.add_argument("--doctor", action="store_true", help="check what a face needs, and exit")
    p.add_argument("--probe", action="store_true", help="show A I U E O and blinks, and exit")
    p.add_argument("--print-config", action="store_true", help="what would run as YAML, and exit")
    p.add_argument("--list-mics", action="store_true", help="microphones, and exit")
    p.add_argument("--list-shapes", action="store_true", help="the 52 names in order, and exit")
    p.add_argument("--version", action="version", version=f"edge-run {edgetalk_version()}")
