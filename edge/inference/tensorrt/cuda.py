"""The few CUDA calls a TensorRT engine needs, through pycuda or cuda-bindings.

Both import lazily and only after ``libcuda.so.1`` was found: TensorRT without a driver does not
raise, it crashes. Neither pycuda nor every version of cuda-bindings offers stream capture alike, so
streams and graphs go straight to the driver library.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edge.contract import Floats, MissingError

LIBRARY = "libcuda.so.1"
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on using CUDA
_DEVICEMAP = 2  # CU_MEMHOSTALLOC_DEVICEMAP
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


class Cuda(Protocol):
    """One device with one stream. Every failure is a ``MissingError``."""

    provider: str
    """``pycuda`` or ``cuda-bindings``."""
    gpu: str
    """Name of the device, such as ``Orin``."""
    sm: str
    """Compute capability without the dot, such as ``87``."""
    stream: int
    """Handle of the stream."""

    def shared(self, shape: tuple[int, ...]) -> tuple[Floats, int]:
        """Zeros in host memory that the device sees too, and their device address."""

    def memory(self, shape: tuple[int, ...]) -> int:
        """Address of zeros on the device, float32."""

    def zero(self, address: int, shape: tuple[int, ...]) -> None:
        """Set floats on the device to 0, in stream order."""

    def enter(self) -> None:
        """Make the device current on the calling thread."""

    def wait(self) -> None:
        """Until all work of the stream is done."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the work that ``work`` gives to the stream; the result launches it again."""

    def close(self) -> None:
        """Free everything, on the thread that opened it. Calling it twice is fine."""


def load_driver(library: str = LIBRARY) -> Any:
    """The driver's library, initialised; ``MissingError`` if there is no usable NVIDIA driver."""
    try:
        driver = ctypes.CDLL(library)
        status = driver.cuInit(0)
    except (OSError, AttributeError) as error:
        raise MissingError(f"no NVIDIA driver on this machine ({error})") from error
    if status:
        raise MissingError(f"the NVIDIA driver does not start ({_explain(driver, status)})")
    return driver


def open_cuda() -> Cuda:
    """The first device, through pycuda if that is installed, else through cuda-bindings."""
    driver = load_driver()
    for module, provider in (("pycuda.driver", PyCuda), ("cuda.bindings.driver", CudaBindings)):
        try:
            guest = importlib.import_module(module)
        except ImportError:
            continue
        try:
            return provider(driver, guest)
        except MissingError:
            raise
        except Exception as error:  # pycuda and cuda-bindings raise classes of their own
            raise MissingError(f"CUDA through {module} does not start ({error})") from error
    raise MissingError(
        "CUDA for Python is missing: pip install pycuda, or pip install cuda-bindings"
    )


def l4t(path: Path = Path("/etc/nv_tegra_release")) -> str:
    """Version of a Jetson's system such as ``R36.4.3``; empty elsewhere."""
    try:
        words = path.read_text().replace(",", " ").split()
        return f"{words[words.index('#') + 1]}.{words[words.index('REVISION:') + 1]}"
    except (OSError, ValueError, IndexError):
        return ""


def _explain(driver: Any, status: int) -> str:
    text = ctypes.c_char_p()
    driver.cuGetErrorString(status, ctypes.byref(text))
    return (text.value or b"unknown error").decode()


