"""The teachers that the repository holds: they open, hear, and show what their card says."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")

import torch

from edge.audio.audio_file import read_audio
from edge.contract import INDEX, Floats
from edge.features import N_MELS
from models.codebook import Codebook, CodebookConfig
from models.embedding import Embedding, EmbeddingConfig
from models.teacher import Teacher, TeacherConfig
from quantize.data.speech_encoder import INSTALL, PACKAGE, teacher_features
from quantize.data.targets import arkit_spread
from quantize.training.checkpoint import open_run
from quantize.training.inference import embed, faces_of
from tests.fakes import ROOT

pytestmark = pytest.mark.toolchain
HELD = ROOT / "models" / "checkpoints"


@pytest.fixture(scope="module")
def mels() -> Floats:
    if find_spec(PACKAGE) is None:
        pytest.skip(f"THE TEACHERS WERE NOT HEARD: {INSTALL}")
    return teacher_features(read_audio(ROOT / "edge" / "assets" / "demo.flac"), 288)


def test_they_take_less_room_than_they_may() -> None:
    size = sum(path.stat().st_size for path in HELD.rglob("*.pt"))
    assert 1e6 < size < 40e6


def test_the_teacher_speaks_and_its_codes_keep_what_it_shows(mels: Floats) -> None:
    net = open_run(HELD / "teacher" / "checkpoint.pt", "teacher", Teacher, TeacherConfig)
    faces = faces_of(net, mels)
    jaw = faces[:, INDEX["jawOpen"]]
    assert np.isfinite(faces).all()
    assert jaw.std() > 0.05  # it speaks
    assert np.percentile(jaw, 10) < 0.12 < np.percentile(jaw, 90)  # and shuts its mouth between

    codebook = open_run(HELD / "codebook" / "checkpoint.pt", "codebook", Codebook, CodebookConfig)
    whole = torch.from_numpy(faces[: len(faces) // 8 * 8] / arkit_spread())[None]
    with torch.no_grad():
        decoded, (slow, _), _ = codebook(whole)
    kept = np.corrcoef(decoded[0, :, INDEX["jawOpen"]].numpy(), jaw[: decoded.shape[1]])[0, 1]
    assert kept > 0.75
    assert len(slow.unique()) > 10


def test_the_embedding_is_a_distribution_around_the_sphere(mels: Floats) -> None:
    net = open_run(HELD / "emotion" / "checkpoint.pt", "emotion", Embedding, EmbeddingConfig)
    with torch.no_grad():
        mean, log_variance = embed(net, mels[:, :N_MELS])
    torch.testing.assert_close(mean.norm(dim=1), torch.ones(len(mean)))
    assert torch.isfinite(log_variance).all()
