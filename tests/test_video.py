"""Videos and phones' takes to sheets and sound: made films, a made landmarker, real ffmpeg."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

import soundfile

from edge.contract import INDEX, InputError, MissingError
from quantize.data.blendshape_csv import first_timecode, read_csv, timecode, write_sheet
from quantize.data.clips import DataError, UnfitClipError
from quantize.data.load import load
from quantize.data.targets import seen_at_sixty, to_sixty
from quantize.data.video import film_take, frame_times, frames, landmarker, phone_take, probe

pytestmark = [
    pytest.mark.toolchain,
    pytest.mark.skipif(
        not shutil.which("ffmpeg") or not shutil.which("ffprobe"),
        reason="ffmpeg is not installed (apt install ffmpeg): videos are not tested",
    ),
]
JAW = INDEX["jawOpen"]


def ffmpeg(*arguments: object) -> None:
    command = ["ffmpeg", "-v", "error", "-y", "-nostdin", *map(str, arguments)]
    subprocess.run(command, check=True)


def film(path: Path, *more: object, rate: int = 25, seconds: float = 2.0) -> Path:
    """Frame ``k`` is as bright as 4 k; a click sounds at 1 s."""
    picture = f"nullsrc=s=64x48:r={rate}:d={seconds},format=gray,geq=lum='4*N'"
    click = f"aevalsrc='if(between(t,1,1.01),0.9,0)':s=16000:d={seconds}"
    ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", click, "-pix_fmt", "yuv420p",
           "-c:v", "ffv1", "-c:a", "pcm_s16le", *more, path)  # fmt: skip
    return path


def brightness(picture: np.ndarray, seconds: float) -> dict[str, float] | None:
    """A landmarker that sees the jaw open with the light, and no face in frames 20 to 29."""
    frame = round(seconds * 25)
    return None if 20 <= frame < 30 else {"jawOpen": float(picture.mean()) / 255}


def click(path: Path) -> float:
    samples, rate = soundfile.read(path)
    assert rate == 16_000
    return float(np.argmax(np.abs(samples) > 0.3)) / rate


def test_each_frame_is_placed_by_its_own_time_and_the_sound_with_it(tmp_path: Path) -> None:
    video = film(tmp_path / "a.mkv")
    share = film_take(video, tmp_path / "take", brightness)
    assert share == pytest.approx(0.8)
    capture = read_csv(tmp_path / "take.csv")
    jaw = to_sixty(capture, 100)[:, JAW]
    # Frame k, shown at k / 25 s, is as bright as 4 k: at 0.4 s (face 23) that is 40 of 255.
    assert jaw[23] == pytest.approx(40 / 255, abs=0.02)
    assert jaw[95] == pytest.approx(160 / 255, abs=0.02)
    assert click(tmp_path / "take.wav") == pytest.approx(1.0, abs=0.005)


def test_a_lost_face_is_masked_and_not_guessed(tmp_path: Path) -> None:
    film_take(film(tmp_path / "a.mkv"), tmp_path / "take", brightness)
    seen = seen_at_sixty(read_csv(tmp_path / "take.csv"), 110)
    # The last face seen before is frame 19 (0.76 s, face 44), the next frame 30 (1.2 s, face 71).
    assert seen[:45].all()
    assert not seen[46:70].any()
    assert seen[72:].all()


def test_frames_that_the_camera_left_out_are_not_made_up(tmp_path: Path) -> None:
    film(tmp_path / "even.mkv")
    # Frames 10 to 19 never reached the file: their neighbours keep their own times.
    ffmpeg("-i", tmp_path / "even.mkv", "-vf", "select='not(between(n,10,19))'", "-vsync", "vfr",
           "-c:v", "ffv1", "-c:a", "copy", tmp_path / "gap.mkv")  # fmt: skip
    video = tmp_path / "gap.mkv"
    times = frame_times(video, probe(video))
    assert len(times) == len(list(frames(video))) == 40
    assert times[9:11] == pytest.approx([0.36, 0.8], abs=0.002)
    film_take(video, tmp_path / "take", lambda p, s: {"jawOpen": float(p.mean()) / 255})
    capture = read_csv(tmp_path / "take.csv")
    seen = seen_at_sixty(capture, 100)
    assert seen[:20].all()
    assert not seen[23:46].any()
    assert to_sixty(capture, 100)[71, JAW] == pytest.approx(4 * 30 / 255, abs=0.02)  # 1.2 s


def test_sound_that_begins_later_than_the_picture_keeps_its_place(tmp_path: Path) -> None:
    film(tmp_path / "a.mkv")
    video = tmp_path / "late.mkv"
    ffmpeg("-i", tmp_path / "a.mkv", "-itsoffset", 0.5, "-i", tmp_path / "a.mkv", "-map", "0:v",
           "-map", "1:a", "-c", "copy", video)  # fmt: skip
    film_take(video, tmp_path / "take", brightness)
    assert click(tmp_path / "take.wav") == pytest.approx(1.5, abs=0.005)
    assert to_sixty(read_csv(tmp_path / "take.csv"), 100)[23, JAW] == pytest.approx(0.157, abs=0.02)


def test_a_picture_that_begins_later_than_the_sound_keeps_its_place(tmp_path: Path) -> None:
    film(tmp_path / "a.mkv")
    video = tmp_path / "late.mkv"
    ffmpeg("-i", tmp_path / "a.mkv", "-itsoffset", 0.4, "-i", tmp_path / "a.mkv", "-map", "1:v",
           "-map", "0:a", "-c", "copy", video)  # fmt: skip
    film_take(video, tmp_path / "take", lambda p, s: {"jawOpen": float(p.mean()) / 255})
    capture = read_csv(tmp_path / "take.csv")
    assert to_sixty(capture, 100)[47, JAW] == pytest.approx(0.157, abs=0.02)  # frame 10 at 0.8 s
    assert not seen_at_sixty(capture, 100)[:20].any()
    assert click(tmp_path / "take.wav") == pytest.approx(1.0, abs=0.005)


def test_a_film_whose_clock_does_not_begin_at_zero_keeps_its_times(tmp_path: Path) -> None:
    video = tmp_path / "a.ts"
    film(tmp_path / "a.mkv")
    ffmpeg("-i", tmp_path / "a.mkv", "-c:v", "mpeg2video", "-q:v", 2, "-c:a", "mp2", video)
    assert probe(video).start > 1  # MPEG transport streams begin at 1.4 s
    film_take(video, tmp_path / "take", lambda p, s: {"jawOpen": float(p.mean()) / 255})
    assert to_sixty(read_csv(tmp_path / "take.csv"), 100)[47, JAW] == pytest.approx(
        4 * 20 / 255, abs=0.02
    )
    # MP2 itself delays by a frame or two of 24 ms.
    assert click(tmp_path / "take.wav") == pytest.approx(1.0, abs=0.06)


def test_a_phone_held_upright_gives_upright_pictures(tmp_path: Path) -> None:
    film(tmp_path / "wide.mov", "-c:v", "mpeg4", seconds=0.4)
    tall = tmp_path / "tall.mov"
    ffmpeg("-i", tmp_path / "wide.mov", "-c", "copy", "-metadata:s:v:0", "rotate=90", tall)
    assert next(frames(tall)).shape == (64, 48, 3)


def phone_sheet(path: Path, first: str, rows: int = 60) -> Path:
    hours, minutes, seconds, frame = (int(n) for n in first.split(":"))
    lines = ["Timecode,BlendShapeCount,JawOpen"]
    for k in range(rows):
        at = seconds * 60 + frame + k
        stamp = f"{hours:02}:{minutes:02}:{at // 60:02}:{at % 60:02}.000"
        lines.append(f"{stamp},61,{k / rows:.4f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_phones_take_is_joined_by_timecode(tmp_path: Path) -> None:
    video = film(tmp_path / "t.mov", "-timecode", "10:00:00:05", "-c:v", "mpeg4")
    # The video begins at 5/25 s; the sheet's first row is at 42/60 s, half a second later.
    sheet = phone_sheet(tmp_path / "t.csv", "10:00:00:42")
    phone_take(video, sheet, tmp_path / "later")
    assert click(tmp_path / "later.wav") == pytest.approx(0.5, abs=0.01)
    assert (tmp_path / "later.csv").read_text() == sheet.read_text()
    # The sheet may also begin before the video: 12/60 - 30/60 s.
    video = film(tmp_path / "u.mov", "-timecode", "10:00:01:00", "-c:v", "mpeg4")
    phone_take(video, phone_sheet(tmp_path / "u.csv", "10:00:00:30"), tmp_path / "sooner")
    assert click(tmp_path / "sooner.wav") == pytest.approx(1.5, abs=0.01)


def test_a_take_without_timecode_begins_with_its_video(tmp_path: Path) -> None:
    video = film(tmp_path / "t.mkv")
    phone_take(video, phone_sheet(tmp_path / "t.csv", "10:00:00:00"), tmp_path / "take")
    assert click(tmp_path / "take.wav") == pytest.approx(1.0, abs=0.01)


def test_takes_of_different_times_are_not_joined(tmp_path: Path) -> None:
    video = film(tmp_path / "t.mov", "-timecode", "10:00:00:00", "-c:v", "mpeg4")
    sheet = phone_sheet(tmp_path / "t.csv", "11:00:00:00")
    with pytest.raises(UnfitClipError, match=r"begin 3600 s apart .* are they of one take"):
        phone_take(video, sheet, tmp_path / "take")


def test_timecodes_count_frames() -> None:
    assert timecode("01:00:02:30.500") == pytest.approx(3602 + 30.5 / 60)
    assert timecode("00:00:01;15", 30) == 1.5


def test_a_sheet_without_timecode_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time_s,jawOpen\n0,0\n")
    (tmp_path / "b.csv").write_text("Timecode,JawOpen\nnoon,0\n")
    (tmp_path / "c.csv").write_text("")
    assert [first_timecode(tmp_path / f"{n}.csv") for n in "abc"] == [None, None, None]


def test_a_sheet_begins_where_the_sound_does(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    seen = write_sheet(path, [(0.5, {"jawOpen": 0.25}), (0.55, None), (0.6, {"jawOpen": 0.5})])
    assert seen == 2
    first, second, third, fourth = path.read_text().splitlines()[1:]
    assert first == "0" + 52 * ","
    assert second.startswith("0.50000,0.00000,")
    assert third == "0.55000" + 52 * ","
    assert ",0.50000," in fourth


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("mute", ("-an",), "mute.mkv has no sound"),
        ("blind", ("-vn",), "blind.mkv has no picture"),
    ],
)
def test_a_film_without_sound_or_picture_is_refused(
    tmp_path: Path, name: str, arguments: tuple[str, ...], reason: str
) -> None:
    video = film(tmp_path / f"{name}.mkv", *arguments)
    with pytest.raises(UnfitClipError, match=reason):
        film_take(video, tmp_path / "take", brightness)


def test_a_file_that_is_no_film_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_text("hello")
    with pytest.raises(UnfitClipError, match=r"ffprobe cannot read it: .*x\.mp4"):
        film_take(tmp_path / "x.mp4", tmp_path / "take", brightness)


def test_a_film_without_a_face_leaves_nothing_behind(tmp_path: Path) -> None:
    video = film(tmp_path / "a.mkv")
    with pytest.raises(UnfitClipError, match="no face was seen in any of 50 frames"):
        film_take(video, tmp_path / "take", lambda picture, seconds: None)
    assert not (tmp_path / "take.csv").exists()


def test_without_ffmpeg_the_message_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = film(tmp_path / "a.mkv")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="ffprobe, which is not installed: apt install ffmpeg"):
        film_take(video, tmp_path / "take", brightness)


def test_without_a_model_the_message_names_where_to_get_it(tmp_path: Path) -> None:
    where = r"--face-model; it is at https://storage\.googleapis\.com/mediapipe-models/"
    with pytest.raises(InputError, match=where), landmarker(None):
        pass
    missing = landmarker(tmp_path / "none.task")
    with pytest.raises(InputError, match=r"none\.task: no such file"), missing:
        pass


def test_a_folder_of_videos_sends_the_trainer_to_prepare(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    film(tmp_path / "v" / "a.mkv")
    with pytest.raises(DataError, match=r"a\.mkv is a video; make a take of it with"):
        load([tmp_path / "v"])


MODEL = os.environ.get("EDGETALK_FACE_MODEL", "")
FACE = os.environ.get("EDGETALK_FACE_VIDEO", "")


@pytest.mark.skipif(
    not MODEL or not FACE,
    reason="EDGETALK_FACE_MODEL and EDGETALK_FACE_VIDEO are not set: no real face is looked at",
)
def test_mediapipe_finds_the_face_of_a_talker(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="mediapipe is not installed: no face is looked at")
    with landmarker(Path(MODEL)) as begin:
        assert film_take(Path(FACE), tmp_path / "take", begin()) > 0.9
    capture = read_csv(tmp_path / "take.csv")
    assert 0.02 < capture.values[:, capture.names.index("jawOpen")].std() < 0.5
