"""A filmed face to a take: a sheet of blendshapes with the frames' own times, and the sound.

MediaPipe's face landmarker looks at each frame; where it finds no face the row stays empty. ffmpeg
decodes. A Live Link Face take (CSV beside the phone's video) keeps its sheet; only the sound is
taken out of the video, from the sheet's first timecode on.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from edge.contract import INDEX, SAMPLE_RATE, InputError, MissingError
from edge.files import atomic_write
from quantize.data.blendshape_csv import first_timecode, timecode, write_sheet
from quantize.data.clips import UnfitClipError

Picture = NDArray[np.uint8]
"""(height, width, 3) red, green, blue."""
Look = Callable[[Picture, float], Mapping[str, float] | None]
"""A frame and its second to weights by ARKit name; ``None`` where there is no face."""

MODEL_URL = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/"
    "float16/1/face_landmarker.task"
)
FARTHEST = 10.0
"""Seconds between the timecodes of a sheet and a video beyond which they are of different takes."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is in a video file."""

    start: float
    """Seconds on its own clock at which the earliest of picture and sound begins."""
    timecode: float | None
    """Seconds of the day of its first frame, where the camera wrote them."""


def probe(video: Path) -> VideoInfo:
    """Look at a file's streams. Raises ``UnfitClipError`` if picture or sound is missing."""
    output = json.loads(
        _run("ffprobe", "-show_streams", "-show_format", "-of", "json", str(video)) or b"{}"
    )
    streams: list[dict[str, Any]] = output.get("streams", [])
    kinds = [
        s.get("codec_type")
        for s in streams
        if not s.get("disposition", {}).get("attached_pic")  # the cover of a song
    ]
    for kind, what in (("video", "picture"), ("audio", "sound")):
        if kind not in kinds:
            raise UnfitClipError(f"{video.name} has no {what}; record voice and face together")
    stamps = [s.get("tags", {}).get("timecode") for s in (*streams, output["format"])]
    stamp = next((t for t in stamps if t), None)
    rate = next(s["avg_frame_rate"] for s in streams if s.get("codec_type") == "video")
    frames, seconds = (int(n) for n in rate.split("/"))
    at = timecode(stamp, frames / max(1, seconds)) if stamp and frames else None
    return VideoInfo(float(output["format"].get("start_time", 0)), at)


def frame_times(video: Path, film: VideoInfo) -> list[float]:
    """Seconds at which each frame is shown, counted from where the sound track begins."""
    entry = "frame=best_effort_timestamp_time"
    output = _run(
        "ffprobe", "-select_streams", "v:0", "-show_entries", entry, "-of", "csv=p=0", str(video)
    )
    stamps = [line.strip(", ") for line in output.decode().splitlines() if line.strip(", ")]
    try:
        return [float(s) - film.start for s in stamps]
    except ValueError as error:
        raise UnfitClipError(f"{video.name}: frames without a time; re-encode it") from error


