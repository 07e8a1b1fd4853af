"""Renditions of a corpus on disk, made in another process ahead of the training that reads them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from edge.audio.audio_file import read_audio
from quantize.data.augment import Rooms
from quantize.data.clips import DataError
from quantize.data.pseudo_targets import viseme_poses, with_phone_faces
from quantize.data.streams import TrainingStream


class Renditions:
    """``count`` renditions under ``folder``; each is made once and read whenever its turn comes."""

    def __init__(self, folder: Path, make: Callable[[int], TrainingStream], count: int) -> None:
        self._folder, self._count = folder, count
        folder.mkdir(exist_ok=True)
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("fork"))
        self._pending: dict[int, Future[None]] = {}
        for k in range(count):
            path = self._path(k)
            if not path.exists():
                self._pending[k] = self._pool.submit(_make, make, k, path)

    def __enter__(self) -> Renditions:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _path(self, k: int) -> Path:
        return self._folder / f"{k:03d}.npz"

    def get(self, epoch: int) -> TrainingStream:
        """The rendition of an epoch, with likely faces where a voice has none."""
        stream = self.captured(epoch)
        return with_phone_faces(stream, *viseme_poses(stream))

    def captured(self, epoch: int) -> TrainingStream:
        """The rendition of an epoch, with captured faces alone."""
        k = epoch % self._count
        if future := self._pending.pop(k, None):
            future.result()
        return TrainingStream.load(self._path(k))


def _make(make: Callable[[int], TrainingStream], k: int, path: Path) -> None:
    make(k).save(path)


def read_rooms(folder: str | None) -> Rooms:
    """Noises and impulse responses under ``folder``."""
    if folder is None:
        return Rooms()
    kinds = []
    for kind in ("noise", "rir"):
        files = sorted(f for f in (Path(folder) / kind).glob("*") if f.is_file())
        if not files:
            raise DataError(f"{folder}: no audio in {kind}/; leave 'noise' out to do without")
        kinds.append([read_audio(f) for f in files])
    return Rooms(*kinds)
