"""Faces and their sound to a film of the head: headless Chromium draws, ffmpeg writes."""

from __future__ import annotations

import logging
import os
import queue
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from edge.contract import (
    SAMPLE_RATE,
    BlendshapeFrame,
    ConfigError,
    InputError,
    MissingError,
    UsageError,
)
from edge.files import AtomicFile, check_output, check_replaceable
from edge.preview.replay import read_clip
from edge.preview.server import PreviewServer, about

log = logging.getLogger(__name__)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FILMS = (".mp4", ".mov", ".m4v", ".mkv", ".webm")
"""Endings that ffmpeg takes for H.264 or VP9; it would also write a picture or the sound alone."""
FILM_FPS = 30
"""Pictures a second: every second face."""
SIDE = 720
"""Pixels; pictures are square, and come as RGBA from the lowest row up."""
PATIENCE = 120.0
"""Seconds without a picture after which the browser is given up: a start took 50 when busy."""
FLAGS = (
    "--headless=new", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--hide-scrollbars",
    "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    # Chromium looks its maker up some 30 times in the first seconds whatever else it is told.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-domain-reliability",
    "--disable-breakpad", "--no-pings",
)  # fmt: skip


def film_tools() -> tuple[str, str]:
    """Paths of Chromium and ffmpeg; ``MissingError`` says how to get the one that is not here."""
    browser = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser or not shutil.which(browser):
        raise MissingError("--render draws with Chromium: apt install chromium, or set CHROMIUM")
    ffmpeg = shutil.which("ffmpeg")
    if not ffmpeg:
        raise MissingError("--render writes with ffmpeg: apt install ffmpeg")
    return browser, ffmpeg


class Film:
    """A sink that keeps every face, and makes the film when all are there."""

    def __init__(
        self, out: str, clip: str, inputs: Iterable[Path | int] = (), force: bool = False
    ) -> None:
        """``out`` ends in one of ``FILMS``; ``clip`` is the sound.

        ``ConfigError`` if ``out`` is an input, or, without ``force``, there: who made a film
        cannot be told.
        """
        self._tools = film_tools()  # before the networks run
        self._out, self._clip = Path(out), Path(clip)
        if self._out.suffix.lower() not in FILMS:
            raise UsageError(f"--render {out}: give it the ending of a film: {', '.join(FILMS)}")
        if not self._out.parent.is_dir():
            raise InputError(f"--render {out}: no such folder; make it first")
        check_output("--render", self._out, [self._clip, *inputs])
        if not force:
            check_replaceable("--render", self._out, lambda _: False)
        self._rows: list[list[float]] = []

    def send(self, frame: BlendshapeFrame) -> None:
        """Remember the face."""
        self._rows.append([frame.end / SAMPLE_RATE, *frame.weights.tolist(), *frame.head.tolist()])

    def close(self) -> None:
        """Nothing is held: ``make`` makes the film."""

    def make(self) -> int:
        """Draw and write; returns how many pictures."""
        try:
            film = AtomicFile(self._out, suffix=self._out.suffix, flag="--render")
        except OSError as error:
            raise ConfigError(
                f"--render {self._out}: {error.strerror}; choose another place"
            ) from error
        try:
            film.file.close()  # ffmpeg writes it by its name
            count = self._draw(film.part)
        except BaseException:
            film.discard()
            raise
        film.commit()
        return count

    def _draw(self, partial: Path) -> int:
        pictures: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        files = {
            "/recording.bin": np.array(self._rows, "<f4").tobytes(),
            "/about.json": about("film", self._out.name),
        }
        count = len(self._rows) * FILM_FPS // 60
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(PreviewServer(0, files, pictures.put, 4 * SIDE * SIDE, pause=0.0)) as server,
            running(
                [self._tools[0], *flags(folder), f"{server.url}?fps={FILM_FPS}&side={SIDE}"],
                home=folder,
            ) as browser,
        ):
            sound = Path(folder) / "clip.wav"
            sound.write_bytes(read_clip(self._clip))
            with running(encoder(self._tools[1], sound, partial), pipe=True) as writer:
                for i in range(count):
                    write(writer, picture(pictures, browser), self._out)
                    if (i + 1) % (10 * FILM_FPS) == 0:
                        log.info("%s: %d of %d pictures", self._out, i + 1, count)
                finish(writer, self._out)
        return count


def flags(folder: str) -> list[str]:
    """Of the browser; Chromium's sandbox does not run for root."""
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [*FLAGS, *root, f"--user-data-dir={folder}/profile"]


def encoder(ffmpeg: str, sound: Path, out: Path) -> list[str]:
    """Pictures on standard input and the sound, to what the film's name asks for."""
    kind = ["-f", "rawvideo", "-pix_fmt", "rgba", "-video_size", f"{SIDE}x{SIDE}"]
    return [
        *(ffmpeg, "-y", "-loglevel", "error", *kind, "-framerate", str(FILM_FPS), "-i", "-"),
        *(
            "-i",
            str(sound),
            "-vf",
            "vflip",
            "-pix_fmt",
            "yuv420p",
            "-movflags",
            "+faststart",
            str(out),
        ),
    ]


def homes(folder: str) -> dict[str, str]:
    """The variables by which a program finds the places that it keeps files in."""
    return {name: folder for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}


@contextmanager
def running(
    command: list[str], pipe: bool = False, home: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that never outlives the block; ``home`` is where it may leave files of its own."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if pipe else subprocess.DEVNULL,
        env={**os.environ, **homes(home)} if home else None,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except (subprocess.TimeoutExpired, ValueError):  # ValueError: its pipe is closed already
            process.kill()
            process.wait()


def picture(pictures: queue.SimpleQueue[bytes], browser: subprocess.Popen[bytes]) -> bytes:
    """The next one; an empty one is the page's way to say that it failed."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up and browser.poll() is None:
        try:
            if data := pictures.get(timeout=1.0):
                return data
            break
        except queue.Empty:
            continue
    raise MissingError("Chromium drew no picture; does it start? try another one with CHROMIUM=")


def write(writer: subprocess.Popen[bytes], data: bytes, out: Path) -> None:
    """Hand one picture to ffmpeg."""
    assert writer.stdin is not None
    try:
        writer.stdin.write(data)
    except OSError:
        finish(writer, out)


def finish(writer: subprocess.Popen[bytes], out: Path) -> None:
    """No more pictures: wait for ffmpeg, and raise its message if it failed."""
    output = writer.communicate()[1].decode(errors="replace").strip().splitlines()
    if writer.returncode:
        why = output[-1] if output else f"status {writer.returncode}"
        raise InputError(f"--render {out}: ffmpeg failed ({why}); choose another name or place")
