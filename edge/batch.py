"""``edge-batch``: a folder of audio files to a folder of recorded faces."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before the libraries are loaded
    from edge.console import edge_batch

    sys.exit(edge_batch())

import argparse
import json
import logging
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edge.audio.audio_folder import find_audio
from edge.audio.capture import file_blocks
from edge.batch_flags import parser
from edge.bundle import DEFAULT, Bundle
from edge.bundle_reader import read_bundle
from edge.config import Config, parse, plain, read_config
from edge.console import ended_by_signals
from edge.contract import (
    SAMPLE_RATE,
    ConfigError,
    EdgeError,
    Engine,
    InputError,
    UsageError,
)
from edge.files import HEAD, check_output, open_regular
from edge.inference.engine import open_engines
from edge.recording.face_record import SUFFIXES, is_recording
from edge.recording.offline_record import record_faces
from edge.recording.output_paths import inputs_of
from edge.service.logs import set_up_logs
from edge.wiring import make_pipeline

log = logging.getLogger("edge")

MOST_GOAL = 1 << 40


class Batch:
    """Does one file after another and counts them; each has its own fresh start."""

    def __init__(
        self,
        out: Path,
        form: str,
        config: Config,
        force: bool = False,
        inputs: Sequence[Path | int] = (),
    ) -> None:
        """``inputs`` are never overwritten.

        ``MissingError`` or ``UsageError`` where no face could be made.
        """
        _check_place(out)
        self._out, self._form, self._config, self._force = out, form, config, force
        self._inputs = inputs
        self._bundle: Bundle = read_bundle(Path(config.bundle) if config.bundle else DEFAULT)
        self._lookahead = self._bundle.lookahead_of(config.lookahead)
        self._engines: tuple[Engine, Engine] = open_engines(
            self._bundle, config.engine, config.precision
        )
        self._taken: dict[Path, Path] = {}
        self.done, self.skipped, self.failed = 0, 0, dict[str, str]()
        self.status = 0
        self._audio = self._cpu = 0.0

    def do(self, path: Path, folder: Path) -> None:
        """One file of ``folder`` to its place in ``out``; what goes wrong is kept and reported."""
        goal = (self._out / path.relative_to(folder)).with_suffix(SUFFIXES[self._form])
        try:
            if other := self._taken.get(goal):
                raise InputError(f"{path}: its faces would overwrite those of {other.name}")
            self._taken[goal] = path
            if not self._force and _up_to_date(goal, path, self._form):
                self.skipped += 1
                return
            try:
                goal.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(f"--out {goal.parent}: {error.strerror}") from error
            pipeline = make_pipeline(self._config, self._bundle, self._engines, self._lookahead)
            blocks = file_blocks(str(path), SAMPLE_RATE, self._config.channel)
            where = f"{self._form}:{goal}"
            # Whether it may be replaced was seen to above.
            result = record_faces(blocks, where, pipeline, (), [path, *self._inputs], force=True)
        except EdgeError as error:
            self.fail(path, error)
            return
        self.done += 1
        self._audio += result.audio_s
        self._cpu += result.audio_s * result.cpu_s_per_audio_s

    def fail(self, path: Path, error: EdgeError) -> None:
        """Report a file or folder that could not be done; the first one sets ``status``."""
        log.error("%s", error)
        self.failed[str(path)] = str(error)
        self.status = self.status or error.status

    def summary(self) -> dict[str, Any]:
        """What was done, for ``--json``."""
        return {
            "done": self.done,
            "up_to_date": self.skipped,
            "failed": self.failed,
            "audio_s": round(self._audio, 3),
            "cpu_s_per_audio_s": round(self._cpu / self._audio, 5) if self._audio else None,
            "bundle": self._bundle.hash,
        }


def _check_place(out: Path) -> None:
    """``ConfigError`` if ``out`` can be no folder; one that is not there yet is made later."""
    try:
        mode = out.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}; choose another place") from error
    if not stat.S_ISDIR(mode):
        raise ConfigError(f"--out {out}: a file, not a folder; choose another place")


def _up_to_date(goal: Path, source: Path, form: str) -> bool:
    """``ConfigError`` if what is at ``goal`` was not written here, or is in another format."""
    check_output("--out", goal)
    if not goal.exists():
        return False
    try:
        with open_regular(goal, MOST_GOAL) as file:
            head = file.read(HEAD)
    except OSError as error:
        raise ConfigError(f"{goal}: {error.strerror}; choose another --out") from error
    found = ""
    if SUFFIXES[form] == ".csv":
        found = "livelink" if head.startswith(b"Timecode,") else "csv"
    if found not in ("", form):
        found = f"as {found} and not {form}"
    elif head and not is_recording(head):
        found = "and no recording of edge-run"
    else:
        found = ""
    if found:
        raise ConfigError(
            f"{goal}: there already, {found}; choose another --out, or --force to overwrite it"
        )
    try:
        return goal.stat().st_mtime >= source.stat().st_mtime
    except OSError:  # of the source: reading it says why
        return False


def _tell_left_out(left: Sequence[Path], folder: Path) -> None:
    """One line for the files that are no audio; ten names at most."""
    names = ", ".join(str(path.relative_to(folder)) for path in left[:10])
    more = f" and {len(left) - 10} more" if len(left) > 10 else ""
    log.warning("left out, because no audio that is known: %s%s", names, more)


def _with_progress(paths: Sequence[Path]) -> Iterable[Path]:
    """The same paths, with a bar where somebody can see it."""
    if not sys.stderr.isatty():
        return paths
    try:
        from tqdm import tqdm
    except ImportError:
        return paths
    bar: Iterable[Path] = tqdm(paths, unit="file")
    return bar


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    args = parser().parse_args(argv)
    set_up_logs(program="edge-batch")
    try:
        config = _config(args)
        paths, left, closed = find_audio(args.folder)
        if left:
            _tell_left_out(left, args.folder)
        inputs = inputs_of(config, args.config)
        batch = Batch(args.out, args.format, config, args.force, inputs)
        for place, error in closed.items():
            batch.fail(place, error)
        with ended_by_signals():
            for path in _with_progress(paths):
                batch.do(path, args.folder)
    except EdgeError as error:
        log.error("%s", error)
        return error.status
    except KeyboardInterrupt:
        log.error("stopped; the same command goes on from here")
        return 130
    except SystemExit as end:  # of ended_by_signals
        log.error("stopped; the same command goes on from here")
        return int(end.code or 0)
    if args.json:
        print(json.dumps(batch.summary()))
    else:
        print(f"{batch.done} done, {batch.skipped} up to date, {len(batch.failed)} failed")
    return batch.status


def _config(args: argparse.Namespace) -> Config:
    keys = ("channel", "bundle", "lookahead", "engine", "precision", "seed")
    given = {key: value for key in keys if (value := getattr(args, key)) is not None}
    config = read_config(Path(args.config)) if args.config else Config()
    try:
        return parse(plain(config) | given, "command line")
    except ConfigError as error:
        raise UsageError(str(error)) from error
