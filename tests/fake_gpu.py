"""A GPU and a TensorRT that compute for real, on the CPU, and are as rude as real ones.

Nothing runs before ``wait``, the device does not see host addresses, a captured graph keeps the
addresses it was captured with, and a first run is not allowed to be captured.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from edge.contract import Floats, MissingError


class FakeGpu:
    """Memory by address, shared by all streams."""

    def __init__(self) -> None:
        self.memory: dict[int, Floats] = {}
        self.cudas: dict[int, FakeCuda] = {}
        self.addresses = itertools.count(0x7000_0000, 0x1000)
        self.opened = 0


class FakeCuda:
    provider = "fake"
    gpu = "Orin"
    sm = "87"

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu = gpu
        gpu.opened += 1
        self.stream = gpu.opened
        gpu.cudas[self.stream] = self
        self.queue: list[Callable[[], None]] = []
        self.captured: list[Callable[[], None]] | None = None
        self.allocations = 0
        self.launches = 0
        self.closed = False
        self.broken = False
        self.threads = {threading.get_ident()}
        self._own: list[int] = []

    def _new(self, shape: tuple[int, ...]) -> tuple[Floats, int]:
        address = next(self._gpu.addresses)
        self._gpu.memory[address] = np.full(shape, np.nan, np.float32)
        self._own.append(address)
        self.allocations += 1
        return self._gpu.memory[address], address

    def shared(self, shape: tuple[int, ...]) -> tuple[Floats, int]:
        array, address = self._new(shape)
        array[...] = 0
        return array, address

    def memory(self, shape: tuple[int, ...]) -> int:
        _, address = self._new(shape)
        self.zero(address, shape)
        return address

    def zero(self, address: int, shape: tuple[int, ...]) -> None:
        assert self._gpu.memory[address].shape == tuple(shape)
        self.submit(lambda: self._gpu.memory[address].fill(0))

    def enter(self) -> None:
        assert not self.closed
        self.threads.add(threading.get_ident())

    def submit(self, work: Callable[[], None]) -> None:
        assert threading.get_ident() in self.threads, "no context on this thread"
        if self.broken:
            raise MissingError("CUDA: cuGraphLaunch failed (unspecified launch failure)")
        (self.queue if self.captured is None else self.captured).append(work)

    def wait(self) -> None:
        assert threading.get_ident() in self.threads, "no context on this thread"
        assert self.captured is None, "waiting is not allowed while a stream is captured"
        while self.queue:
            self.queue.pop(0)()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        assert not self.queue
        self.captured = []
        work()
        graph, self.captured = self.captured, None

        def launch() -> None:
            self.launches += 1
            for each in graph:
                self.submit(each)

        return launch

    def close(self) -> None:
        self.closed = True
        for address in self._own:
            self._gpu.memory.pop(address, None)


class Flag(IntEnum):
    STRONGLY_TYPED = 1


class Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    INFO = 3


class Logger:
    Severity = Severity

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


class Context:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bound: dict[str, int] = {}
        self._ran = False

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._bound[name] = address
        if self._engine.refuses == name:
            return False
        return name in self._engine.shapes and address in self._engine.gpu.memory

    def execute_async_v3(self, stream: int) -> bool:
        cuda = self._engine.gpu.cudas[stream]
        if self._engine.fails:
            return False
        assert self._ran or cuda.captured is None, "the first run may not be captured"
        self._ran = True
        bound = dict(self._bound)
        assert bound.keys() == self._engine.shapes.keys()
        cuda.submit(lambda: self._engine.run(bound))
        return True


class Engine:
    def __init__(self, onnx: bytes, gpu: FakeGpu) -> None:
        self._session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
        self.gpu = gpu
        self.fails = False
        self.refuses = ""
        self.dtype = "float32"
        self.dla_layers = 0
        tensors = [*self._session.get_inputs(), *self._session.get_outputs()]
        self.shapes = {t.name: tuple(t.shape) for t in tensors}
        self.num_io_tensors = len(tensors)

    def get_tensor_name(self, i: int) -> str:
        return list(self.shapes)[i]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def get_tensor_dtype(self, name: str) -> str:
        return self.dtype

    def create_execution_context(self) -> Context:
        return Context(self)

    def create_engine_inspector(self) -> Any:
        layers: list[Any] = [{"LayerType": "DLA"}] * self.dla_layers
        inputs = [{"Format/Datatype": "Row major Int8 format"}]
        layers.append({"LayerType": "CaskConvolution", "Inputs": inputs})
        text = json.dumps({"Layers": layers})
        return SimpleNamespace(get_engine_information=lambda kind: text)

    def run(self, bound: dict[str, int]) -> None:
        memory = self.gpu.memory
        given = {t.name: memory[bound[t.name]] for t in self._session.get_inputs()}
        names = [t.name for t in self._session.get_outputs()]
        for name, found in zip(names, self._session.run(names, given), strict=True):
            memory[bound[name]][...] = found


class FakeTensorrt:
    """The part of the module that edge touches. ``version`` may be changed."""

    __name__ = "tensorrt"
    ILogger = Logger
    NetworkDefinitionCreationFlag = Flag
    MemoryPoolType = SimpleNamespace(WORKSPACE=0)
    ProfilingVerbosity = SimpleNamespace(DETAILED=2)
    LayerInformationFormat = SimpleNamespace(JSON=1)
    DeviceType = SimpleNamespace(DLA=1)
    BuilderFlag = SimpleNamespace(GPU_FALLBACK=3)
    float32 = "float32"

    def __init__(self, gpu: FakeGpu, version: str = "10.3.0", dla_cores: int = 0) -> None:
        self.__version__ = version
        self.gpu = gpu
        self.dla_cores = dla_cores
        self.dla_layers = 0
        self.spoil: Callable[[Engine], None] = lambda engine: None
        self.builds = 0
        self.engines: list[Engine] = []
        self.timings: list[bytes] = []
        self.configs: list[Any] = []
        self.parser_error = ""
        self.builder_error = ""

    def Runtime(self, logger: Logger) -> Any:
        def load(plan: bytes) -> Engine | None:
            logger.log(Severity.INFO, "Loaded engine size: 1 MiB")
            if not plan.startswith(b"PLAN"):
                logger.log(Severity.ERROR, "Magic tag\n does not match")
                return None
            self.engines.append(Engine(plan[4:], self.gpu))
            self.engines[-1].dla_layers = self.dla_layers
            self.spoil(self.engines[-1])
            return self.engines[-1]

        return SimpleNamespace(deserialize_cuda_engine=load)

    def Builder(self, logger: Logger) -> Any:
        def create_network(flags: int) -> Any:
            assert flags == 1 << Flag.STRONGLY_TYPED
            return SimpleNamespace(onnx=b"")

        def create_timing_cache(old: bytes) -> Any:
            self.timings.append(old)
            if old.strip(b"t"):  # of another version
                return None
            return SimpleNamespace(serialize=lambda: old + b"t")

        def config() -> Any:
            made = SimpleNamespace(
                set_memory_pool_limit=lambda pool, size: made.limits.update({pool: size}),
                set_flag=lambda flag: made.flags.append(flag),
                create_timing_cache=create_timing_cache,
                get_timing_cache=lambda: None,
                limits={},
                flags=[],
            )
            self.configs.append(made)
            made.set_timing_cache = lambda cache, mismatch: setattr(
                made, "get_timing_cache", lambda: cache
            )
            return made

        def build(network: Any, config: Any) -> bytes | None:
            self.builds += 1
            if self.builder_error:
                logger.log(Severity.ERROR, self.builder_error)
                return None
            return b"PLAN" + bytes(network.onnx)

        return SimpleNamespace(
            create_network=create_network,
            create_builder_config=config,
            build_serialized_network=build,
            num_DLA_cores=self.dla_cores,
        )

    def OnnxParser(self, network: Any, logger: Logger) -> Any:
        def parse(data: bytes) -> bool:
            network.onnx = data
            logger.log(Severity.ERROR, "importing failed at first, then another way worked")
            return not self.parser_error

        error = SimpleNamespace(desc=lambda: self.parser_error)
        return SimpleNamespace(parse=parse, get_error=lambda i: error)
