"""What a user would pick instead, in the same table: ``python -m benchmarks.accuracy.peers``.

    mkdir -p ~/.cache/edgetalk-bench/peers && cd ~/.cache/edgetalk-bench/peers
    npm install --ignore-scripts @met4citizen/headaudio@0.1.0 wlipsync@1.3.1 wawa-lipsync@0.0.2 \\
        rhubarb-lip-sync-wasm@0.1.8
    python3 -m venv venv && venv/bin/pip install pylipsync==0.2.1 openfacefx==0.24.0 soundfile

wLipSync also wants a profile of phonemes there, ``wlipsync_profile.json``: ``www/profile.json`` of
github.com/mrxz/wLipSync (MIT). Peers that are not installed are left out and named.

They tell visemes, or ARKit shapes of their own. ``POSES`` turns visemes into shapes: how far each
opens the jaw is the table of the light-peer bench of 2026, and lips are what ARKit's shapes are
called after. It is our assumption, not theirs. None declares a delay; each is shown as it comes
and once more with the delay taken off that suits it best on the captured faces of this very test.
Their output is kept in ``EDGETALK_CACHE`` (default ``~/.cache/edgetalk-bench``).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks import RESULTS
from benchmarks.command_line import exit_status, options
from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import FPS, INDEX, SAMPLE_RATE, EdgeError, Floats
from edge.files import write_text
from quantize.evaluation.accuracy_table import print_table
from quantize.evaluation.head_mesh import read_head
from quantize.evaluation.predict import of_bundle
from quantize.evaluation.record import write_record
from quantize.evaluation.scoring import Row, captured, loudness, score
from quantize.evaluation.test_clips import PAIRED, TestClip, cache, load_test_clips

# Peer -> what must lie in the folder for it to run.
PEERS = {
    "headaudio": "node_modules/@met4citizen/headaudio",
    "wlipsync": "node_modules/wlipsync",
    "wawa": "node_modules/wawa-lipsync",
    "rhubarb": "node_modules/rhubarb-lip-sync-wasm",
    "pylipsync": "venv/bin/python",
    "openfacefx": "venv/bin/openfacefx",
}
PYTHON_PEERS = ("pylipsync", "openfacefx")
LATEST = round(0.15 * FPS)
"""Faces: the longest delay that is tried on a peer's behalf. (HeadAudio's manual says 100 ms.)"""


def _both(shape: str, weight: float) -> dict[str, float]:
    return {f"{shape}Left": weight, f"{shape}Right": weight}


def _pose(jaw: float, pucker: float = 0, funnel: float = 0, spread: float = 0) -> dict[str, float]:
    lips = _both("mouthStretch", spread) | _both("mouthSmile", spread)
    return {"jawOpen": 0.6 * jaw, "mouthPucker": pucker, "mouthFunnel": funnel} | lips


SHUT = _both("mouthPress", 0.3) | {"mouthClose": 0.05}
TUCKED = _pose(0.1) | {"mouthRollLower": 0.3}
# The jaw's shares are those of 1 = "aa"; 0.6 of jawOpen is as far as speech opens it.
POSES: dict[str, dict[str, float]] = {
    "sil": {}, "PP": SHUT, "FF": TUCKED, "TH": _pose(0.25), "DD": _pose(0.25),
    "kk": _pose(0.3), "CH": _pose(0.3, funnel=0.3), "SS": _pose(0.15, spread=0.15),
    "nn": _pose(0.2), "RR": _pose(0.3, funnel=0.2), "aa": _pose(1), "E": _pose(0.6, spread=0.2),
    "I": _pose(0.35, spread=0.3), "O": _pose(0.7, pucker=0.3, funnel=0.4),
    "U": _pose(0.4, pucker=0.6, funnel=0.2),
}  # fmt: skip
# Other names for them. Rhubarb's letters are Preston Blair's mouths, as its own manual pictures
# them: A p b m, B most consonants and "ee", C "eh", D "aa", E "aw", F "oo", G f v, H l, X rest.
SAME = {
    "A": "aa", "S": "SS", "ee": "E", "ih": "I", "oh": "O", "ou": "U", "silence": "sil",
}  # fmt: skip
RHUBARB: dict[str, dict[str, float]] = {
    "A": SHUT, "B": _pose(0.2, spread=0.15), "C": _pose(0.5), "D": _pose(1),
    "E": _pose(0.6, funnel=0.3), "F": _pose(0.3, pucker=0.6), "G": TUCKED, "H": _pose(0.4), "X": {},
}  # fmt: skip


def pose(peer: str, name: str) -> Mapping[str, float]:
    """ARKit weights that one of a peer's names stands for at 1."""
    if name in INDEX:
        return {name: 1.0}
    if peer == "rhubarb":
        return RHUBARB[name]
    viseme = name.removeprefix("viseme_")
    return POSES[SAME.get(viseme, viseme)]


