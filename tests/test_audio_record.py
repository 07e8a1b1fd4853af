"""--record-audio: bounded, playable at any moment, private, and only on request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.audio.audio_file import read_audio
from edge.audio.capture import PacedFile
from edge.cli import main
from edge.config import Config
from edge.contract import ConfigError
from edge.recording.audio_record import AudioRecord, RecordedSource, wav_header
from tests.fakes import DEMO


def ramp(start: int, n: int) -> np.ndarray:
    return (np.arange(start, start + n) / 32767).astype(np.float32)


def test_the_header_is_that_of_a_wav_file() -> None:
    assert wav_header(3) == (
        b"RIFF\x2a\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0"
        b"data\x06\0\0\0"
    )


def test_the_newest_audio_is_kept_in_two_files_that_never_grow_beyond_their_half(
    tmp_path: Path,
) -> None:
    record = AudioRecord(str(tmp_path / "heard.wav"), half=1000)
    for n in range(35):
        record.put(ramp(n * 100, 100))
    record.close()
    newest, older = tmp_path / "heard.wav", tmp_path / "heard.old.wav"
    assert np.allclose(read_audio(newest), np.arange(3000, 3500) / 32768, atol=1e-4)
    assert np.allclose(read_audio(older), np.arange(2000, 3000) / 32768, atol=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["heard.old.wav", "heard.wav"]


def test_it_is_whole_before_it_is_closed_and_readable_for_the_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    record = AudioRecord(str(path))
    record._write(ramp(0, 160))
    assert len(read_audio(path)) == 160
    assert path.stat().st_mode & 0o777 == 0o600
    record.close()


def test_a_place_that_cannot_be_written_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"--record-audio /nowhere/a\.wav: No such file"):
        AudioRecord("/nowhere/a.wav")


def test_a_link_that_comes_between_two_files_ends_the_record_with_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = AudioRecord(str(tmp_path / "heard.wav"), half=100)
    (link := tmp_path / "heard.old.wav").symlink_to(tmp_path / "another's")
    record.put(ramp(0, 80))
    record.put(ramp(0, 80))
    record.close()
    assert link.is_symlink()
    assert "no longer recorded" in caplog.text
    assert "is a symbolic link" in caplog.text
    assert len(read_audio(tmp_path / "heard.wav")) == 80


def test_what_is_read_is_what_is_recorded(tmp_path: Path) -> None:
    record = AudioRecord(str(tmp_path / "heard.wav"))
    source = RecordedSource(PacedFile(str(DEMO), clock=lambda: 1e9), record)
    source._source._began = 0.0  # type: ignore[attr-defined]  # everything is due
    heard = np.concatenate([source.read(0).samples for _ in range(50)])  # type: ignore[union-attr]
    record.close()
    assert np.allclose(read_audio(tmp_path / "heard.wav"), heard, atol=1e-4)


def test_no_audio_is_stored_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Config().record_audio is None
    monkeypatch.chdir(tmp_path)
    assert main(["--mic", f"file:{DEMO}", "--offline"]) == 0
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "no audio is ever stored or sent" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("path", [".", "/"])
def test_a_record_without_a_name_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="is a folder; choose another name"):
        AudioRecord(path)
