"""What many tests start from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from edge.audio.audio_file import read_audio
from edge.bundle import DEFAULT
from edge.contract import Floats
from tests.fakes import DEMO

INTEGRATION = Path(__file__).parent / "integration"


def pytest_configure() -> None:
    """Networks of tests are tiny: more threads of torch would only wait for one another."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # some tests import onnxruntime themselves


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies in ``tests/integration`` starts programs of others: `make test-integration`."""
    for item in items:
        if INTEGRATION in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def demo() -> Floats:
    """The demo clip, 16 kHz."""
    samples = read_audio(DEMO)
    samples.setflags(write=False)
    return samples


@pytest.fixture
def bundle_copy(tmp_path: Path) -> Path:
    """The shipped bundle where it may be damaged."""
    return Path(shutil.copytree(DEFAULT, tmp_path / "bundle"))
