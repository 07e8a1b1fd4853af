"""One network of a bundle on TensorRT: one CUDA graph a step, state never leaves the device."""

from __future__ import annotations

import atexit
import importlib
import logging
from collections.abc import Callable
from typing import Any

from edge.bundle import Network
from edge.contract import Floats, MissingError, Tensors
from edge.inference.tensorrt.cuda import Cuda

log = logging.getLogger("edge")


def load_tensorrt(name: str = "tensorrt") -> Any:
    """TensorRT's module. Nothing in it may be called before ``cuda.load_driver`` returned."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise MissingError(
            f"{name} for Python is missing ({error}); on a Jetson: apt install "
            "python3-libnvinfer, and a venv made with --system-site-packages"
        ) from error


class TensorrtErrors:
    """What TensorRT says, kept out of standard error; the first error explains a failure."""

    def __init__(self, trt: Any) -> None:
        self.errors: list[str] = []
        bad = (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)
        keep = self.errors

        class Logger(trt.ILogger):  # type: ignore[misc]
            """TensorRT's own logger class, which takes a subclass only."""

            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                """Called by TensorRT from any thread."""
                log.debug("tensorrt: %s", message)
                if severity in bad:
                    keep.append(" ".join(message.split()))

        self.logger = Logger()

    def first(self) -> str:
        """The first error since the last call, or a stand-in."""
        found = self.errors[0] if self.errors else "it does not say why"
        self.errors.clear()
        return found


class TensorrtEngine:
    """One network with inputs and outputs in memory that CPU and GPU share.

    Two sets of state are written in turns. Each turn has an execution context of its own, bound
    once, and a CUDA graph: a step is one launch and one wait, and nothing is allocated.
    """

    def __init__(
        self, plan: bytes, network: Network, trt: Any, cuda: Cuda, graph: bool = True
    ) -> None:
        """``plan`` is a built engine; ``cuda`` is closed with this engine."""
        self._cuda = cuda
        self._trt = trt
        self._network = network
        self._complaints = TensorrtErrors(trt)
        self._turn = 0
        self._launches: list[Callable[[], None]] = []
        self._contexts: list[Any] = []
        atexit.register(self.close)
        try:
            self._runtime = trt.Runtime(self._complaints.logger)
            self._engine = engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                self._fail("the built engine does not load; remove it and run edge-build again")
            self._check(engine)
            self._allocate(network)
            self._contexts = [self._bind(engine, now, now ^ 1) for now in (0, 1)]
            self._launches = [self._launcher(context) for context in self._contexts]
            if graph:
                self._launches = [self._record(launch) for launch in self._launches]
            self.reset()
        except Exception as error:
            self.close()
            if isinstance(error, MissingError):
                raise
            why = " ".join(str(error).split())
            raise MissingError(f"{network.file}: TensorRT failed to start it ({why})") from error

    def _fail(self, what: str) -> None:
        raise MissingError(f"{self._network.file}: {what} ({self._complaints.first()})")

    def _check(self, engine: Any) -> None:
        found = {}
        for i in range(engine.num_io_tensors):
            name = engine.get_tensor_name(i)
            found[name] = tuple(engine.get_tensor_shape(name))
            if engine.get_tensor_dtype(name) != self._trt.float32:
                self._fail(f"{name} is not float32; export the bundle again")
        if found != {**self._network.inputs, **self._network.outputs}:
            self._fail(
                f"the built engine has {found}, not what bundle.yaml says; edge-build --force"
            )

    def _allocate(self, network: Network) -> None:
        inputs = {n: s for n, s in network.inputs.items() if not n.startswith("state.")}
        outputs = {n: s for n, s in network.outputs.items() if not n.startswith("state_out.")}
        shared = {name: self._cuda.shared(shape) for name, shape in (inputs | outputs).items()}
        self._inputs = {name: shared[name][0] for name in inputs}
        self._outputs = {name: shared[name][0] for name in outputs}
        self._fixed = {name: address for name, (_, address) in shared.items()}
        states = {n: s for n, s in network.inputs.items() if n.startswith("state.")}
        self._states = [
            {name: (self._cuda.memory(shape), shape) for name, shape in states.items()}
            for _ in range(2)
        ]

    def _bind(self, engine: Any, now: int, then: int) -> Any:
        context = engine.create_execution_context()
        if context is None:
            self._fail("no execution context; is the GPU's memory full?")
        addresses = dict(self._fixed)
        addresses |= {name: at for name, (at, _) in self._states[now].items()}
        addresses |= {
            name.replace("state.", "state_out.", 1): at
            for name, (at, _) in self._states[then].items()
        }
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                self._fail(f"TensorRT refuses the memory for {name}")
        return context

    def _launcher(self, context: Any) -> Callable[[], None]:
        def launch() -> None:
            if not context.execute_async_v3(self._cuda.stream):
                self._fail("a step failed")

        return launch

    def _record(self, launch: Callable[[], None]) -> Callable[[], None]:
        # The first run of a context does work that must not become part of the graph.
        launch()
        self._cuda.wait()
        return self._cuda.capture(launch)

    def step(self, **inputs: Floats) -> Tensors:
        """Run once; the arrays returned are the same objects every time."""
        for name, value in inputs.items():
            self._inputs[name][...] = value
        self._cuda.enter()
        self._launches[self._turn]()
        self._cuda.wait()
        self._turn ^= 1
        return self._outputs

    def reset(self) -> None:
        """Reset the state."""
        self._cuda.enter()
        for states in self._states:
            for address, shape in states.values():
                self._cuda.zero(address, shape)
        self._cuda.wait()

    def close(self) -> None:
        """Free device memory. Calling it twice is fine."""
        atexit.unregister(self.close)
        self._launches = []
        # In this order: a context needs its engine, an engine its runtime, and all of them CUDA.
        self._contexts = []
        self._engine = self._runtime = None
        self._inputs, self._outputs = {}, {}
        self._cuda.close()
