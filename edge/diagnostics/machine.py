"""The machine under the service to findings: JetPack, TensorRT, clocks, scheduling rights.

Nothing is changed here: a technician decides about power and clocks.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from edge.diagnostics.finding import Finding

JETPACK = {"35": "5", "36": "6", "38": "7", "39": "7"}
"""Release of Jetson Linux to JetPack."""

Command = Callable[[Sequence[str]], str]


def run_command(words: Sequence[str]) -> str:
    """Standard output of a program, or nothing if it is not there or fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def look_at_machine(root: Path = Path("/"), command: Command = run_command) -> Iterator[Finding]:
    """Everything that can be told without opening a device."""
    release = _jetson_release(root)
    yield _jetson(release, command)
    yield _tensorrt(release)
    if release:
        yield _power_mode(command)
    yield _governor(root, bool(release))
    yield _realtime()
    yield _memlock()


def _jetson_release(root: Path) -> str:
    """``36.4.3``, or nothing where this is not a Jetson."""
    try:
        text = (root / "etc/nv_tegra_release").read_text("utf-8")
    except OSError:
        return ""
    found = re.search(r"R(\d+).*REVISION: ([\d.]+)", text)
    return ".".join(found.groups()) if found else "unknown"


def _jetson(release: str, command: Command) -> Finding:
    if not release:
        return Finding("jetson", "ok", "not a Jetson: the networks run on the CPU")
    package = command(["dpkg-query", "-W", "-f", "${Version}", "nvidia-jetpack"]).strip()
    jetpack = package or JETPACK.get(release.split(".")[0], "unknown")
    return Finding("jetson", "ok", f"Jetson Linux {release}, JetPack {jetpack}")


def _tensorrt(release: str) -> Finding:
    if find_spec("tensorrt"):
        return Finding("tensorrt", "ok", "TensorRT can be imported")
    if not release:
        return Finding("tensorrt", "ok", "TensorRT is not here, and not needed")
    return Finding(
        "tensorrt", "warn",
        "this Python does not see TensorRT: apt install nvidia-jetpack, and make the venv with "
        "--system-site-packages; until then the CPU is used",
    )  # fmt: skip


def _power_mode(command: Command) -> Finding:
    mode = " ".join(command(["nvpmodel", "-q"]).split())
    if "MAXN" in mode:
        return Finding("power", "ok", mode)
    return Finding(
        "power", "warn", f"{mode or 'nvpmodel tells nothing (run this with sudo)'}: if cooling and "
        "supply allow, choose a larger mode of /etc/nvpmodel.conf: sudo nvpmodel -m ID",
    )  # fmt: skip


def _governor(root: Path, jetson: bool) -> Finding:
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    names = sorted({file.read_text("ascii").strip() for file in files})
    if not names:
        return Finding("clocks", "ok", "this machine has no frequency control")
    if names == ["performance"]:
        return Finding("clocks", "ok", "governor performance")
    way = "sudo jetson_clocks" if jetson else "sudo cpupower frequency-set -g performance"
    return Finding(
        "clocks", "warn", f"governor {', '.join(names)} makes late faces likelier: {way}"
    )


def _realtime() -> Finding:
    # A thread of its own: the right is tried for real, and ends with the thread.
    error: list[OSError] = []

    def attempt() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        except OSError as refused:
            error.append(refused)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    if not error:
        return Finding("realtime", "ok", "SCHED_FIFO is allowed")
    return Finding(
        "realtime", "warn", "SCHED_FIFO is refused, so other programs can make faces late: run as "
        "the service, or add 'USER - rtprio 50' to /etc/security/limits.d/edgetalk.conf",
    )  # fmt: skip


def _memlock() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft in (resource.RLIM_INFINITY, -1) or soft >= 512 << 20:
        return Finding("memlock", "ok", "memory may be locked")
    return Finding(
        "memlock", "warn", f"only {soft >> 20} MiB of memory may be locked, so it can be paged "
        "out: run as the service, or raise memlock in /etc/security/limits.d/edgetalk.conf",
    )  # fmt: skip
