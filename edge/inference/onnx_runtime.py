"""The one place that imports ONNX Runtime, so that it never reports to its maker."""

from __future__ import annotations

import os
from typing import Any

from edge.contract import MissingError


def load_onnxruntime() -> Any:
    """The module ``onnxruntime`` with its telemetry off; ``MissingError`` where it is absent.

    From 1.29 on the Linux wheels write an identifier and a database to the home folder and look up
    a collector on the internet as soon as a network is loaded. The variable is read when the module
    is imported; ``disable_telemetry_events()`` comes too late for the files.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        if _interrupted(error):
            raise KeyboardInterrupt from error
        raise MissingError(f"onnxruntime cannot be loaded: {error}; pip install it") from error
    return onnxruntime


def _interrupted(error: BaseException | None) -> bool:
    """Did Ctrl-C come while the compiled module was loading, which calls that a failed import?"""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
