"""Public data as published to what the readers read: tiny folders of the same form."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")

import soundfile

from edge.contract import INDEX, SAMPLE_RATE
from quantize.data.clips import DataError
from quantize.data.convert import SETS, SUBSET, convert, grid, librispeech, main
from quantize.data.facegood_arkit import arkit_sources
from quantize.data.load import load
from quantize.data.readers import READERS, read_folder

pytestmark = pytest.mark.toolchain

TONE = (0.1 * np.sin(np.arange(SAMPLE_RATE) / 9)).astype(np.float32)


def sound(path: Path, rate: int = SAMPLE_RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.interp(np.arange(rate) / rate, np.arange(16000) / 16000, TONE), rate)


def workbook(path: Path, rows: list[tuple[str, str, str]]) -> None:
    """A table as a spreadsheet program stores it: all words once, cells that point to them."""
    words = [word for row in rows for word in row]
    name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    shared = "".join(f"<si><t>{word}</t></si>" for word in words)
    cells = [f'<c t="s"><v>{k}</v></c>' for k in range(len(words))]
    lines = "".join(f"<row>{''.join(cells[k : k + 3])}<c/></row>" for k in range(0, len(cells), 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(path, "w") as book:
        book.writestr("xl/sharedStrings.xml", f'<sst xmlns="{name}">{shared}</sst>')
        table = f'<worksheet xmlns="{name}"><sheetData>{lines}</sheetData></worksheet>'
        book.writestr("xl/worksheets/sheet1.xml", table)


def facegood(folder: Path) -> Path:
    code = folder / "code" / "train"
    sound(code / "wav" / "1114_3_16.wav", 44_100)
    sound(code / "wav" / "1114_2_01.wav")
    np.save(code / "shirley_1015_bs_name.npy", np.array(["a_l", "a_r", "jaw", "brow"]))
    (code / "bs_value").mkdir()
    rows = np.array([[0.1, 0.3, 0.5, 0.9], [0.2, 0.1, 0.6, 0.9]])
    for name in ("1114_3_16", "1114_2_01"):
        np.save(code / "bs_value" / f"bs_value_{name}.npy", rows)
    workbook(
        folder / "doc" / "Voice2Face_blendshape2ARkit.xlsx",
        [
            ("ARKIT", "Voice2Face", "Status"),
            ("mouthPucker", "max(a_l,a_r)", "valid"),
            ("jawOpen", "jaw", "valid"),
            ("browInnerUp", "brow", "Invalid"),
        ],
    )
    return folder


def test_facegood_s_rig_becomes_arkit_by_the_authors_own_table(tmp_path: Path) -> None:
    out = tmp_path / "facegood_paired"
    convert("facegood", facegood(tmp_path / "src"), out)
    clips, skipped = load([out])
    assert not skipped
    assert {c.id: c.split for c in clips} == {
        "facegood/1114_2_01": "train",
        "facegood/1114_3_16": "test",
    }
    capture = clips[0].capture
    assert capture is not None
    assert capture.fps == 30
    np.testing.assert_allclose(capture.values[:, INDEX["mouthPucker"]], [0.3, 0.2], atol=1e-6)
    np.testing.assert_allclose(capture.values[:, INDEX["jawOpen"]], [0.5, 0.6], atol=1e-6)
    assert not capture.values[:, INDEX["browInnerUp"]].any()  # not valid
    assert soundfile.info(out / "audio" / "1114_3_16.flac").samplerate == SAMPLE_RATE


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.xlsx").write_text("no")
    with pytest.raises(DataError, match=r"x\.xlsx: not the table of FACEGOOD"):
        arkit_sources(tmp_path / "x.xlsx")


def test_emodb_s_names_become_speakers_and_emotions(tmp_path: Path) -> None:
    src, out = tmp_path / "src", tmp_path / "emodb"
    for name in ("03a01Fa", "15b02Wb"):
        sound(src / "wav" / f"{name}.wav")
    (src / "lablaut").mkdir()
    (src / "lablaut" / "03a01Fa.lablaut").write_text("head\n#\n0.1 121 a\n0.3 121 .\n")
    convert("emodb", src, out)
    first, second = load([out])[0]
    assert (first.speaker, first.emotion, first.text, first.split) == (
        "emodb_03", "happiness", "a01", "train",
    )  # fmt: skip
    assert [p.viseme for p in first.phones] == ["aa"]
    assert (second.speaker, second.emotion, second.split) == ("emodb_15", "anger", "test")


def test_librispeech_s_subset_is_taken_from_its_archives(tmp_path: Path) -> None:
    subset = tmp_path / "subset.yaml"
    subset.write_text("train-clean-100: 103-1240-0000\ntest-other: 3005-163389-0002\n")
    src, out = tmp_path / "LibriSpeech", tmp_path / "librispeech_261spk"
    sound(src / "train-clean-100" / "103" / "1240" / "103-1240-0000.flac")
    out.mkdir()
    with pytest.raises(DataError, match=r"3005-163389-0002\.flac is missing; unpack test-other"):
        librispeech(src, out, subset)
    shutil.rmtree(out)
    out.mkdir()
    sound(src / "test-other" / "3005" / "163389" / "3005-163389-0002.flac")
    librispeech(src, out, subset)
    assert {c.id: c.split for c in load([out])[0]} == {
        "librispeech/103-1240-0000": "train",
        "librispeech/3005-163389-0002": "test",
    }


def test_the_shipped_subset_names_261_speakers() -> None:
    import yaml

    wanted = yaml.safe_load(SUBSET.read_text())
    ids = [name for part in wanted.values() for name in part.split()]
    assert len(set(ids)) == 351
    assert len({name.split("-")[0] for name in ids}) == 261


def test_four_small_sets_keep_their_texts(tmp_path: Path) -> None:
    src, out = tmp_path / "src", tmp_path / "speech_misc"
    sound(src / "vctk_4spk" / "p225_001.wav", 22_050)
    sound(src / "ljspeech" / "LJ001-0001.wav", 22_050)
    (src / "ljspeech" / "metadata.csv").write_text("LJ001-0001|Raw 1|Printing, one\n")
    sound(src / "librivox_with_phones" / "austen.wav")
    (src / "librivox_with_phones" / "austen.txt").write_text("she had")
    sound(src / "thorsten_emotional" / "angry.wav")
    convert("misc", src, out)
    clips = {c.id: c for c in load([out])[0]}
    assert clips["ljspeech/LJ001-0001"].text == "Printing  one"
    assert clips["librivox_with_phones/austen"].text == "she had"
    assert clips["thorsten_emotional/angry"].emotion == "anger"
    assert clips["vctk_4spk/p225_001"].speaker == "p225"


def test_takes_without_sound_are_compressed_and_read(tmp_path: Path) -> None:
    src, out = tmp_path / "src", tmp_path / "livelinkface_captures_noaudio"
    src.mkdir()
    (src / "take.csv").write_text("time_s,jawOpen\n0,0.1\n0.1,0.2\n0.2,0.3\n")
    convert("livelink", src, out)
    ((_, make),) = read_folder(out)
    assert make().audio is None


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed: GRID is NOT tried")
def test_grid_s_videos_become_clips_and_a_faceless_frame_stays_unknown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    src, out = tmp_path / "src", tmp_path / "grid_s1_video_blendshapes"
    src.mkdir()
    for name in ("bbaf2n", "lgbr3s"):
        subprocess.run(
            ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x48:rate=25", "-f",
             "lavfi", "-i", "sine=sample_rate=16000", "-t", "1", str(src / f"{name}.mpg")],
            check=True,
        )  # fmt: skip
    (src / "lgbr3s.align").write_text("0 25000 lay\n")
    (src / "bbaf2n.align").write_text("0 5000 sil\n5000 20000 bin\n20000 25000 blue\n")
    (src / "noise.mpg").write_bytes(b"no video")
    videos = iter(("bbaf2n", "lgbr3s", "noise"))

    def begin():
        name = next(videos)

        def look(picture: np.ndarray, seconds: float) -> Mapping[str, float] | None:
            assert picture.shape == (48, 64, 3)
            return None if name == "lgbr3s" and seconds > 0.5 else {"jawOpen": seconds}

        return look

    out.mkdir()
    grid(src, out, begin)
    (clip,), (skipped,) = load([out])
    assert (clip.id, clip.text) == ("grid_s1/bbaf2n", "bin blue")
    assert clip.capture is not None
    jaw = clip.capture.values[:, INDEX["jawOpen"]]
    assert len(jaw) == 25
    np.testing.assert_allclose(np.diff(jaw), 0.04, atol=2e-3)
    assert skipped.id == "grid_s1/lgbr3s"
    assert "frames hold NaN" in skipped.reason
    assert "skipped noise.mpg: no frame can be read" in caplog.text
    assert not (out / "audio" / "noise.flac").exists()


NOT_IN_THE_BUNDLE = {"grid_talkers", "speech_60_languages"}
"""Read, but no converter makes them (docs/data.md)."""


def test_every_set_is_one_that_a_reader_knows_by_name() -> None:
    names = {name for _, names in SETS.values() for name in names}
    assert names - {"livelinkface_captures_noaudio"} == set(READERS) - NOT_IN_THE_BUNDLE


def test_what_cannot_be_converted_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emodb", str(tmp_path), str(tmp_path / "mine")]) == 66
    assert "call the folder emodb: readers know sets by name" in capsys.readouterr().err
    assert main(["emodb", str(tmp_path / "no"), str(tmp_path / "emodb")]) == 66
    assert "no: no such folder" in capsys.readouterr().err
    assert main(["emodb", str(tmp_path), str(tmp_path / "emodb")]) == 66
    assert "no wav/*.wav in it" in capsys.readouterr().err
    (tmp_path / "emodb" / "x").write_text("")
    assert main(["emodb", str(tmp_path), str(tmp_path / "emodb")]) == 66
    assert "emodb is not empty" in capsys.readouterr().err
    assert main(["grid", str(tmp_path), str(tmp_path / "grid_other_speakers")]) == 66
    assert "face_landmarker.task" in capsys.readouterr().err
