"""What the tests on real sound servers need of the machine."""

from __future__ import annotations

from benchmarks.runtime.sound_server import Daemons, missing_tools


def absent(*daemons: Daemons) -> str:
    """What is not installed of the sound server (PipeWire unless named) and PortAudio, or ""."""
    if tools := missing_tools(*daemons):
        return ", ".join(tools)
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError) as error:
        return str(error)
    return ""
