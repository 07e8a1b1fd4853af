"""The two networks of a bundle, run by ONNX Runtime on one CPU thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import Bundle, Network
from edge.contract import Engine, Floats, MissingError, Tensors


def open_engines(bundle: Bundle) -> tuple[Engine, Engine]:
    """Generator and decoder of a bundle, ready to step."""
    return OnnxEngine(bundle.folder, bundle.generator), OnnxEngine(bundle.folder, bundle.decoder)


class OnnxEngine:
    """One network with preallocated inputs and outputs, and two sets of state to swap.

    Binding the buffers once saves about 15 us a step against ``session.run``. More than one thread
    was measured to cost milliseconds now and then, for networks that take 30 us.
    """

    def __init__(self, folder: Path, network: Network) -> None:
        path = folder / network.file
        session = _open_session(path)
        _check_shapes(path, session, network)
        self._session = session
        self._inputs = {
            name: np.zeros(shape, np.float32)
            for name, shape in network.inputs.items()
            if not name.startswith("state.")
        }
        self._outputs = {
            name: np.zeros(shape, np.float32)
            for name, shape in network.outputs.items()
            if not name.startswith("state_out.")
        }
        states = [n for n in network.inputs if n.startswith("state.")]
        self._states = [
            {name: np.zeros(network.inputs[name], np.float32) for name in states} for _ in range(2)
        ]
        self._bindings = [self._bind(now, then) for now, then in ((0, 1), (1, 0))]
        self._turn = 0

    def _bind(self, now: int, then: int) -> Any:
        binding = self._session.io_binding()
        for name, array in (self._inputs | self._states[now]).items():
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in (self._outputs | _out(self._states[then])).items():
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        return binding

    def step(self, **inputs: Floats) -> Tensors:
        """Run once; the arrays returned are the same objects every time."""
        for name, value in inputs.items():
            self._inputs[name][...] = value
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn ^= 1
        return self._outputs

    def reset(self) -> None:
        """Forget everything heard."""
        for states in self._states:
            for array in states.values():
                array[...] = 0

    def close(self) -> None:
        """Let the session go."""
        self._bindings = []


def _out(states: dict[str, Floats]) -> dict[str, Floats]:
    # ONNX forbids an output named like an input, so state comes out as state_out.*
    return {name.replace("state.", "state_out.", 1): array for name, array in states.items()}


def session_options() -> Any:
    """How EdgeTalk runs ONNX Runtime everywhere."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingError("onnxruntime is not installed: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # int8 weights multiply as int8 only where the bias is a node of its own; as uint8 they cannot
    # overflow the 16-bit sums of processors without VNNI.
    options.add_session_config_entry("optimization.disable_specified_optimizers", "MatMulAddFusion")
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    return options


def _open_session(path: Path) -> Any:
    options = session_options()
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, which share only Exception
        raise MissingError(f"{path}: ONNX Runtime cannot load it ({error})") from error


def _check_shapes(path: Path, session: Any, network: Network) -> None:
    found = {t.name: tuple(t.shape) for t in session.get_inputs()}
    if found != dict(network.inputs):
        raise MissingError(f"{path}: takes {found}, but bundle.yaml says {dict(network.inputs)}")
    found = {t.name: tuple(t.shape) for t in session.get_outputs()}
    if found != dict(network.outputs):
        raise MissingError(f"{path}: gives {found}, but bundle.yaml says {dict(network.outputs)}")
