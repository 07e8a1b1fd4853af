"""The glTF file as programs of others read it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge.contract import ARKIT_52, INDEX
from tests.fakes import ROOT
from tests.test_gltf import record_ramp

PEERS = ROOT / "tests" / "peers"


def test_khronos_finds_nothing_wrong_and_three_js_moves_the_shapes(tmp_path: Path) -> None:
    if not shutil.which("node") or not (PEERS / "node_modules" / "gltf-validator").is_dir():
        pytest.skip("no Node or no gltf-validator: run tests/peers/install.sh")
    path, weights = record_ramp(tmp_path)
    command = ["node", str(PEERS / "gltf.mjs"), str(path), str(30 / 60)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["issues"] == []
    assert list(report["weights"]) == list(ARKIT_52)
    found = [report["weights"][name] for name in ARKIT_52]
    np.testing.assert_allclose(found, weights[29], atol=1e-3)
    assert report["weights"]["jawOpen"] == pytest.approx(weights[29, INDEX["jawOpen"]], abs=1e-3)