def to_faces(peer: str, output: dict[str, Any], faces: int) -> Floats:
    """(faces, 52) of what a peer gave for one clip; the last frame stays."""
    out = np.zeros((faces, 52), np.float32)
    frames = np.array(output["frames"], np.float32).reshape(-1, len(output["names"]))
    times = output["first"] + np.arange(len(frames)) / output["fps"]
    wanted = (np.arange(faces) + 1) / FPS
    for name, column in zip(output["names"], frames.T, strict=True):
        curve = np.interp(wanted, times, column)
        for shape, weight in pose(peer, name).items():
            out[:, INDEX[shape]] += weight * curve
    return np.clip(out, 0, 1)


def follow(peer: str, folder: Path, clips: Sequence[TestClip]) -> dict[str, Floats]:
    """A peer's faces of every clip: asked once, then kept."""
    digest = hashlib.sha256(b"".join(t.id.encode() + t.samples.tobytes() for t in clips))
    kept = cache() / f"said_{peer}_{digest.hexdigest()[:12]}.json"
    if not kept.exists():
        _ask(peer, folder, clips, kept)
    output = json.loads(kept.read_text())
    return {t.id: to_faces(peer, output[t.id], t.faces) for t in clips}


def _ask(peer: str, folder: Path, clips: Sequence[TestClip], kept: Path) -> None:
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as scratch:
        jobs, out = Path(scratch) / "jobs.json", Path(scratch) / "out.json"
        wavs = {t.id: str(Path(scratch) / f"{k}.wav") for k, t in enumerate(clips)}
        for clip in clips:
            soundfile.write(wavs[clip.id], clip.samples, SAMPLE_RATE, subtype="PCM_16")
        jobs.write_text(json.dumps(wavs))
        command = ["node", str(here / "peers.mjs"), peer, str(folder), str(jobs), str(out)]
        if peer in PYTHON_PEERS:
            program = str(here / "peers_python.py")
            command = [str(folder / "venv/bin/python"), program, peer, str(jobs), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not out.exists():
            raise EdgeError(f"{peer} failed: {done.stderr.strip()[-300:]}")
        write_text(kept, out.read_text())


def earlier(faces: Floats, delay: int) -> Floats:
    """The same faces, ``delay`` faces sooner; the last one stays."""
    return np.concatenate([faces[delay:], np.repeat(faces[-1:], delay, axis=0)])


def best_delay(faces: Mapping[str, Floats], clips: Sequence[TestClip]) -> int:
    """The delay in faces that makes the jaw of the captured test sets fit best, each set alike."""
    jaw = INDEX["jawOpen"]
    sets = [[t for t in clips if t.set == name and t.captured is not None] for name in PAIRED]

    def fit(delay: int) -> float:
        by_set = [
            np.mean([_r(earlier(faces[t.id], delay)[:, jaw], _jaw(t)) for t in part])
            for part in sets
            if part
        ]
        return float(np.mean(by_set))

    return max(range(LATEST + 1), key=fit)


def _jaw(clip: TestClip) -> Floats:
    assert clip.captured is not None
    return clip.captured[:, INDEX["jawOpen"]]


def _r(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-9 and b.std() > 1e-9 else 0.0


@exit_status("accuracy.peers")
def main(argv: Sequence[str] | None = None) -> None:
    """Ask, score, print, write."""
    p = options("accuracy.peers", __doc__, data=True)
    p.add_argument("--peers", type=Path, metavar="DIR", help="where they are installed")
    p.add_argument("--head", type=Path, metavar="GLB", help="a head with ARKit shapes, for mm")
    args = p.parse_args(argv)
    folder = args.peers or cache() / "peers"
    clips = load_test_clips(args.data)
    head = read_head(args.head) if args.head else None
    systems: dict[str, Mapping[str, Floats]] = {
        "EdgeTalk": of_bundle(read_bundle(DEFAULT), clips),
        "loudness": loudness(clips),
        "captured": captured(clips),
    }
    delays: dict[str, int] = {}
    for peer, needs in PEERS.items():
        if not (folder / needs).exists():
            print(f"{peer}: not installed ({folder / needs} is missing), left out")
            continue
        faces = systems[peer] = follow(peer, folder, clips)
        delays[peer] = best_delay(faces, clips)
        sooner = {name: earlier(face, delays[peer]) for name, face in faces.items()}
        if delays[peer]:
            systems[f"{peer}, {delays[peer] * 1000 / FPS:.0f} ms off"] = sooner
    results: dict[str, dict[str, Row]] = {n: score(f, clips, head) for n, f in systems.items()}
    print_table(results)
    milliseconds = {peer: faces * 1000 / FPS for peer, faces in delays.items()}
    path = write_record("peers", {"systems": results, "best_delay_ms": milliseconds}, RESULTS)
    print(f"written: {path}")


if __name__ == "__main__":
    sys.exit(main())
