"""Every name of TensorRT that edge touches exists in the bindings of 10.3.0 and of 11.4.0.

The real bindings are imported in a process of their own, on top of stub libraries made with gcc.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import ROOT

pytestmark = pytest.mark.toolchain

EDGE = ROOT / "edge" / "inference"
BINDINGS = ("tensorrt-cu12-bindings==10.3.0", "tensorrt-cu13-bindings==11.4.0.106")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgetalk-tests"
CACHE /= f"python{sys.version_info.major}.{sys.version_info.minor}"
LIBRARIES = ("libnvinfer", "libnvinfer_plugin", "libnvonnxparser")

# edge names its variables after TensorRT's classes, so that this test can follow them.
CLASSES = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "complaint": "ParserError",
    "cache": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "inspector": "EngineInspector",
    "context": "IExecutionContext",
}
DUMP = """
import json, sys, tensorrt_bindings as trt
def names(thing, depth=2):
    deeper = depth and isinstance(thing, type)
    inner = [n for n in dir(thing) if n[:2] != "__"] if deeper else []
    return {n: names(getattr(thing, n), depth - 1) for n in inner}
kept = {n: names(getattr(trt, n)) for n in dir(trt) if not n.startswith("_")}
json.dump({"version": trt.__version__, "names": kept}, sys.stdout)
"""


def used() -> set[tuple[str, ...]]:
    """Such as ("BuilderFlag", "GPU_FALLBACK") for trt.BuilderFlag.GPU_FALLBACK."""
    found = set()
    for file in ("build.py", "tensorrt/engine_trt.py"):
        for node in ast.walk(ast.parse((EDGE / file).read_text())):
            path = []
            while isinstance(node, ast.Attribute):
                path.insert(0, node.attr)
                node = node.value
            if not isinstance(node, ast.Name) or not path:
                continue
            name = node.id
            if name == "self" and len(path) > 1:
                name = path.pop(0).lstrip("_")
            if path[-1].startswith("__"):  # every class has these
                continue
            if name == "trt":
                found.add(tuple(path))
            elif name in CLASSES:
                found.add((CLASSES[name], *path))
    return found


@pytest.fixture(scope="session", params=BINDINGS)
def surface(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """All names of one version's bindings."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is missing: TensorRT's API is NOT checked")
    folder = CACHE / request.param
    if not folder.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target"]
        got = subprocess.run([*pip, f"{folder}.part", request.param], capture_output=True)
        if got.returncode:
            pytest.skip(f"pip cannot fetch {request.param}: its API is NOT checked")
        Path(f"{folder}.part").rename(folder)
    stubs = tmp_path_factory.mktemp("stubs")
    source = stubs / "stub.c"
    (binary,) = folder.glob("tensorrt_bindings/tensorrt.*")
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", str(binary)], capture_output=True, text=True, check=True
    ).stdout.split()
    wanted = sorted({n for n in listed if n.startswith(("createInfer", "createNv", "getInfer",
        "getNv", "getPlugin", "getBuilder", "initLib", "getLogger"))})  # fmt: skip
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in wanted))
    major = request.param.split("==")[1].split(".")[0]
    for name in LIBRARIES:
        library = f"{name}.so.{major}"
        made = ["gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{library}", str(source)]
        subprocess.run([*made, "-o", str(stubs / library)], check=True)
    environment = os.environ | {"LD_LIBRARY_PATH": str(stubs), "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", DUMP], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def missing(surface: dict, path: tuple[str, ...]) -> bool:
    names = surface["names"]
    for part in path:
        if part not in names:
            return True
        names = names[part]
        if not names:  # an attribute of an instance: what it has cannot be seen from the class
            return False
    return False


def test_every_name_edge_uses_is_there(surface: dict) -> None:
    assert [".".join(path) for path in sorted(used()) if missing(surface, path)] == []


def test_what_tensorrt_11_removed_is_seen_as_missing(surface: dict) -> None:
    removed = ("BuilderFlag", "FP16")
    assert missing(surface, removed) == (surface["version"].split(".")[0] == "11")
    assert missing(surface, ("ICudaEngine", "no_such_thing"))


def test_the_scan_sees_modules_enums_and_methods() -> None:
    expected = {
        ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
        ("Runtime",),
        ("Builder", "build_serialized_network"),
        ("IExecutionContext", "execute_async_v3"),
        ("ICudaEngine", "get_tensor_dtype"),
    }
    assert expected <= used()
