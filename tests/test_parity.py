"""Torch, ONNX Runtime on a whole clip and ONNX Runtime face by face say the same."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from edge.features import N_MELS
from models.student import Student
from models.student_sizes import StudentConfig
from quantize.export.to_onnx import to_onnx

pytestmark = [pytest.mark.toolchain, pytest.mark.filterwarnings("ignore")]
FRAMES = 90


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(3)
    made = Student(
        StudentConfig(width=24, hidden=32, codes=16, slow=4, fast=8, detail=4, decoder=16)
    ).eval()
    made.decoder.spread.copy_(torch.linspace(0.2, 2.0, 52))
    return made


def run(session, state, **inputs):
    names = [o.name for o in session.get_outputs()]
    found = dict(zip(names, session.run(None, inputs | state), strict=True))
    kept = {n.replace("state_out.", "state."): v for n, v in found.items() if "state_out" in n}
    return found, kept


def zeros(session):
    return {
        i.name: np.zeros(i.shape, np.float32)
        for i in session.get_inputs()
        if i.name.startswith("state.")
    }


@torch.no_grad()
def test_torch_and_both_ways_through_onnx_runtime_agree(student, tmp_path):
    mels = torch.randn(1, FRAMES, N_MELS)
    ahead = student.config.at(4)
    ahead[0, 10] = 0.5  # a word, so that every column is multiplied with something
    weights, aux, _ = student(mels, ahead, student.initial_state())
    wanted, emotion = weights[0].numpy(), aux.generator.emotion[0].numpy()

    networks = {"generator": student.generator, "decoder": student.decoder.fold_spread()}
    sessions = {}
    for frames in (1, FRAMES):
        inputs = {"mels": mels[:, :frames], "control": ahead}
        latent = {"latent": torch.zeros(1, 16) if frames == 1 else torch.zeros(1, frames, 16)}
        for name, given in (("generator", inputs), ("decoder", latent)):
            path = tmp_path / f"{name}{frames}.onnx"
            to_onnx(networks[name], name, given, path)
            sessions[name, frames] = onnxruntime.InferenceSession(str(path))

    whole = sessions["generator", FRAMES], sessions["decoder", FRAMES]
    output, _ = run(whole[0], zeros(whole[0]), mels=mels.numpy(), control=ahead.numpy())
    offline = run(whole[1], zeros(whole[1]), latent=output["latent"])[0]["weights"][0]

    generator, decoder = sessions["generator", 1], sessions["decoder", 1]
    generator_state, decoder_state, faces, emotions = zeros(generator), zeros(decoder), [], []
    for t in range(FRAMES):
        frame = mels[:, t : t + 1].numpy()
        now, generator_state = run(generator, generator_state, mels=frame, control=ahead.numpy())
        face, decoder_state = run(decoder, decoder_state, latent=now["latent"])
        faces.append(face["weights"][0, 0])
        emotions.append(now["emotion"][0])

    assert np.abs(wanted).max() > 0.05  # the networks say something at all
    np.testing.assert_allclose(offline, wanted, atol=1e-4)
    np.testing.assert_allclose(np.stack(faces), wanted, atol=1e-4)
    assert np.ptp(emotion, axis=0).max() > 0.05
    np.testing.assert_allclose(output["emotion"][0], emotion, atol=1e-4)
    np.testing.assert_allclose(np.stack(emotions), emotion, atol=1e-4)
