"""Quantisation-aware training: int8 weights learn to predict what the fp32 student predicts.

Plain torch: weights and activations are rounded on the way forward, gradients pass straight through
(Jacob et al. 2018). Activation peaks stay as calibrated. Seeded, and resumable after every round.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import trange

from edge.files import atomic_write
from models.generator import GeneratorOutput
from models.layers import Gru, gru_cell
from models.student import Student
from quantize.export.calibrate import CalibrationWindows, cut
from quantize.training.schedules import cosine

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class QatSettings:
    """One round, and what its loss weighs."""

    streams: int = 24
    """Side by side in a batch."""
    faces: int = 150
    """Of a window, after which weights are changed once."""
    windows: int = 10
    """In a row, with the state carried."""
    rate: float = 2e-5
    """Peak learning rate, down to a hundredth by a cosine."""
    latent: float = 0.1
    """Weight of the latent's error beside that of the faces; likewise the next."""
    codes: float = 1.0
    """Of the codes' KL divergence: the likeliest code should stay it (``evaluation.precision``)."""


Peaks = Mapping[str, float]


def round_weight(weight: Tensor) -> Tensor:
    """Weights (out, in) as ``qdq.quantise_weight`` will store them."""
    scale = weight.detach().abs().amax(dim=1).clamp_min(1e-6) / 127
    zero = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -128, 127)


def round_activation(x: Tensor, peak: float) -> Tensor:
    """An activation as QuantizeLinear will see it."""
    return torch.fake_quantize_per_tensor_affine(x, peak / 127, 0, -128, 127)


def product(x: Tensor, weight: Tensor, bias: Tensor | None, peak: float | None) -> Tensor:
    """A linear layer, in int8 if it has a peak."""
    if peak is None:
        return F.linear(x, weight, bias)
    return F.linear(round_activation(x, peak), round_weight(weight), bias)


class RoundedLinear(nn.Module):
    """A linear layer as it will run in int8."""

    def __init__(self, inner: nn.Linear, peak: float) -> None:
        super().__init__()
        self.inner, self.peak, self.in_features = inner, peak, inner.in_features

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C_in) -> (..., C_out)."""
        return product(x, self.inner.weight, self.inner.bias, self.peak)


class RoundedGru(nn.Module):
    """A ``Gru`` as it will run in int8, one frame after another."""

    def __init__(self, inner: Gru, peak_x: float | None, peak_h: float | None) -> None:
        super().__init__()
        self.inner, self.peak_x, self.peak_h = inner, peak_x, peak_h
        self.initial_state = inner.initial_state

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, C), hidden (B, H) -> y (B, T, H), hidden."""
        weight_x, given_h, bias_x, bias_h = self.inner.gru.all_weights[0]
        weight_h = given_h if self.peak_h is None else round_weight(given_h)
        out = []
        for from_x in product(x, weight_x, bias_x, self.peak_x).unbind(1):
            h = hidden if self.peak_h is None else round_activation(hidden, self.peak_h)
            hidden = gru_cell(from_x, F.linear(h, weight_h, bias_h), hidden)
            out.append(hidden)
        return torch.stack(out, dim=1), hidden


def rounded(student: Student, peaks: Peaks, keep: Collection[str]) -> Student:
    """Change ``student`` in place to run as int8 will, but for the layers in ``keep``."""
    wanted = {name: peak for name, peak in peaks.items() if name not in keep}
    for path, module in list(student.named_modules()):
        replacement: nn.Module | None = None
        if isinstance(module, Gru):
            x, h = (wanted.get(f"{path}.gru.weight_{side}_l0") for side in ("ih", "hh"))
            replacement = RoundedGru(module, x, h)
        elif isinstance(module, nn.Linear) and (peak := wanted.get(f"{path}.weight")):
            replacement = RoundedLinear(module, peak)
        if replacement is not None:
            parent, _, name = path.rpartition(".")
            setattr(student.get_submodule(parent), name, replacement)
    return student


def plain_state(student: Student) -> dict[str, Tensor]:
    """The weights of a ``rounded`` student under the names of a plain one."""
    return {name.replace("inner.", ""): value for name, value in student.state_dict().items()}


