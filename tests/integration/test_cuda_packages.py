"""The real cuda-bindings and the real pycuda: without a driver, with a driver without a GPU, and on
a libcuda made here that keeps the driver's rules (``tests/cuda/libcuda.c``).

Each runs in a process of its own, because the loader finds libraries by its environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import ROOT

pytestmark = pytest.mark.toolchain

CUDA = ROOT / "tests" / "cuda"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgetalk-tests"
CACHE /= f"python{sys.version_info.major}.{sys.version_info.minor}"
HEADERS = "nvidia-cuda-runtime-cu12==12.6.77"  # of JetPack 6
BINDINGS = ("cuda-bindings==12.9.10", "cuda-bindings==13.5.0")  # for JetPack 6 and 7
PYCUDA = "pycuda==2026.1"
PACKAGES = (*BINDINGS, PYCUDA)
NO_DEVICE = "the NVIDIA driver does not start (no CUDA-capable device is detected)"


def fetched(what: str) -> Path:
    """A folder with the package, for PYTHONPATH; the test is skipped if it cannot be had."""
    folder = CACHE / what
    if folder.is_dir():
        return folder
    if what == PYCUDA and not os.environ.get("EDGETALK_PYCUDA"):
        pytest.skip("pycuda takes minutes to compile: EDGETALK_PYCUDA=1 does; it is NOT checked")
    part = f"{folder}.part"
    shutil.rmtree(part, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target", part, what]
    done = subprocess.run(
        ["bash", str(CUDA / "pycuda.sh"), part] if what == PYCUDA else pip,
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"{what} cannot be had here: its CUDA calls are NOT checked ({last})")
    Path(part).rename(folder)
    return folder


@pytest.fixture(scope="session", params=PACKAGES)
def package(request: pytest.FixtureRequest) -> Path:
    return fetched(request.param)


@pytest.fixture(scope="session")
def libcuda(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libcuda.so.1 that the package loads."""
    if not shutil.which("gcc") or not shutil.which("nm"):
        pytest.skip("gcc or nm is missing: CUDA calls are NOT checked")
    (headers,) = fetched(HEADERS).glob("nvidia/*/include")
    folder = tmp_path_factory.mktemp("libcuda")
    wanted = set()
    for binary in package.glob("pycuda/_driver*.so"):
        listed = ["nm", "-D", "--undefined-only", str(binary)]
        output = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
        wanted = {name for name in output if name.startswith("cu")}
    # pycuda does not load unless all it could ever call is there.
    hollow = folder / "hollow.c"
    hollow.write_text("".join(
        f"__attribute__((weak)) int {name}(void) {{ return 801; }}\n" for name in sorted(wanted)
    ))  # fmt: skip
    subprocess.run(
        ["gcc", "-Wall", "-Werror", "-shared", "-fPIC", f"-I{headers}", str(CUDA / "libcuda.c"),
         str(hollow), "-Wl,-soname,libcuda.so.1", "-o", str(folder / "libcuda.so.1")],
        check=True,
    )  # fmt: skip
    return folder


def run(
    package: Path, *command: str, libcuda: Path | str = "", init: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Python with a package to find, and perhaps a driver."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{package}", "LD_LIBRARY_PATH": str(libcuda)}
    environment |= {"FAKE_CUDA_INIT": init} if init else {}
    return subprocess.run(
        [sys.executable, *command], env=environment | more, cwd=ROOT, capture_output=True, text=True
    )


needs_no_driver = pytest.mark.skipif(
    any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/nvhost-ctrl-gpu")),
    reason="this machine has an NVIDIA GPU: its absence is not tested",
)


@needs_no_driver
def test_without_a_driver_it_is_one_sentence(package: Path) -> None:
    done = run(package, "-m", "edge.inference.build")
    assert done.returncode == 69
    assert done.stderr.startswith("edge-build: no NVIDIA driver on this machine (libcuda.so.1: ")
    assert done.stderr.count("\n") == 1


def test_a_driver_without_a_gpu_is_one_sentence(package: Path, libcuda: Path) -> None:
    done = run(package, "-m", "edge.inference.build", libcuda=libcuda, init="100")
    assert (done.returncode, done.stderr) == (69, f"edge-build: {NO_DEVICE}\n")


def test_the_package_itself_reports_a_missing_gpu_as_one_sentence(
    package: Path, libcuda: Path
) -> None:
    # Past our own probe, so that the package is the one to complain.
    script = (
        "import edge.inference.tensorrt.cuda, os\n"
        "driver = edge.inference.tensorrt.cuda.load_driver()\n"
        "os.environ['FAKE_CUDA_INIT'] = '100'\n"
        "edge.inference.tensorrt.cuda.load_driver = lambda: driver\n"
        "try: edge.inference.tensorrt.cuda.open_cuda()\n"
        "except edge.inference.tensorrt.cuda.MissingError as error: print(error)\n"
    )
    done = run(package, "-c", script, libcuda=libcuda)
    assert done.returncode == 0, done.stderr
    assert "no CUDA-capable device" in done.stdout or "no device" in done.stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("engine", ["auto", "tensorrt"])
def test_edge_run_without_a_gpu_falls_back_once_unless_tensorrt_was_demanded(
    package: Path, libcuda: Path, tmp_path: Path, engine: str
) -> None:
    (tmp_path / "tensorrt.py").write_text("")  # installed, as on a Jetson; never called
    done = run(
        tmp_path, "-m", "edge.cli", "--mic", "file:edge/assets/demo.flac", "--offline",
        "--engine", engine, libcuda=libcuda, init="100",
        PYTHONPATH=f"{ROOT}:{package}:{tmp_path}",
    )  # fmt: skip
    if engine == "tensorrt":
        assert (done.returncode, done.stderr) == (69, f"edge-run: {NO_DEVICE}\n")
    else:
        assert done.returncode == 0, done.stderr
        message = f"TensorRT is not used: {NO_DEVICE}. ONNX Runtime runs instead."
        assert done.stderr.count(message) == 1


def test_every_call_is_one_that_the_driver_takes(package: Path, libcuda: Path) -> None:
    """Memory, streams, graphs and threads, then thirty steps of the generator beside ONNX Runtime's
    and nothing left behind: ``tests/cuda/drive.py``."""
    done = run(package, str(CUDA / "drive.py"), libcuda=libcuda)
    assert (done.returncode, done.stderr) == (0, "")
    wanted = "pycuda" if (package / "pycuda").exists() else "cuda-bindings"
    assert done.stdout == f"{wanted}, Orin 87: 30 steps by graphs, 0 objects left\n"
