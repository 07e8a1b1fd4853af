"""The flags of ``edge-batch``."""

from __future__ import annotations

import argparse

from edge.audio import audio_file as audio
from edge.bundle import PRECISIONS
from edge.config import at_home
from edge.inference.engine import ENGINES
from edge.recording.face_record import FORMATS
from edge.wiring import edgetalk_version

EXAMPLES = """\
examples:
  edge-batch takes/ --out faces/                       a CSV of 52 columns for each file
  edge-batch takes/ --out faces/ --format livelink     as an iPhone's Live Link Face records
  edge-batch takes/ --out faces/ --format glb --force  animated glTF, all of it again

exit status: 0 all done or up to date, else that of the first file or folder that failed (66 for
one that cannot be read); the others are done nevertheless. 2 usage, 69 something is missing
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        "edge-batch",
        description="A folder of audio files to recorded faces, as edge-run --offline makes them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "folder", type=at_home, help=f"searched for {', '.join(audio.SUFFIXES)}, folders below too"
    )
    p.add_argument(
        "--out", type=at_home, required=True, metavar="DIR", help="same names and folders"
    )
    p.add_argument("--format", choices=FORMATS, default="csv", help="(default: %(default)s)")
    p.add_argument(
        "--force",
        action="store_true",
        help="also what is newer than its audio, or was not written by edge-run",
    )
    p.add_argument("--json", action="store_true", help="machine-readable summary")
    p.add_argument("--config", metavar="FILE", help="edge.yaml, for gains and emotion")
    p.add_argument("--bundle", metavar="DIR", help="trained networks (default: the ones shipped)")
    p.add_argument("--channel", type=int, metavar="N", help="from 1 (default: with the voice)")
    p.add_argument("--lookahead", type=int, metavar="MS", help="future audio a face may hear")
    p.add_argument("--engine", choices=ENGINES, help="what runs the networks (default: auto)")
    p.add_argument("--precision", choices=PRECISIONS, help="of the networks")
    p.add_argument("--seed", type=int, metavar="N", help="of blinks, glances and head motion")
    p.add_argument("--version", action="version", version=f"edge-batch {edgetalk_version()}")
    return p
