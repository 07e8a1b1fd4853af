"""A public data set as published to the folder that EdgeTalk reads: ``docs/data.md`` lists them.

``python -m quantize.data.convert SET SRC OUT``. SRC is the unpacked download; OUT must not exist or
be empty, and its name tells the reader which set it is, so a wrong name is refused.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
import yaml
from tqdm import tqdm

from edge.audio.audio_file import read_audio
from edge.contract import ARKIT_52, SAMPLE_RATE, EdgeError, Floats
from edge.files import atomic_write, write_text
from quantize.data.clips import DataError, UnfitClipError
from quantize.data.facegood_arkit import arkit_sources, to_arkit
from quantize.data.readers import VIDEO_SUFFIXES
from quantize.data.video import Look, frames, landmarker, write_sound

log = logging.getLogger(__name__)

EMODB_EMOTIONS = {
    "W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "happiness", "T": "sadness",
    "N": "neutral",
}  # fmt: skip
"""The sixth letter of a file's name, after the German word."""
GRID_FPS = 25.0
SUBSET = Path(__file__).parent / "librispeech_subset.yaml"
"""Which utterances the shipped bundle was made with."""


def facegood(src: Path, out: Path) -> None:
    """FACEGOOD-Audio2Face's ``code/train`` and ``doc``: audio, and rig channels mapped to ARKit."""
    names = [str(n) for n in np.load(_one(src, "shirley_1015_bs_name.npy"), allow_pickle=True)]
    sources = arkit_sources(_one(src, "Voice2Face_blendshape2ARkit.xlsx"))
    arrays: dict[str, Floats] = {}
    for wav in _some(src, "wav/*.wav"):
        found = [p for p in src.rglob("bs_value/*.npy") if wav.stem in p.stem]
        if not found:
            log.warning("skipped %s: no array of it in bs_value/", wav.name)
            continue
        _flac(wav, out / "audio" / f"{wav.stem}.flac")
        arrays[f"arkit52_{wav.stem}"] = to_arkit(np.load(found[0]), names, sources)
    _arrays(out / "blendshapes.npz", **arrays)
    write_text(out / "names.json", json.dumps({"fps": 30, "arkit52": ARKIT_52}, indent=1) + "\n")


def grid(src: Path, out: Path, begin: Callable[[], Look]) -> None:
    """GRID's videos and, where there are some, its word timings; faces by MediaPipe.

    ``begin`` starts a face landmarker for each video. A frame without a face is NaN; the reader
    leaves such clips out, but they count where it ranks clips into splits.
    """
    videos = sorted(p for p in src.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise DataError(f"{src}: no video in it; unpack GRID's video archives there")
    (out / "audio").mkdir()
    (out / "align").mkdir()
    ids: list[str] = []
    faces: list[Floats] = []
    for video in tqdm(videos, desc="finding faces"):
        try:
            faces.append(_faces(video, begin()))
            with TemporaryDirectory() as scratch:
                write_sound(video, wav := Path(scratch) / "sound.wav")
                _flac(wav, out / "audio" / f"{video.stem}.flac")
        except UnfitClipError as error:
            log.warning("skipped %s: %s", video.name, error)
            del faces[len(ids) :]
            continue
        ids.append(video.stem)
        for align in list(src.rglob(f"{video.stem}.align"))[:1]:
            shutil.copyfile(align, out / "align" / align.name)
    if not ids:
        raise DataError(f"{src}: no video could be read")
    _arrays(
        out / "blendshapes.npz",
        ids=np.array(ids),
        offsets=np.cumsum([0, *map(len, faces)]),
        arkit52=np.concatenate(faces).astype(np.float16),
        arkit_names=np.array(ARKIT_52),
        fps=np.array(GRID_FPS),
    )


def _faces(video: Path, look: Look) -> Floats:
    """(frames, 52) of a video."""
    # MPEG-1 frames carry no times of their own.
    rows = [look(picture, k / GRID_FPS) for k, picture in enumerate(frames(video))]
    if not rows:
        raise UnfitClipError("no frame can be read")
    lost = [np.nan] * len(ARKIT_52)
    return np.array([[r.get(n, 0.0) for n in ARKIT_52] if r else lost for r in rows], np.float32)


def emodb(src: Path, out: Path) -> None:
    """EMO-DB's ``wav``, ``lablaut`` and ``erkennung.txt``; speaker and emotion from the names."""
    rows = []
    for wav in _some(src, "wav/*.wav"):
        _flac(wav, out / "audio" / f"{wav.stem}.flac")
        rows.append((wav.stem, wav.stem[:2], wav.stem[2:5], EMODB_EMOTIONS.get(wav.stem[5], "?")))
    shutil.copytree(_one(src, "lablaut"), out / "lablaut")
    for listeners in src.rglob("erkennung.txt"):
        shutil.copyfile(listeners, out / "erkennung.txt")
    _csv(out / "index.csv", [("file", "speaker", "text", "emotion"), *rows])


def librispeech(src: Path, out: Path, subset: Path = SUBSET) -> None:
    """The utterances that ``subset`` lists by archive, from LibriSpeech's own folders."""
    wanted: dict[str, str] = yaml.safe_load(subset.read_text("utf-8"))
    for part, ids in wanted.items():
        (out / part).mkdir()
        for name in tqdm(ids.split(), desc=part):
            speaker, chapter, _ = name.split("-")
            path = src / part / speaker / chapter / f"{name}.flac"
            if not path.is_file():
                raise DataError(f"{path} is missing; unpack {part}.tar.gz of openslr.org/12 there")
            with atomic_write(out / part / f"{name}.ogg") as file:
                soundfile.write(file, read_audio(path), SAMPLE_RATE, format="OGG")


def misc(src: Path, out: Path) -> None:
    """Four folders of audio (VCTK, LJSpeech, LibriVox, Thorsten) with their texts and phones."""
    for name in ("vctk_4spk", "ljspeech", "librivox_with_phones", "thorsten_emotional"):
        for path in _some(src / name, "**/*"):
            goal = out / path.relative_to(src)
            goal.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix.lower() in (".wav", ".flac", ".mp3", ".ogg"):
                _flac(path, goal.with_suffix(".flac"))
            else:
                shutil.copyfile(path, goal)


def livelink(src: Path, out: Path) -> None:
    """Live Link Face CSV files without sound, compressed: what is not compressed needs a sound."""
    for path in _some(src, "**/*.csv"):
        with atomic_write(out / f"{path.name}.gz") as file:
            file.write(gzip.compress(path.read_bytes(), mtime=0))


SETS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "facegood": (facegood, ("facegood_paired",)),
    "grid": (grid, ("grid_s1_video_blendshapes", "grid_other_speakers")),
    "emodb": (emodb, ("emodb",)),
    "librispeech": (librispeech, ("librispeech_261spk",)),
    "misc": (misc, ("speech_misc",)),
    "livelink": (livelink, ("livelinkface_captures_noaudio",)),
}
"""Name -> its conversion, and what the folder may be called."""


