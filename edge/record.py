"""Faces to a CSV file, one row a face."""

from __future__ import annotations

from pathlib import Path

from edge.contract import ARKIT_52, SAMPLE_RATE, BlendshapeFrame, ConfigError


class CsvRecord:
    """Header ``time_s`` and the 52 ARKit names; ``time_s`` is the audio time of the face.

    Written beside the goal and renamed when closed, so a crash leaves an old recording whole.
    """

    duty = "record"

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(self._path.name + ".part")
        try:
            self._file = self._partial.open("w", encoding="ascii", newline="\n")
        except OSError as error:
            raise ConfigError(f"--record {path}: {error.strerror}; choose another place") from error
        self._file.write("time_s," + ",".join(ARKIT_52) + "\n")

    def send(self, frame: BlendshapeFrame) -> None:
        """Append one row."""
        weights = ",".join([f"{w:.4f}" for w in frame.weights.tolist()])
        self._file.write(f"{frame.end / SAMPLE_RATE:.5f},{weights}\n")

    def close(self) -> None:
        """Put the finished file in its place."""
        if not self._file.closed:
            self._file.close()
            self._partial.replace(self._path)
