"""Faces to a file: plain CSV, Live Link Face's CSV, JSON or animated glTF."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from edge.contract import (
    ARKIT_52,
    FPS,
    INDEX,
    BlendshapeFrame,
    ConfigError,
    faces_within,
)
from edge.files import AtomicFile, check_output, check_replaceable
from edge.outputs.tables import LONE, opposite, pascal
from edge.outputs.turn import ANGLES, angles
from edge.recording.gltf import Glb


class Format(Protocol):
    """Faces to bytes, in pieces that are written one after another."""

    head: bytes
    """Begins the file."""

    def row(self, frame: BlendshapeFrame) -> bytes:
        """One face."""

    def tail(self) -> bytes:
        """Ends the file."""


class CsvRecord:
    """``time_s`` (audio time of the face) and the 52 ARKit names, four decimals."""

    head = ("time_s," + ",".join(ARKIT_52) + "\n").encode()

    def row(self, frame: BlendshapeFrame) -> bytes:
        """One line."""
        weights = ",".join([f"{w:.4f}" for w in frame.weights.tolist()])
        return f"{frame.time:.5f},{weights}\n".encode()

    def tail(self) -> bytes:
        """Nothing."""
        return b""


# The app's recordings have each right direction before its left one, unlike its datagrams.
RECORDED = [opposite(name) if name in LONE else name for name in ARKIT_52]


class LiveLinkCsvRecord:
    """As Epic's Live Link Face app exports a take: 52 shapes, then 9 angles in radians.

    ``Timecode`` is ``hh:mm:ss:ff.fff`` of the audio, ff in 1/60 s.
    """

    head = (",".join(["Timecode,BlendShapeCount", *map(pascal, RECORDED), *ANGLES]) + "\n").encode()
    _AT = tuple(INDEX[name] for name in RECORDED)

    def row(self, frame: BlendshapeFrame) -> bytes:
        """One line."""
        seconds, frames = divmod(faces_within(frame.end), FPS)
        minutes, seconds = divmod(seconds, 60)
        code = f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}:{frames:02}.000,61"
        weights = frame.weights[list(self._AT)].tolist()
        return (code + "".join([f",{v:.10f}" for v in (*weights, *angles(frame))]) + "\n").encode()

    def tail(self) -> bytes:
        """Nothing."""
        return b""


class JsonRecord:
    """One document: ``fps``, ``names``, and ``frames`` with time, weights, head and emotion."""

    def __init__(self) -> None:
        start = {"format": "edgetalk-faces", "version": 1, "fps": FPS, "names": ARKIT_52}
        self.head = (json.dumps(start)[:-1] + ', "frames": [').encode()
        self._between = "\n"

    def row(self, frame: BlendshapeFrame) -> bytes:
        """One object, on a line of its own."""
        face = {
            "time": round(frame.time, 5),
            "weights": [round(w, 4) for w in frame.weights.tolist()],
            "head": [round(a, 4) for a in frame.head.tolist()],
            "level_db": round(frame.level_db, 1),
            "emotion": frame.emotion,
            "emotion_strength": round(frame.emotion_strength, 3),
        }
        between, self._between = self._between, ",\n"
        return (between + json.dumps(face)).encode()

    def tail(self) -> bytes:
        """The brackets that close it."""
        return b"\n]}\n"


FORMATS: dict[str, Callable[[], Format]] = {
    "csv": CsvRecord,
    "livelink": LiveLinkCsvRecord,
    "json": JsonRecord,
    "glb": Glb,
}
SUFFIXES = {"csv": ".csv", "livelink": ".csv", "json": ".json", "glb": ".glb"}


class FaceRecord:
    """A sink that writes beside the goal and renames when closed.

    So the goal is whole or as it was, whatever ends the run. A face that does not go forward in
    time (at rest without audio, or the neutral one at the end) has no place in it. A disk that
    fails stops the recording, not the faces; ``close`` says so.
    """

    duty = "record"

    def __init__(
        self, path: Path, form: Format, inputs: Iterable[Path | int] = (), force: bool = False
    ) -> None:
        """``ConfigError`` if ``path`` is one of the ``inputs``, or cannot be written.

        Without ``force`` also if a file is there that is no recording.
        """
        check_output("--record", path, inputs)
        if not force:
            check_replaceable("--record", path, is_recording)
        self._path, self._form, self._end = path, form, 0
        self._failed: ConfigError | None = None
        try:
            self._new = AtomicFile(path, flag="--record")
        except OSError as error:
            raise self._config_error(error) from error
        self._write(form.head)

    def _config_error(self, error: OSError) -> ConfigError:
        return ConfigError(f"--record {self._path}: {error.strerror}; choose another place")

    def _write(self, data: bytes) -> None:
        try:
            self._new.file.write(data)
        except OSError as error:
            self._failed = self._config_error(error)
            self.discard()

    def send(self, frame: BlendshapeFrame) -> None:
        """Append one face."""
        if frame.end > self._end and not self._new.file.closed:
            self._end = frame.end
            self._write(self._form.row(frame))

    def close(self) -> None:
        """Put the finished file in its place; ``ConfigError`` if it could not be written."""
        if not self._new.file.closed:
            self._write(self._form.tail())
        if not self._new.file.closed:
            try:
                self._new.commit()
            except OSError as error:
                self._failed = self._config_error(error)
        if self._failed:
            raise self._failed

    def discard(self) -> None:
        """Forget it all; what lay there before stays. Nothing happens once closed."""
        if not self._new.file.closed:
            self._new.discard()


def is_recording(head: bytes) -> bool:
    """Do these first bytes of a file begin what one of ``FORMATS`` writes?

    A phone's own take has the columns of ours, but fractions of frames in its timecodes.
    """
    if head.startswith(LiveLinkCsvRecord.head):
        rows = head.removeprefix(LiveLinkCsvRecord.head).split(b"\n")[:3]
        return all(row[11:19] == b".000,61," for row in rows if row)
    return head.startswith((CsvRecord.head, JsonRecord().head)) or (
        head.startswith(b"glTF") and b'"generator": "EdgeTalk"' in head[:200]
    )


def split_record(where: str) -> tuple[str, Path]:
    """Format and file of ``OUT.csv``, ``OUT.json``, ``OUT.glb``, or ``FORMAT:OUT`` for any name.

    Raises ``ConfigError`` for an unknown format.
    """
    form, colon, rest = where.partition(":")
    if colon and form in FORMATS:
        if not Path(rest).name:
            raise ConfigError(f"--record {where}: no file; write {form}:OUT")
        return form, Path(rest)
    if colon and form.isalpha():
        raise ConfigError(
            f"--record {where}: unknown format '{form}'; known: {', '.join(FORMATS)}"
            f" (a file of that name is ./{where})"
        )
    suffix = Path(where).suffix.lower()
    for form, known in SUFFIXES.items():
        if suffix == known:
            return form, Path(where)
    choice = ", ".join(f"{form}:{where}" for form in FORMATS)
    raise ConfigError(f"--record {where}: which format? Write {choice}, or end it in .csv")


def open_record(where: str, inputs: Iterable[Path | int] = (), force: bool = False) -> FaceRecord:
    """A record at the place that ``split_record`` reads; errors as there and in ``FaceRecord``."""
    form, path = split_record(where)
    return FaceRecord(path, FORMATS[form](), inputs, force)