def _one(src: Path, name: str) -> Path:
    found = sorted(src.rglob(name))
    if not found:
        raise DataError(f"{src}: no {name} in it; give the folder that the download unpacks to")
    return found[0]


def _some(src: Path, pattern: str) -> list[Path]:
    found = sorted(p for p in src.rglob(pattern.removeprefix("**/")) if p.is_file())
    if not found:
        raise DataError(f"{src}: no {pattern} in it; give the folder that the download unpacks to")
    return found


def _flac(path: Path, out: Path) -> None:
    """16 kHz mono FLAC of any audio file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as file:
        soundfile.write(file, read_audio(path), SAMPLE_RATE, "PCM_16", format="FLAC")


def _arrays(path: Path, **arrays: Any) -> None:
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def _csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def convert(kind: str, src: Path, out: Path, face_model: Path | None = None) -> None:
    """Convert the set ``kind``; ``face_model`` is needed by GRID alone.

    Raises ``DataError`` where ``src`` is not that set, or ``out`` is in use or of another name.
    """
    run, names = SETS[kind]
    if out.name not in names:
        raise DataError(f"{out}: call the folder {' or '.join(names)}: readers know sets by name")
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; remove it or give another folder")
    if not src.is_dir():
        raise DataError(f"{src}: no such folder; give the one that the download unpacks to")
    out.mkdir(parents=True, exist_ok=True)
    if kind != "grid":
        run(src, out)
        return
    with landmarker(face_model) as begin:
        run(src, out, begin)


def main(argv: Sequence[str] | None = None) -> int:
    """Convert one set; returns the exit status."""
    p = argparse.ArgumentParser("quantize.data.convert", description=__doc__.split("\n")[0])
    p.add_argument("set", choices=sorted(SETS))
    p.add_argument("src", type=Path, metavar="SRC", help="the unpacked download")
    p.add_argument(
        "out", type=Path, metavar="OUT", help="a new folder, called as docs/data.md says"
    )
    p.add_argument("--face-model", type=Path, metavar="FILE", help="for grid: face_landmarker.task")
    args = p.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        convert(args.set, args.src, args.out, args.face_model)
    except EdgeError as error:
        print(f"quantize.data.convert: {error}", file=sys.stderr)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
