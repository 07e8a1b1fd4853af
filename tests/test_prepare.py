"""Recordings to shards and back: nothing is lost, nothing is guessed, splits stay apart."""

from __future__ import annotations

import json
import logging
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")
pytest.importorskip("webdataset", reason="webdataset is not installed: shards are not tested")

import soundfile

from edge.contract import INDEX, ConfigError
from quantize.cli import main
from quantize.data.clips import DataError, split_by_id
from quantize.data.corpus import Corpus, read_corpus
from quantize.data.load import load
from quantize.data.prepare import prepare
from quantize.data.shards import read
from quantize.data.streams import TrainingStream

pytestmark = pytest.mark.toolchain
JAW = INDEX["jawOpen"]


def recording(folder: Path, name: str, lost: range = range(0)) -> None:
    """1.5 s of noise and a jaw that follows a sine; no face in the rows of ``lost``."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(len(name))
    soundfile.write(folder / f"{name}.wav", rng.normal(0, 0.1, 24_000), 16_000)
    lines = ["time_s,jawOpen,browInnerUp"]
    for k in range(91):
        face = "," if k in lost else f"{0.3 + 0.2 * np.sin(k / 5):.4f},{0.1 * np.sin(k / 9):.4f}"
        lines.append(f"{k / 60:.5f},{face}")
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def phones(out: Path, ids: list[str]) -> None:
    """Known beforehand, so that nothing has to be recognised."""
    out.mkdir(exist_ok=True)
    rows = [{"start": 0.5, "end": 1.0, "viseme": "aa"}]
    (out / "phones.json").write_text(json.dumps(dict.fromkeys(ids, rows)))


def names(source: str, split: str, count: int) -> list[str]:
    """Names that fall into a split by themselves."""
    every = (f"take{k}" for k in range(10_000))
    fitting = (n for n in every if split_by_id(f"{source}/{n}", 0.05, 0.05) == split)
    return [next(fitting) for _ in range(count)]


def prepared(tmp_path: Path, **options: object) -> tuple[Path, dict[str, int]]:
    folder = tmp_path / "set"
    chosen = {"train": names("set", "train", 5), "validation": names("set", "validation", 2)}
    for name in chosen["train"] + chosen["validation"]:
        recording(folder, name, range(30, 60) if name == chosen["train"][0] else range(0))
    out = tmp_path / "out"
    phones(out, [f"set/{n}" for ns in chosen.values() for n in ns])
    return out, prepare([folder], out, **options)  # type: ignore[arg-type]


def by_id(out: Path, split: str) -> dict[str, TrainingStream]:
    return {record["id"]: stream for record, stream in read(out / "shards", split)}


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    out, counts = prepared(tmp_path)
    assert counts == {"train": 5, "validation": 2}
    record, stream = next(read(out / "shards", "validation"))
    assert record["source"] == record["speaker"] == "set"
    assert record["phones"] == [{"start": 0.5, "end": 1.0, "viseme": "aa"}]
    assert stream.mels.shape == (90, 40)
    assert stream.targets.shape == stream.live.shape == (90, 52)
    assert set(np.flatnonzero(stream.live.any(0))) == {JAW, INDEX["browInnerUp"]}
    # 0.5 s is the time of face 29; 10 is "aa".
    assert list(np.flatnonzero(stream.visemes == 10)) == list(range(29, 59))
    np.testing.assert_allclose(stream.time, (np.arange(90) + 1) / 60, atol=1e-6)
    scale = json.loads((out / "prepared.json").read_text())["scales"]["set"]
    captured = 0.3 + 0.2 * np.sin((np.arange(89) + 1) / 5)
    meant = (captured - scale["zero"][JAW]) * scale["factor"][JAW]
    np.testing.assert_allclose(stream.targets[:89, JAW], meant, atol=2e-3)


def test_a_lost_face_is_masked_in_the_shard_and_fits_no_scale(tmp_path: Path) -> None:
    out, _ = prepared(tmp_path)
    streams = by_id(out, "train")
    first = f"set/{names('set', 'train', 1)[0]}"
    live = streams[first].live[:, JAW]
    assert live[:28].all()
    assert not live[30:58].any()
    assert live[60:].all()
    assert all(s.live[:, JAW].all() for n, s in streams.items() if n != first)


def test_training_clips_are_rendered_anew_and_held_ones_are_not(tmp_path: Path) -> None:
    out, counts = prepared(tmp_path, renditions=3)
    assert counts == {"train": 15, "validation": 2}
    rendered: dict[str, list[TrainingStream]] = {}
    for k in range(3):
        for record, stream in read(out / "shards", "train", k):
            rendered.setdefault(record["id"], []).append(stream)
    assert all(len(streams) == 3 for streams in rendered.values())
    lengths = {len(s.mels) for streams in rendered.values() for s in streams}
    assert len(lengths) > 1  # other tempo, pauses
    pause = next(s for streams in rendered.values() for s in streams if s.clip[0] == -1)
    assert pause.time[0] == 0
    assert pause.clip[-1] == 0


def test_the_same_seed_gives_the_same_samples(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    chosen = names("set", "train", 2)
    for name in chosen:
        recording(folder, name)
    read_back = []
    for k, seed in enumerate((7, 7, 8)):
        out = tmp_path / f"out{k}"
        phones(out, [f"set/{n}" for n in chosen])
        prepare([folder], out, renditions=2, seed=seed)
        read_back.append([s.mels for _, s in read(out / "shards", "train", 1)])
    same = [np.array_equal(a, b) for a, b in zip(read_back[0], read_back[1], strict=True)]
    assert all(same)
    other = [
        a.shape == b.shape and np.array_equal(a, b) for a, b in zip(*read_back[1:], strict=True)
    ]
    assert not all(other)


def test_each_rendition_has_shards_of_its_own(tmp_path: Path) -> None:
    out, _ = prepared(tmp_path, renditions=2)
    found = sorted(path.name for path in (out / "shards").glob("*.tar"))
    assert found == [
        "train-000-000000.tar", "train-001-000000.tar", "validation-000-000000.tar",
    ]  # fmt: skip
    assert json.loads((out / "prepared.json").read_text())["shards"] == found
    with tarfile.open(out / "shards" / found[0]) as tar:
        kinds = {n.split(".", 1)[1] for n in tar.getnames()}
    assert kinds == {
        "mels.npy", "weights.npy", "mask.npy", "visemes.npy", "moment.npy", "speech.npy",
        "clip.json",
    }  # fmt: skip
    first, second = (list(read(out / "shards", "train", k)) for k in (0, 1))
    assert {record["id"] for record, _ in first} == {record["id"] for record, _ in second}


def test_what_teachers_hear_beside_the_mels_travels_with_the_shards_if_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(samples: np.ndarray) -> np.ndarray:
        return np.full((len(samples) // 384, 288), len(samples), np.float32)

    monkeypatch.setattr("quantize.data.speech_encoder._encode", encode)
    out, _ = prepared(tmp_path, renditions=2, speech=True)
    for rendition in (0, 1):
        for _, stream in read(out / "shards", "train", rendition):
            assert stream.speech.shape == (len(stream.mels), 288)
            assert stream.speech.min() == stream.speech.max() > 0
    assert corpus(out).make(1).speech.shape[1] == 288
    bare, _ = prepared(tmp_path)
    assert corpus(bare).make(0).speech.shape[1] == 0


def corpus(out: Path, **changed: object) -> Corpus:
    asked = {"data": [str(out)], "noise": None, "repeat": {}, "times": 12} | changed
    return read_corpus(out=out.parent, seed=0, **asked)  # type: ignore[arg-type]


def test_training_hears_the_shards_as_it_would_the_recordings(tmp_path: Path) -> None:
    out, _ = prepared(tmp_path, renditions=2)
    (tmp_path / "phones.json").write_bytes((out / "phones.json").read_bytes())
    shards, recorded = corpus(out), corpus(out, data=[str(tmp_path / "set")])
    assert shards.times == 2
    assert [*shards.scales] == [*recorded.scales] == ["set"]
    np.testing.assert_allclose(shards.scales["set"].factor, recorded.scales["set"].factor)
    assert {s.clip.id: s.phones for s in shards.clips} == {
        s.clip.id: s.phones for s in recorded.clips
    }
    lengths = sorted(len(v.mels) for v in shards.validation)
    assert lengths == sorted(len(v.mels) for v in recorded.validation) == [90, 90]
    once = shards.make(0)
    # Brows are in the shards, but not learned from speech.
    assert set(np.flatnonzero(once.live.any(0))) == {JAW}
    assert not once.targets[:, INDEX["browInnerUp"]].any()
    streams = by_id(out, "train")
    for k, loaded in enumerate(shards.clips):
        np.testing.assert_array_equal(once.mels[once.clip == k], streams[loaded.clip.id].mels)
    assert len(corpus(out, repeat={"set": 3}).make(0).mels) == 3 * len(once.mels)
    again = shards.make(1)
    assert set(np.unique(again.clip)) == {-1, *range(5)}


def test_shards_that_training_cannot_use_are_reported_in_a_sentence(tmp_path: Path) -> None:
    out, _ = prepared(tmp_path)
    with pytest.raises(ConfigError, match="out holds shards: give it alone"):
        corpus(out, data=[str(out), str(tmp_path / "set")])
    with pytest.raises(ConfigError, match="noise is mixed in by prepare --noise"):
        corpus(out, noise="rooms")
    with pytest.raises(DataError, match="only a student or a teacher trains from shards alone"):
        load([out])
    note = out / "prepared.json"
    record = json.loads(note.read_text())
    note.write_text(json.dumps({k: v for k, v in record.items() if k != "version"}))
    with pytest.raises(DataError, match="of another version of EdgeTalk; make them again"):
        corpus(out)
    note.unlink()
    with pytest.raises(DataError, match=r"prepared.json is missing; run edge-quantize prepare to"):
        corpus(out)
    note.write_text(json.dumps(record))
    shard = out / "shards" / record["shards"][0]
    shard.write_bytes(shard.read_bytes()[:20_000])
    with pytest.raises(DataError, match=r"train-000-000000.tar: damaged \(.*copy or prepare it"):
        corpus(out)
    shard.unlink()
    with pytest.raises(DataError, match=r"train-000-000000.tar is missing; copy or prepare it"):
        corpus(out)


def test_preparing_again_leaves_no_old_shard(tmp_path: Path) -> None:
    out, _ = prepared(tmp_path, renditions=3)
    prepare([tmp_path / "set"], out)
    assert sum(1 for _ in read(out / "shards", "train")) == 5
    assert not list(read(out / "shards", "train", 1))


def test_what_was_left_out_is_noted_with_its_reason(tmp_path: Path) -> None:
    recording(tmp_path / "set", "good")
    (tmp_path / "set" / "mute.csv").write_text("time_s,jawOpen\n0,0\n1,0\n2,0\n")
    phones(tmp_path / "out", ["set/good"])
    prepare([tmp_path / "set"], tmp_path / "out")
    note = json.loads((tmp_path / "out" / "prepared.json").read_text())
    assert note["skipped"] == [
        {"id": "set/mute", "reason": "no audio beside mute.csv; expected e.g. mute.wav"}
    ]


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        prepare([tmp_path / "none"], tmp_path / "out")


ffmpeg = pytest.mark.skipif(
    not shutil.which("ffmpeg"), reason="ffmpeg is not installed (apt install ffmpeg)"
)


@ffmpeg
def test_a_phones_take_becomes_a_recording_and_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tests.test_video import film, phone_sheet

    folder = tmp_path / "phone"
    folder.mkdir()
    film(folder / "t.mov", "-c:v", "mpeg4")
    phone_sheet(folder / "t.csv", "10:00:00:00", rows=100)
    phones(tmp_path / "out", ["phone/t"])
    with caplog.at_level(logging.INFO):
        counts = prepare([folder], tmp_path / "out")
    assert sum(counts.values()) == 1
    assert "t.mov: sound for t.csv" in caplog.text
    with caplog.at_level(logging.INFO):
        prepare([folder], tmp_path / "out")
    assert "t.mov: its take is kept" in caplog.text


@ffmpeg
def test_a_bad_video_is_left_out_and_one_without_a_model_ends_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.test_video import film

    folder = tmp_path / "films"
    folder.mkdir()
    film(folder / "a.mkv")
    status = main(["prepare", "--data", str(folder), "--out", str(tmp_path / "out")])
    assert status == 66
    (line,) = [s for s in capsys.readouterr().err.splitlines() if "face_landmarker" in s]
    assert line.startswith("edge-quantize: videos need MediaPipe's face_landmarker.task")


@ffmpeg
def test_videos_takes_and_recordings_of_one_folder_come_together(tmp_path: Path) -> None:
    from tests.test_video import film, phone_sheet

    folder = tmp_path / "mixed"
    recording(folder, "plain")
    film(folder / "t.mov", "-c:v", "mpeg4")
    phone_sheet(folder / "t.csv", "10:00:00:00", rows=100)
    (folder / "bad.mov").write_text("hello")
    phone_sheet(folder / "bad.csv", "10:00:00:00")
    phones(tmp_path / "out", ["mixed/plain", "mixed/t"])
    counts = prepare([folder], tmp_path / "out")
    read_back = {n for split in counts for n in by_id(tmp_path / "out", split)}
    assert read_back == {"mixed/plain", "mixed/t"}
    (left_out,) = json.loads((tmp_path / "out" / "prepared.json").read_text())["skipped"]
    assert left_out["id"] == "mixed/bad"
    assert "ffprobe cannot read it" in left_out["reason"]


def test_a_single_clip_that_falls_into_the_test_split_still_gets_its_scale(tmp_path: Path) -> None:
    (name,) = names("set", "test", 1)
    recording(tmp_path / "set", name)
    phones(tmp_path / "out", [f"set/{name}"])
    assert prepare([tmp_path / "set"], tmp_path / "out") == {"test": 1}
    (stream,) = by_id(tmp_path / "out", "test").values()
    assert stream.live[:, JAW].all()


def test_the_verb_makes_shards_and_says_how_many(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording(tmp_path / "set", names("set", "train", 1)[0])
    phones(tmp_path / "out", [f"set/{names('set', 'train', 1)[0]}"])
    with caplog.at_level(logging.INFO):
        arguments = ["--data", str(tmp_path / "set"), "--out", str(tmp_path / "out")]
        assert main(["prepare", *arguments]) == 0
    assert "1 train samples" in caplog.text
