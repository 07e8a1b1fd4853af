"""One lip-sync package of PyPI over many clips: ``python peers_python.py pylipsync JOBS OUT``.

Runs in the packages' own environment, so it imports nothing of EdgeTalk. Reads and writes what
``peers.mjs`` does.
"""

import csv
import json
import sys
import tempfile
from pathlib import Path
from typing import Any


def pylipsync(wav: str) -> dict[str, Any]:
    """Shares of five vowels and silence; the package's own analyser, 60 frames a second."""
    import soundfile
    from pylipsync import PhonemeAnalyzer  # type: ignore[import-not-found,unused-ignore]

    samples, rate = soundfile.read(wav, dtype="float32")
    segments = PhonemeAnalyzer().extract_phoneme_segments(
        samples, rate, fps=60, return_seconds=True
    )
    names = [p.name for p in segments[0].phonemes]
    frames = [[round(float(p.target), 4) for p in s.phonemes] for s in segments]
    fps = len(frames) / (len(samples) / rate)
    return {"fps": fps, "first": 0.5 / fps, "names": names, "frames": frames}


def openfacefx(wav: str) -> dict[str, Any]:
    """Loudness to visemes to the package's own ARKit shapes."""
    from openfacefx import cli  # type: ignore[import-not-found,unused-ignore]

    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "face.livelink.csv"  # the name decides the format
        cli.main(
            [
                "energy",
                "--wav",
                wav,
                "--retarget",
                "arkit",
                "--livelink-fps",
                "60",
                "-o",
                str(sheet),
            ]
        )
        with sheet.open() as file:
            header, *rows = csv.reader(file)
    names = [n[:1].lower() + n[1:] for n in header[2:]]
    shapes = [i for i, n in enumerate(names) if not n.endswith(("Yaw", "Pitch", "Roll"))]
    frames = [[float(row[2 + i]) for i in shapes] for row in rows]
    return {"fps": 60, "first": 0.0, "names": [names[i] for i in shapes], "frames": frames}


def main() -> None:
    """Run one of the functions above over the jobs."""
    peer, jobs, out = sys.argv[1:]
    follow = {"pylipsync": pylipsync, "openfacefx": openfacefx}[peer]
    found = {name: follow(wav) for name, wav in json.loads(Path(jobs).read_text()).items()}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
