"""Habits that keep a thread on time on a busy machine. Each can be refused; none is needed."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys

log = logging.getLogger(__name__)

PRIORITY = 30
"""SCHED_FIFO priority of the face loop; below a sound server's (PipeWire takes 88)."""

PR_SET_TIMERSLACK = 29
MCL_CURRENT, MCL_FUTURE = 1, 2


def tight_timers() -> bool:
    """Wake this thread, and threads it starts from now on, when it asked to be (Linux only).

    The kernel's default is up to 50 us later. Needs no privilege.
    """
    return _libc_call("prctl", PR_SET_TIMERSLACK, 1, 0, 0, 0)


def first_in_line(priority: int = PRIORITY) -> bool:
    """Run this thread, and only this one, before every ordinary one (SCHED_FIFO)."""
    if not hasattr(os, "SCHED_FIFO"):
        return False
    try:
        # Without RESET_ON_FORK helper threads and processes would be first in line as well.
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except OSError:
        return False
    return True


def stay_in_memory() -> bool:
    """Never let a page of this process be swapped out."""
    return _libc_call("mlockall", MCL_CURRENT | MCL_FUTURE)


def settle_garbage() -> None:
    """Leave everything made so far out of garbage collections to come. Call after the warm-up."""
    gc.collect()
    gc.freeze()


def be_realtime() -> None:
    """``first_in_line`` and ``stay_in_memory`` for the calling thread, or one warning."""
    refused = [
        what
        for what, granted in (
            ("SCHED_FIFO (LimitRTPRIO=)", first_in_line()),
            ("mlockall (LimitMEMLOCK=)", stay_in_memory()),
        )
        if not granted
    ]
    if refused:
        log.warning("realtime: the system refuses %s; going on without", " and ".join(refused))


def _libc_call(name: str, *args: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    return bool(function(*map(ctypes.c_ulong, args)) == 0)