def copy_of(student: Student) -> Student:
    """Another student with the same weights, without dropout."""
    twin = Student(student.config)
    twin.load_state_dict(student.state_dict())
    return twin.eval()


def finetune(
    teacher: Student,
    peaks: Peaks,
    keep: Collection[str],
    folder: Path,
    rounds: int,
    saved: Path,
    seed: int = 0,
    settings: QatSettings = QatSettings(),
) -> Student:
    """A plain student whose weights were trained to be rounded; ``saved`` holds what is done."""
    student = rounded(copy_of(teacher), peaks, keep)
    optimiser = torch.optim.Adam(student.parameters(), lr=settings.rate)
    rate = cosine(optimiser, rounds)
    inputs = [sorted(peaks.items()), sorted(keep), rounds, seed, asdict(settings), _digest(teacher)]
    key, done = hashlib.sha256(json.dumps(inputs).encode()).hexdigest(), 0
    if saved.exists() and (old := torch.load(saved, weights_only=True))["key"] == key:
        student.load_state_dict(old["student"])
        optimiser.load_state_dict(old["optimiser"])
        rate.load_state_dict(old["schedule"])
        done = old["done"]
        log.info("quantisation-aware training goes on after round %d", done)
    conditioning = teacher.config.layout.all_lookaheads()
    files = len(sorted((folder / "renditions").glob("*.npz")))
    length = settings.faces * settings.windows
    bar = trange(done, rounds, initial=done, total=rounds, desc="quantisation-aware training")
    for k in bar:
        drawn, only = seed * 10_000 + k + 100, k % max(1, files)
        windows = cut(folder, conditioning, settings.streams, length, seed=drawn, only=only)
        loss = _round(teacher, student, optimiser, windows, settings)
        bar.set_postfix(loss=f"{loss:.2e}")
        rate.step()
        state: dict[str, Any] = {"key": key, "done": k + 1, "student": student.state_dict()}
        state |= {"optimiser": optimiser.state_dict(), "schedule": rate.state_dict()}
        with atomic_write(saved) as file:
            torch.save(state, file)
    result = Student(teacher.config)
    result.load_state_dict(plain_state(student))
    return result.eval()


def _round(
    teacher: Student,
    student: Student,
    optimiser: torch.optim.Optimizer,
    windows: CalibrationWindows,
    settings: QatSettings,
) -> float:
    """Train along the windows with the state carried; returns the mean loss."""
    mels, control = torch.from_numpy(windows.mels), torch.from_numpy(windows.control)
    teacher_state: Any = teacher.initial_state(settings.streams)
    state: Any = student.initial_state(settings.streams)
    losses = []
    for part in mels.split(settings.faces, dim=1):
        with torch.no_grad():
            wanted, wanted_faces, teacher_state = _run(teacher, part, control, teacher_state)
        predicted, faces, state = _run(student, part, control, state)
        loss = distance(faces, wanted_faces, teacher.decoder.spread)
        loss = loss + settings.latent * F.mse_loss(predicted.latent, wanted.latent)
        loss = loss + settings.codes * divergence(predicted.codes, wanted.codes)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        state = tuple(tuple(s.detach() for s in network) for network in state)
        losses.append(loss.item())
    return float(np.mean(losses))


def distance(faces: Tensor, wanted: Tensor, spread: Tensor) -> Tensor:
    """Mean square error of faces (B, T, 52), each shape in units of how much it moves."""
    moves = spread > 0
    return (((faces - wanted)[..., moves] / spread[moves]) ** 2).mean()


def divergence(codes: Tensor, wanted: Tensor) -> Tensor:
    """Mean KL divergence of both levels' chances from the wanted ones; logits (B, T, 2 x 256)."""
    given, right = (part.unflatten(-1, (2, -1)).log_softmax(-1) for part in (codes, wanted))
    return F.kl_div(given, right, reduction="none", log_target=True).sum(-1).mean()


def _run(
    student: Student, mels: Tensor, control: Tensor, state: Any
) -> tuple[GeneratorOutput, Tensor, Any]:
    output, generator = student.generator(mels, control, state[0])
    faces, decoder = student.decoder(output.latent, state[1])
    return output, faces, (generator, decoder)


def _digest(student: Student) -> str:
    digest = hashlib.sha256()
    for value in student.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
