"""The CUDA calls and TensorRT's engine on the libcuda of ``libcuda.c``, through a real package.

TensorRT itself is the one of ``tests/fake_gpu.py``; its kernels are host functions in the stream.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.contract import Floats, MissingError
from edge.inference.engine import OnnxEngine
from edge.inference.tensorrt.cuda import Cuda, open_cuda
from edge.inference.tensorrt.engine_trt import TensorrtEngine
from tests.fake_gpu import Engine, FakeGpu, FakeTensorrt

DRIVER = ctypes.CDLL("libcuda.so.1")
DRIVER.fake_memory.restype = ctypes.c_void_p
WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
KEPT: list[Any] = []


def left() -> int:
    """Objects of the driver that are not freed."""
    return ctypes.c_int.in_dll(DRIVER, "fake_live").value


def memory(address: int, shape: tuple[int, ...]) -> Floats:
    """What lies at an address of the device."""
    count = int(np.prod(shape))
    at = DRIVER.fake_memory(ctypes.c_uint64(address), ctypes.c_size_t(4 * count))
    assert at, f"{address:#x} is not {count} floats of the device"
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(at)).reshape(shape)


def submit(stream: int, work: Callable[[], None]) -> None:
    """A kernel."""
    KEPT.append(WORK(lambda _: work()))
    assert DRIVER.cuLaunchHostFunc(ctypes.c_void_p(stream), KEPT[-1], None) == 0


class Streams:
    """What the fake's context asks for a stream."""

    def __getitem__(self, stream: int) -> Any:
        return SimpleNamespace(captured=None, submit=lambda work: submit(stream, work))


class Everywhere:
    """The fake's context asks whether an address is the device's; ``memory`` asks better."""

    def __contains__(self, address: int) -> bool:
        return True


class DriverEngine(Engine):
    """Computes on the driver's memory."""

    def run(self, bound: dict[str, int]) -> None:
        given = {t.name: memory(bound[t.name], t.shape) for t in self._session.get_inputs()}
        for t, found in zip(
            self._session.get_outputs(), self._session.run(None, given), strict=True
        ):
            memory(bound[t.name], t.shape)[...] = found


class Tensorrt(FakeTensorrt):
    def Runtime(self, logger: object) -> Any:
        gpu: Any = SimpleNamespace(cudas=Streams(), memory=Everywhere())
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: DriverEngine(plan, gpu))


def refused(work: Callable[[], Any]) -> str:
    """The sentence of a failure."""
    try:
        work()
    except MissingError as error:
        return str(error)
    raise AssertionError("nothing was refused")


def in_thread(work: Callable[[], Any]) -> None:
    """Like calling it, in a thread of its own."""
    wrong: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if wrong:
        raise wrong[0]


def try_memory(cuda: Cuda) -> None:
    array, address = cuda.shared((2, 3))
    assert not array.any()
    array[1, 2] = 7
    assert memory(address, (2, 3))[1, 2] == 7
    there = memory(cuda.memory((2, 3)), (2, 3))
    assert np.isnan(there).all(), "set to zero before its turn in the stream"
    cuda.wait()
    assert not there.any()


def try_graphs(cuda: Cuda) -> None:
    array, address = cuda.shared((4,))
    seen = memory(address, (4,))

    def add() -> None:
        seen[...] += 1

    launch = cuda.capture(lambda: submit(cuda.stream, add))
    cuda.wait()
    assert not array.any(), "capturing is not running"
    launch()
    launch()
    cuda.wait()
    assert (array == 2).all()
    before = left()
    assert "cuMemsetD32Async failed (error 1 of" in refused(
        lambda: cuda.capture(lambda: cuda.zero(1, (4,)))
    )
    assert left() == before
    # Waiting while the stream is captured is an error of the driver, and the capture ends.
    assert "cuStreamEndCapture failed (error 901" in refused(lambda: cuda.capture(cuda.wait))
    cuda.wait()


def try_threads(cuda: Cuda) -> None:
    in_thread(lambda: refused(cuda.wait))  # no context on this thread
    in_thread(lambda: (cuda.enter(), cuda.wait()))


def steps(count: int) -> int:
    """Two engines at once, as a bundle has them, stepped in another thread than opened."""
    bundle = read_bundle(DEFAULT)
    cudas = [open_cuda(), open_cuda()]
    engines = [
        TensorrtEngine((DEFAULT / n.file).read_bytes(), n, Tensorrt(FakeGpu()), cuda)
        for n, cuda in zip(bundle.networks(), cudas, strict=True)
    ]
    plain = [OnnxEngine(DEFAULT, n) for n in bundle.networks()]
    conditioning = bundle.conditioning_input(bundle.lookahead)
    mels = np.random.default_rng(0).normal(-1, 1, (count, 1, 1, 40)).astype(np.float32)

    def face(pair: list[Any], i: int) -> Floats:
        latent = pair[0].step(mels=mels[i], **conditioning)["latent"]
        return np.array(pair[1].step(latent=latent)["weights"])

    def compare() -> None:
        for engine in engines:
            engine.reset()
        for i in range(count):
            assert np.abs(face(engines, i) - face(plain, i)).max() < 1e-5, f"step {i}"

    kernels = len(KEPT)
    in_thread(compare)
    assert len(KEPT) == kernels, "a step gave the stream more than its graph"
    for engine in engines:
        engine.close()
    engines[1].close()
    return count


def main() -> None:
    cuda = open_cuda()
    try_memory(cuda)
    try_graphs(cuda)
    try_threads(cuda)
    cuda.close()
    cuda.close()
    assert not left()
    count = steps(30)
    print(f"{cuda.provider}, {cuda.gpu} {cuda.sm}: {count} steps by graphs, {left()} objects left")


if __name__ == "__main__":
    main()
