"""The programs that the accuracy benchmark compares with, run for real."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

from benchmarks.accuracy import peers
from benchmarks.accuracy.peers import PEERS, follow
from edge.audio.audio_file import read_audio
from edge.contract import INDEX
from quantize.evaluation.test_clips import TestClip
from tests.fakes import DEMO

JAW = INDEX["jawOpen"]

INSTALLED = Path.home() / ".cache" / "edgetalk-bench" / "peers"


@pytest.mark.parametrize("peer", PEERS)
def test_a_real_peer_opens_its_mouth(
    peer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (INSTALLED / PEERS[peer]).exists() or not shutil.which("node"):
        pytest.skip(f"{peer} is not installed (see benchmarks/accuracy/peers.py): it is not asked")
    monkeypatch.setenv("EDGETALK_CACHE", str(tmp_path))
    voice = read_audio(DEMO)[: 4 * 16_000]
    clip = TestClip("set/demo", "set", "x", voice)
    faces = follow(peer, INSTALLED, [clip])["set/demo"]
    assert faces.shape == (clip.faces, 52)
    assert faces[:, JAW].std() > 0.01


def test_the_node_driver_is_valid_javascript() -> None:
    if not shutil.which("node"):
        pytest.skip("node is not installed: the driver of npm packages is not read")
    driver = Path(peers.__file__).with_name("peers.mjs")
    subprocess.run(["node", "--check", str(driver)], check=True)