def frames(video: Path) -> Iterator[Picture]:
    """Every frame once, upright, none doubled or left out to even the rate."""
    command = [_tool("ffmpeg"), "-v", "error", "-nostdin", "-i", str(video), "-map", "0:v:0"]
    # PPM says its own size in each picture, whatever way up the phone was held.
    command += ["-vsync", "0", "-f", "image2pipe", "-c:v", "ppm", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            while process.stdout.readline():  # b"P6\n"
                width, height = (int(n) for n in process.stdout.readline().split())
                process.stdout.readline()  # b"255\n"
                raw = process.stdout.read(width * height * 3)
                if len(raw) == width * height * 3:
                    yield np.frombuffer(raw, np.uint8).reshape(height, width, 3)
        finally:
            process.kill()


def write_sound(video: Path, out: Path, skip: float = 0.0) -> None:
    """The sound track as 16 kHz mono WAV, beginning at second ``skip`` of the film.

    Sound that begins later than the picture gets silence before it, so that both share second 0.
    """
    steady = f"aresample={SAMPLE_RATE}:async=1:first_pts=0"
    cut = f"atrim=start={skip:.6f},asetpts=PTS-STARTPTS"
    wait = f"adelay={-skip * 1000:.3f}:all=1"
    filters = f"{steady},{cut if skip >= 0 else wait}"
    raw = _run(
        "ffmpeg", "-nostdin", "-i", str(video), "-map", "0:a:0", "-af", filters, "-ac", "1",
        "-ar", str(SAMPLE_RATE), "-f", "s16le", "-",
    )  # fmt: skip
    with atomic_write(out) as file:
        soundfile.write(file, np.frombuffer(raw, "<i2"), SAMPLE_RATE, "PCM_16", format="WAV")


def film_take(video: Path, out: Path, look: Look, track: Callable[[Any], Any] = iter) -> float:
    """``out``.csv and ``out``.wav of a video; the share of frames that showed a face."""
    film = probe(video)
    times = frame_times(video, film)
    if len(times) < 2:
        raise UnfitClipError(f"{video.name} holds fewer than two frames")

    def rows() -> Iterable[tuple[float, Mapping[str, float] | None]]:
        left = iter(times)
        for picture, seconds in zip(frames(video), left, strict=False):
            yield seconds, look(picture, seconds)
        if lost := len(list(left)):
            raise UnfitClipError(f"{video.name}: {lost} of {len(times)} frames cannot be read")

    write_sound(video, out.with_suffix(".wav"))
    seen = write_sheet(out.with_suffix(".csv"), track(rows()))
    if not seen:
        out.with_suffix(".csv").unlink()
        raise UnfitClipError(f"{video.name}: no face was seen in any of {len(times)} frames")
    return seen / len(times)


def phone_take(video: Path, sheet: Path, out: Path) -> None:
    """``out``.csv and ``out``.wav of a Live Link Face take, both from the sheet's first row on."""
    film, first = probe(video), first_timecode(sheet)
    skip = first - film.timecode if first is not None and film.timecode is not None else 0.0
    if abs(skip) > FARTHEST:
        raise UnfitClipError(
            f"{video.name} and {sheet.name} begin {abs(skip):.0f} s apart by their timecodes; "
            "are they of one take?"
        )
    write_sound(video, out.with_suffix(".wav"), skip)
    shutil.copyfile(sheet, out.with_suffix(".csv"))


@contextmanager
def landmarker(model: Path | None) -> Iterator[Callable[[], Look]]:
    """MediaPipe's face landmarker: call what is yielded once a video, for it remembers faces."""
    hint = f"give it with --face-model; it is at {MODEL_URL}"
    if model is None:
        raise InputError(f"videos need MediaPipe's face_landmarker.task: {hint}")
    if not model.is_file():
        raise InputError(f"{model}: no such file; {hint}")
    try:
        import mediapipe  # type: ignore[import-untyped,import-not-found,unused-ignore]
        from mediapipe.tasks.python import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
            BaseOptions,
            vision,
        )
    except (ImportError, OSError) as error:
        raise MissingError(
            f"videos need mediapipe ({error}): pip install 'edgetalk[video]' and "
            "apt install libgl1 libegl1 libgles2"
        ) from error
    opened: list[Any] = []

    def begin() -> Look:
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(model)),
            running_mode=vision.RunningMode.VIDEO,
            output_face_blendshapes=True,
        )
        try:
            found = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{model}: not a face landmarker model; {hint}") from error
        opened.append(found)
        return _tracker(mediapipe, found)

    try:
        yield begin
    finally:
        for found in opened:
            found.close()


def _tracker(mediapipe: Any, found: Any) -> Look:
    """The frames of one video, in order, through a landmarker that remembers the last."""
    last = -1

    def look(picture: Picture, seconds: float) -> Mapping[str, float] | None:
        nonlocal last
        last = max(last + 1, round(seconds * 1000))  # must advance by at least 1 ms
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
        faces = found.detect_for_video(image, last).face_blendshapes
        if not faces:
            return None
        return {c.category_name: c.score for c in faces[0] if c.category_name in INDEX}

    return look


def _tool(name: str) -> str:
    if path := shutil.which(name):
        return path
    raise MissingError(f"videos need {name}, which is not installed: apt install ffmpeg")


def _run(tool: str, *arguments: str) -> bytes:
    """Standard output of ffmpeg or ffprobe."""
    done = subprocess.run(
        [_tool(tool), "-v", "error", *arguments], capture_output=True, check=False
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise UnfitClipError(f"{tool} cannot read it: {lines[-1]}")
    return done.stdout
