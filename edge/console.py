"""How every command begins and ends: with one sentence or quietly, never in a traceback.

This module imports no library: Ctrl-C and the standard streams are seen to before any is loaded.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from types import FrameType
from typing import TextIO

STOPPED = 130
"""Exit status after Ctrl-C, as shells have it."""
UNAVAILABLE = 69
"""``edge.contract.MissingError.status``, which would take numpy to import."""


def edge_run() -> int:
    """The script ``edge-run``."""
    return run("edge.cli", "edge-run")


def edge_batch() -> int:
    """The script ``edge-batch``."""
    return run("edge.batch", "edge-batch")


def edge_preview() -> int:
    """The script ``edge-preview``."""
    return run("edge.preview.replay", "edge-preview")


def edge_build() -> int:
    """The script ``edge-build``."""
    return run("edge.inference.build", "edge-build")


def run(module: str, program: str) -> int:
    """Call ``main`` of a module; returns its exit status, or that of what went wrong around it."""
    # Not where it is ignored, as in the background of a shell.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if interruptible:  # half a second of imports, which need no clearing up
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        hold_streams()
        main = import_module(module).main
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        status = main()
    except SystemExit as end:  # of argparse
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        status = STOPPED
    except BrokenPipeError:  # the reader has seen enough
        status = 0
    except (OSError, ImportError, RuntimeError) as error:
        reason = reason_of(error)
        if reason is None:
            raise
        status = complain(program, reason)
    return close_streams(int(status or 0), program)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block by ``SystemExit``, so that half-written files go.

    The status is 128 and the signal's number, as shells have it. A signal that is ignored, as
    nohup does, stays ignored.
    """
    names = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    try:
        for name in names:
            signal.signal(name, _end)
        yield
    finally:
        for name in names:
            signal.signal(name, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def hold_streams() -> None:
    """Put something in the place of closed streams, and let no name be too strange to print.

    Else the next file that is opened, a recording perhaps, would be standard output. Standard input
    stays ``None`` in Python, and standard output cannot be written.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR if number == 2 else os.O_RDONLY)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        with contextlib.suppress(AttributeError):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def reason_of(error: Exception) -> str | None:
    """A sentence for what the machine refuses; ``None`` for an error of the program's own."""
    number = getattr(error, "errno", None)
    if number in (errno.EMFILE, errno.ENFILE) or "Too many open files" in str(error):
        return "too many open files: allow more (ulimit -n, LimitNOFILE=)"
    if "can't start new thread" in str(error):
        return "no more threads: allow more (ulimit -u, TasksMax=)"
    if (
        number in (errno.ENOSPC, errno.EIO, errno.EBADF)
        and getattr(error, "filename", None) is None
    ):
        return f"standard output cannot be written ({os.strerror(number)})"
    return None


def complain(program: str, reason: str) -> int:
    """One line on standard error, if that can be written; returns the exit status."""
    with contextlib.suppress(OSError, ValueError):
        print(f"{program}: {reason}", file=sys.stderr, flush=True)
    return UNAVAILABLE


def close_streams(status: int, program: str) -> int:
    """Write what is left; the interpreter would end in a traceback of its own if that fails."""
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        error = flushed(stream)
        if error is None:
            continue
        with contextlib.suppress(OSError):  # the interpreter tries once more, at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        if number == 1 and not isinstance(error, BrokenPipeError) and status == 0:
            status = complain(program, reason_of(error) or str(error))
    return status


def flushed(stream: TextIO) -> OSError | None:
    """Why a stream cannot be written, or ``None``."""
    try:
        stream.flush()
    except OSError as error:
        return error
    except ValueError:  # closed by someone
        return None
    return None
