"""How each source keeps its recordings: one function a source, folder to clips.

Every file carries its own channel order; channels are mapped by name here and nowhere else.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from quantize.data.blendshape_csv import read_csv
from quantize.data.clips import EMOTIONS, Capture, Clip, ClipReader, UnfitClipError, split_by_id
from quantize.data.grid_talkers import (
    OTHER_TALKERS,
    grid_capture,
    read_align,
    read_grid_talkers,
)
from quantize.data.phones import Phone, read_emodb, read_pocketsphinx
from quantize.data.speech_60_languages import read_speech_60_languages

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aiff")
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".m4v")


def find_reader(folder: Path) -> Callable[[Path], Iterator[ClipReader]]:
    """The reader of a known set by its folder's name, else the one for CSV beside audio."""
    return READERS.get(folder.name, read_folder)


def read_facegood(folder: Path) -> Iterator[ClipReader]:
    """FACEGOOD: one Mandarin speaker, solver blendshapes at 30 fps, mouth and jaw only."""
    names = tuple(json.loads((folder / "names.json").read_text())["arkit52"])
    weights = np.load(folder / "blendshapes.npz")

    def make(path: Path) -> Clip:
        values = weights[f"arkit52_{path.stem}"].astype(np.float32)
        # The authors' own held-out clip.
        split = "test" if path.stem.endswith("3_16") else "train"
        capture = Capture(names, values, 30.0)
        return Clip(f"facegood/{path.stem}", "facegood", "facegood", split, path, capture)

    for path in sorted((folder / "audio").glob("*.flac")):
        yield f"facegood/{path.stem}", partial(make, path)


def read_grid(folder: Path) -> Iterator[ClipReader]:
    """GRID sentences with blendshapes that MediaPipe read from the video, 25 fps.

    Talker s1 is split 900 / 50 / 50; every other talker is only for testing.
    """
    stored = dict(np.load(folder / "blendshapes.npz"))
    ids = [str(i) for i in stored["ids"]]
    known = "s1" in folder.name
    # Ranked by hash rather than drawn, so that the sizes are exact.
    ranked = sorted(ids, key=lambda i: sha256(i.encode()).digest())
    held = dict.fromkeys(ranked[:50], "test") | dict.fromkeys(ranked[50:100], "validation")

    def make(at: int, name: str) -> Clip:
        align = folder / "align" / f"{name}.align"
        text = (read_align(align) if known else "") or grid_sentence(name)
        capture = grid_capture(stored, at)
        source, split = ("grid_s1", held.get(name, "train")) if known else ("grid_other", "test")
        speaker = f"grid_{'s1' if known else OTHER_TALKERS.get(name, name)}"
        audio = folder / "audio" / f"{name}.flac"
        return Clip(f"{source}/{name}", source, speaker, split, audio, capture, text=text)

    for at, name in enumerate(ids):
        yield f"grid_{'s1' if known else 'other'}/{name}", partial(make, at, name)


def grid_sentence(name: str) -> str | None:
    """What is said in a file of GRID: six letters at the end of its name stand for words.

    After the grammar in Cooke et al. 2006, table I; nobody says the letter W.
    """
    letters = name[-6:]
    if not re.fullmatch("[blps][bgrw][abiw][a-vx-z][z1-9][anps]", letters):
        return None
    words = [kinds.get(letter, letter) for letter, kinds in zip(letters, _GRID, strict=True)]
    return " ".join(words)


_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_GRID: tuple[dict[str, str], ...] = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {},  # the letter itself
    dict(zip("z123456789", _DIGITS, strict=True)),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)