class CudaStream:
    """Streams, graphs and the current device by the driver's C functions."""

    stream: int

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._graphs: list[ctypes.c_void_p] = []
        self._context = ctypes.c_void_p()

    def _call(self, name: str, *args: Any) -> None:
        status = getattr(self._driver, name)(*args)
        if status:
            raise MissingError(f"CUDA: {name} failed ({_explain(self._driver, status)})")

    def _remember_context(self) -> None:
        self._call("cuCtxGetCurrent", ctypes.byref(self._context))

    def enter(self) -> None:
        """Make the device current on the calling thread."""
        self._call("cuCtxSetCurrent", self._context)

    def zero(self, address: int, shape: tuple[int, ...]) -> None:
        """Set floats on the device to 0, in stream order."""
        count = ctypes.c_size_t(int(np.prod(shape)))
        stream = ctypes.c_void_p(self.stream)
        self._call("cuMemsetD32Async", ctypes.c_uint64(address), ctypes.c_uint(0), count, stream)

    def wait(self) -> None:
        """Until all work of the stream is done."""
        self._call("cuStreamSynchronize", ctypes.c_void_p(self.stream))

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the work that ``work`` gives to the stream; the result launches it again."""
        stream, graph, ready = ctypes.c_void_p(self.stream), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", stream, _THREAD_LOCAL)
        try:
            try:
                work()
            finally:  # a stream left capturing refuses all other work
                self._call("cuStreamEndCapture", stream, ctypes.byref(graph))
            flags = ctypes.c_ulonglong(0)
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, flags)
        finally:
            if graph:
                self._call("cuGraphDestroy", graph)
        self._graphs.append(ready)
        return lambda: self._call("cuGraphLaunch", ready, stream)

    def _drop_graphs(self) -> None:
        while self._graphs:
            self._call("cuGraphExecDestroy", self._graphs.pop())


class PyCuda(CudaStream):
    """Memory and context by pycuda."""

    provider = "pycuda"

    def __init__(self, driver: Any, pycuda: Any) -> None:
        super().__init__(driver)
        self._pycuda = pycuda
        pycuda.init()
        device = pycuda.Device(0)
        self.gpu = str(device.name())
        self.sm = "".join(map(str, device.compute_capability()))
        self._primary = device.retain_primary_context()
        self._primary.push()
        self._remember_context()
        self._held: list[Any] = []
        self._stream = pycuda.Stream()
        self.stream = int(self._stream.handle)

    def shared(self, shape: tuple[int, ...]) -> tuple[Floats, int]:
        """Zeros in host memory that the device sees too, and their device address."""
        flags = self._pycuda.host_alloc_flags.DEVICEMAP
        array = self._pycuda.pagelocked_zeros(shape, np.float32, mem_flags=flags)
        self._held.append(array)
        return array, int(array.base.get_device_pointer())

    def memory(self, shape: tuple[int, ...]) -> int:
        """Address of zeros on the device, float32."""
        block = self._pycuda.mem_alloc(4 * int(np.prod(shape)))
        self._held.append(block)
        self.zero(int(block), shape)
        return int(block)

    def close(self) -> None:
        """Free everything. Calling it twice is fine."""
        if self._primary is None:
            return
        self._drop_graphs()
        self._held.clear()
        self._stream = None
        # Left to its destructor, pycuda would detach the context as if it were not the primary one;
        # left on pycuda's stack, it would abort the process at exit.
        self._primary.detach()
        self._primary = None


class CudaBindings(CudaStream):
    """Memory and context by cuda-bindings."""

    provider = "cuda-bindings"

    def __init__(self, driver: Any, bindings: Any) -> None:
        super().__init__(driver)
        self._cu = bindings
        self._freers: list[Callable[[], Any]] = []
        self._do("cuInit", 0)
        device = self._do("cuDeviceGet", 0)
        self.gpu = self._do("cuDeviceGetName", 128, device).split(b"\0")[0].decode()
        attribute = bindings.CUdevice_attribute
        self.sm = "".join(
            str(self._do("cuDeviceGetAttribute", attribute(which), device))
            for which in (_MAJOR, _MINOR)
        )
        context = self._do("cuDevicePrimaryCtxRetain", device)
        self._freers.append(lambda: self._do("cuDevicePrimaryCtxRelease", device))
        self._do("cuCtxSetCurrent", context)
        self._remember_context()
        stream = self._do("cuStreamCreate", 0)
        self._freers.append(lambda: self._do("cuStreamDestroy", stream))
        self.stream = int(stream)

    def _do(self, name: str, *args: Any) -> Any:
        status, *found = getattr(self._cu, name)(*args)
        if int(status):
            raise MissingError(f"CUDA: {name} failed ({_explain(self._driver, int(status))})")
        return found[0] if found else None

    def shared(self, shape: tuple[int, ...]) -> tuple[Floats, int]:
        """Zeros in host memory that the device sees too, and their device address."""
        count = int(np.prod(shape))
        host = self._do("cuMemHostAlloc", 4 * count, _DEVICEMAP)
        self._freers.append(lambda: self._do("cuMemFreeHost", host))
        address = int(self._do("cuMemHostGetDevicePointer", host, 0))
        array = np.ctypeslib.as_array((ctypes.c_float * count).from_address(int(host)))
        array[...] = 0
        return array.reshape(shape), address

    def memory(self, shape: tuple[int, ...]) -> int:
        """Address of zeros on the device, float32."""
        block = self._do("cuMemAlloc", 4 * int(np.prod(shape)))
        self._freers.append(lambda: self._do("cuMemFree", block))
        self.zero(int(block), shape)
        return int(block)

    def close(self) -> None:
        """Free everything. Calling it twice is fine."""
        if self._freers:
            self._drop_graphs()
        while self._freers:
            self._freers.pop()()
