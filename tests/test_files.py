"""Files are whole or as they were, and nobody's link is followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.files import atomic_write, write_text


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    write_text(path, "old")
    with pytest.raises(TypeError), atomic_write(path) as file:
        file.write("half, and no bytes")  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["run.yaml"]


def test_the_umask_holds_and_a_private_file_is_private(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "shared", "x")
        with atomic_write(tmp_path / "private", 0o600) as file:
            file.write(b"x")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_a_link_at_the_target_is_replaced_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "of somebody else"
    other.write_text("theirs")
    link = tmp_path / "record.csv"
    link.symlink_to(other)
    write_text(link, "ours")
    assert other.read_text() == "theirs"
    assert not link.is_symlink()
    assert link.read_text() == "ours"


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "gone" / "file", "x")