def read_emodb_set(folder: Path) -> Iterator[ClipReader]:
    """EMO-DB: ten German sentences in seven emotions by ten actors, phones labelled by hand."""

    def make(row: dict[str, str]) -> Clip:
        name = row["file"]
        if row["emotion"] not in EMOTIONS:
            raise UnfitClipError(f"unknown emotion '{row['emotion']}'")
        labels = folder / "lablaut" / f"{name}xx.lablaut"
        if not labels.exists():
            labels = folder / "lablaut" / f"{name}.lablaut"
        return Clip(
            f"emodb/{name}",
            "emodb",
            f"emodb_{row['speaker']}",
            "test" if row["speaker"] in ("15", "16") else "train",
            folder / "audio" / f"{name}.flac",
            emotion=row["emotion"],
            text=row["text"],
            phones=read_emodb(labels) if labels.exists() else (),
        )

    with (folder / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        yield f"emodb/{row['file']}", partial(make, row)


def read_librispeech(folder: Path) -> Iterator[ClipReader]:
    """LibriSpeech: read English by 261 speakers, no transcripts here."""

    def make(path: Path) -> Clip:
        speaker = path.stem.split("-")[0]
        split = "train" if "train" in path.parts[-2] else "test"
        return Clip(f"librispeech/{path.stem}", "librispeech", f"ls_{speaker}", split, path)

    for path in sorted(folder.rglob("*.ogg")):
        yield f"librispeech/{path.stem}", partial(make, path)


def read_misc(folder: Path) -> Iterator[ClipReader]:
    """VCTK, LJSpeech with text, LibriVox with phones, Thorsten's emotions."""
    sheet = folder / "ljspeech" / "metadata.csv"
    texts = dict(line.split("|")[::2] for line in sheet.read_text("utf-8").splitlines())

    def make(path: Path) -> Clip:
        kind, name = path.relative_to(folder).parts[0], path.stem
        speaker = name.split("_")[0] if kind == "vctk_4spk" else kind
        phones: tuple[Phone, ...] = ()
        if (aligned := path.with_suffix(".phone.json")).exists():
            phones = read_pocketsphinx(aligned)
        text = texts.get(name)
        if (written := path.with_suffix(".txt")).exists():
            text = written.read_text("utf-8")
        return Clip(
            f"{kind}/{name}",
            kind,
            speaker,
            # Thorsten and LibriVox are kept to test emotion and phones across corpora.
            "test" if kind in ("thorsten_emotional", "librivox_with_phones") else "train",
            path,
            emotion=THORSTEN.get(name) if kind == "thorsten_emotional" else None,
            text=re.sub(r"[^A-Za-z' ]", " ", text) if text else None,
            phones=phones,
        )

    for path in sorted(folder.rglob("*.flac")):
        yield f"{path.relative_to(folder).parts[0]}/{path.stem}", partial(make, path)


THORSTEN = {
    "amused": "happiness",
    "angry": "anger",
    "disgusted": "disgust",
    "neutral": "neutral",
    "surprised": "surprise",
}


def read_folder(folder: Path) -> Iterator[ClipReader]:
    """A user's recordings: each CSV of ARKit channels with an audio file of the same name.

    Both Live Link Face exports (``Timecode, BlendShapeCount, EyeBlinkLeft …``) and plain sheets
    (``time_s, eyeBlinkLeft …``, as ``edge-run --record`` writes) are understood. The folder's
    name is the source: recordings of one set-up belong into one folder.
    """
    yield from read_pairs(folder)
    for path in find_videos(folder):
        yield f"{folder.name}/{path.stem}", partial(_refuse_video, path)


def read_pairs(folder: Path) -> Iterator[ClipReader]:
    """Each CSV under ``folder`` but those whose sound is in a video of the same name."""
    filmed = {path.with_suffix("") for path in find_videos(folder)}
    for path in sorted([*folder.rglob("*.csv"), *folder.rglob("*.csv.gz")]):
        name = path.name.removesuffix(".gz").removesuffix(".csv")
        if path.with_name(name) not in filmed:
            yield f"{folder.name}/{name}", partial(_read_pair, folder, path, name)


def find_videos(folder: Path) -> list[Path]:
    """Videos under ``folder`` that have no audio file of the same name beside them."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES
        and not any(path.with_suffix(s).exists() for s in AUDIO_SUFFIXES)
    )


def _refuse_video(path: Path) -> Clip:
    raise UnfitClipError(f"{path.name} is a video; make a take of it with edge-quantize prepare")


def _read_pair(folder: Path, path: Path, name: str) -> Clip:
    audio = next((a for s in AUDIO_SUFFIXES if (a := path.parent / f"{name}{s}").exists()), None)
    if audio is None and not path.name.endswith(".gz"):
        raise UnfitClipError(f"no audio beside {path.name}; expected e.g. {name}.wav")
    clip_id = f"{folder.name}/{name}"
    split = split_by_id(clip_id, validation=0.05, test=0.05)
    return Clip(clip_id, folder.name, folder.name, split, audio, read_csv(path))


READERS: dict[str, Callable[[Path], Iterator[ClipReader]]] = {
    "facegood_paired": read_facegood,
    "grid_s1_video_blendshapes": read_grid,
    "grid_other_speakers": read_grid,
    "grid_talkers": read_grid_talkers,
    "emodb": read_emodb_set,
    "librispeech_261spk": read_librispeech,
    "speech_60_languages": read_speech_60_languages,
    "speech_misc": read_misc,
}
