"""CUDA without a driver: one sentence, never a crash."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

import edge.inference.tensorrt.cuda
from edge.contract import MissingError
from edge.inference.tensorrt.cuda import CudaStream, load_driver, open_cuda


class FakeDriver:
    """A libcuda that notes its calls; those in ``failing`` return an error."""

    def __init__(self, *failing: str) -> None:
        self.calls: list[str] = []
        self.failing = failing

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        def call(*args: object) -> int:
            self.calls.append(name)
            if name == "cuStreamEndCapture":
                args[1]._obj.value = 7  # type: ignore[attr-defined]
            return 700 if name in self.failing else 0

        return call


def stream(driver: FakeDriver) -> CudaStream:
    made = CudaStream(driver)
    made.stream = 5
    return made


def test_no_driver_is_one_sentence() -> None:
    with pytest.raises(MissingError, match=r"no NVIDIA driver on this machine \(libcuda-of-nobody"):
        load_driver("libcuda-of-nobody.so.1")


def test_a_library_that_is_no_driver_is_refused() -> None:
    with pytest.raises(MissingError, match="no NVIDIA driver"):
        load_driver("libc.so.6")


def test_a_driver_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeDriver("cuInit"))
    with pytest.raises(MissingError, match="the NVIDIA driver does not start"):
        load_driver()


def test_without_pycuda_and_cuda_bindings_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(edge.inference.tensorrt.cuda, "load_driver", FakeDriver)
    monkeypatch.setattr(edge.inference.tensorrt.cuda.importlib, "import_module", absent)
    with pytest.raises(MissingError, match="pip install pycuda, or pip install cuda-bindings"):
        open_cuda()


def test_a_provider_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise RuntimeError("cuInit failed: no device")

    guest = SimpleNamespace(init=init)
    monkeypatch.setattr(edge.inference.tensorrt.cuda, "load_driver", FakeDriver)
    monkeypatch.setattr(edge.inference.tensorrt.cuda.importlib, "import_module", lambda name: guest)
    with pytest.raises(MissingError, match=r"pycuda.driver does not start \(cuInit failed"):
        open_cuda()


def test_a_graph_is_captured_once_and_launched_each_time() -> None:
    driver = FakeDriver()
    launch = stream(driver).capture(lambda: driver.calls.append("work"))
    launch()
    launch()
    assert driver.calls == [
        "cuStreamBeginCapture_v2", "work", "cuStreamEndCapture", "cuGraphInstantiateWithFlags",
        "cuGraphDestroy", "cuGraphLaunch", "cuGraphLaunch",
    ]  # fmt: skip


def test_capture_ends_although_the_work_fails() -> None:
    driver = FakeDriver()

    def work() -> None:
        raise MissingError("no")

    with pytest.raises(MissingError, match="no"):
        stream(driver).capture(work)
    assert driver.calls[-2:] == ["cuStreamEndCapture", "cuGraphDestroy"]


def test_a_failed_call_names_itself() -> None:
    with pytest.raises(MissingError, match=r"CUDA: cuStreamSynchronize failed \(unknown error\)"):
        stream(FakeDriver("cuStreamSynchronize")).wait()
