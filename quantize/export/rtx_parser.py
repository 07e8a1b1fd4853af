"""What NVIDIA's own ONNX parser and builder say of a file, without a GPU.

TensorRT-RTX brings the parser of TensorRT 11 and a builder to PyPI; it is not the engine that runs
on a Jetson, and none of its plans is kept.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from edge.contract import MissingError


def verdict(model: bytes) -> str:
    """Empty if a strongly typed network parses and builds, else the first complaint."""
    try:
        trt: Any = import_module("tensorrt_rtx")
    except ImportError as error:
        raise MissingError(
            "NVIDIA's parser is not installed: pip install tensorrt-rtx (or 'edgetalk[check]')"
        ) from error

    class Listener(trt.ILogger):  # type: ignore[misc]
        """Keeps errors; the default logger prints."""

        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: object, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split()))

    listener = Listener()
    builder = trt.Builder(listener)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, listener)
    if not parser.parse(model):
        errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        return " ".join((errors or listener.errors or ["parser: no reason given"])[0].split())
    config = builder.create_builder_config()
    if builder.build_serialized_network(network, config) is None:
        return (listener.errors or ["builder: no reason given"])[0]
    return ""
