"""The two networks of a bundle, run by ONNX Runtime on one CPU thread, or by TensorRT."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import Bundle, Network, Shapes
from edge.bundle_files import read_network
from edge.contract import Engine, Floats, MissingError, Tensors, UsageError, cut, quoted
from edge.inference.onnx_runtime import load_onnxruntime

log = logging.getLogger("edge")

ENGINES = ("auto", "onnxruntime", "tensorrt", "tensorrt-dla")


def open_engines(
    bundle: Bundle, engine: str = "auto", precision: str | None = None
) -> tuple[Engine, Engine]:
    """Generator and decoder of a bundle, ready to step.

    ``tensorrt`` builds what its cache lacks and raises ``MissingError`` if it cannot run;
    ``tensorrt-dla`` does so with whatever a Jetson's DLA takes on the DLA, refusing if it is none.
    ``auto`` does not wait for a build: it takes TensorRT where ``edge-build`` has been, and goes
    over to ONNX Runtime, saying so once, when that fails now or later. As a service it then starts
    the build in the background, for its next start. ``precision`` ``None`` is fp32 for ONNX
    Runtime; for TensorRT it is the fastest measured on this device, else fp16.
    """
    if engine not in ENGINES:
        raise UsageError(f"engine '{engine}': choose one of {', '.join(ENGINES)}")
    onnx = [
        lambda network=network: OnnxEngine(bundle.folder, network)
        for network in bundle.networks(precision)
    ]
    if engine.startswith("tensorrt"):
        return _open_tensorrt(bundle, precision, may_build=True, dla=engine == "tensorrt-dla")
    if engine == "auto" and importlib.util.find_spec("tensorrt"):
        once = LogOnce()
        try:
            fast = _open_tensorrt(bundle, precision, may_build=False)
            return FallbackEngine(fast[0], onnx[0], once), FallbackEngine(fast[1], onnx[1], once)
        except MissingError as error:
            once.say(error)
            _build_meanwhile(error, bundle, precision)
    return onnx[0](), onnx[1]()


def _open_tensorrt(
    bundle: Bundle, precision: str | None, may_build: bool, dla: bool = False
) -> tuple[Engine, Engine]:
    # Imported here: on a machine without TensorRT nothing of it is needed.
    from edge.inference.build import open_pair

    return open_pair(bundle, precision, may_build, dla)


def _build_meanwhile(error: MissingError, bundle: Bundle, precision: str | None) -> None:
    from edge.inference.build import UnbuiltError, build_meanwhile
    from edge.service.sd_notify import managed

    if isinstance(error, UnbuiltError) and managed():
        build_meanwhile(bundle, precision)


class LogOnce:
    """Says a single time that TensorRT is out of the game."""

    def __init__(self) -> None:
        self._logged = False

    def say(self, why: Exception) -> None:
        """Log it, unless that was done."""
        if not self._logged:
            log.warning("TensorRT is not used: %s. ONNX Runtime runs instead.", why)
        self._logged = True


class FallbackEngine:
    """An engine with another one in reserve, for a GPU that fails in the middle of a stream.

    The state is lost with the GPU, so the network hears silence before the failing step.
    """

    def __init__(self, engine: Engine, spare: Callable[[], Engine], once: LogOnce) -> None:
        self._engine = engine
        self._spare: Callable[[], Engine] | None = spare
        self._once = once

    def step(self, **inputs: Floats) -> Tensors:
        """Run once, on the spare engine from the first failure on."""
        try:
            return self._engine.step(**inputs)
        except MissingError as error:
            self._change(error)
            return self._engine.step(**inputs)

    def reset(self) -> None:
        """Reset the state."""
        try:
            self._engine.reset()
        except MissingError as error:
            self._change(error)

    def _change(self, error: MissingError) -> None:
        if self._spare is None:
            raise error
        spare, self._spare = self._spare, None
        self._once.say(error)
        broken, self._engine = self._engine, spare()
        try:
            broken.close()
        except MissingError as also:  # a GPU that is gone cannot even free its memory
            log.debug("%s", also)

    def close(self) -> None:
        """Close the engine in use."""
        self._engine.close()


class OnnxEngine:
    """One network with preallocated inputs and outputs, and two sets of state to swap.

    Binding the buffers once saves about 15 us a step against ``session.run``. More than one thread
    was measured to cost milliseconds now and then, for networks that take 30 us.
    """

    def __init__(self, folder: Path, network: Network, session: Any = None) -> None:
        """``session`` is that of another engine for the same network, to share its weights."""
        self._folder, self._network = folder, network
        if session is None:
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

    def another(self) -> OnnxEngine:
        """An engine for one more stream: the same weights, a memory of its own."""
        return OnnxEngine(self._folder, self._network, self._session)

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
        """Reset the state."""
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
    options = load_onnxruntime().SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # int8 weights multiply as int8 only where the bias is a node of its own; as uint8 they cannot
    # overflow the 16-bit sums of processors without VNNI.
    options.add_session_config_entry("optimization.disable_specified_optimizers", "MatMulAddFusion")
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    return options


def _open_session(path: Path) -> Any:
    options, make = session_options(), load_onnxruntime().InferenceSession
    model = read_network(path)  # the name need not be UTF-8, as ONNX Runtime wants it
    try:
        # Without the fallback, which would print a page and try the same again.
        return make(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # onnxruntime raises its own classes, which share only Exception
        raise MissingError(
            f"{path}: ONNX Runtime cannot load it ({cut(str(error), 200)})"
        ) from error


def _check_shapes(path: Path, session: Any, network: Network) -> None:
    found = {t.name: tuple(t.shape) for t in session.get_inputs()}
    if found != dict(network.inputs):
        raise MissingError(_differ(path, "takes", found, network.inputs))
    found = {t.name: tuple(t.shape) for t in session.get_outputs()}
    if found != dict(network.outputs):
        raise MissingError(_differ(path, "gives", found, network.outputs))


def _differ(path: Path, does: str, found: Shapes, wanted: Shapes) -> str:
    """The first name whose shape differs, because all of them would fill a screen."""
    name = next(n for n in (*found, *wanted) if found.get(n) != wanted.get(n))
    ours, theirs = quoted(wanted.get(name)), quoted(found.get(name))
    return f"{path}: {does} {quoted(name)} as {theirs}, but bundle.yaml says {ours}"
