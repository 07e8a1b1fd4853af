"""A checkpoint to a bundle: ``edge-quantize export``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from edge.bundle import Bundle, File, Network, Tables
from edge.bundle_files import sha256
from edge.conditioning import INPUT
from edge.contract import ARKIT_52, InputError
from edge.features import N_MELS
from edge.files import atomic_write
from models.decoder import Decoder
from models.generator import Generator, GeneratorOutput
from models.student import Student
from models.student_sizes import StudentConfig
from quantize.data.clips import EMOTIONS
from quantize.export.lint import require
from quantize.git import git_commit
from quantize.training.checkpoint import open_run, settings_of

OPSET = 18
"""The newest that TensorRT 10.3 (JetPack 6) reads with a margin."""

STATES = {"generator": Generator.STATE_NAMES, "decoder": Decoder.STATE_NAMES}
OUTPUTS = {"generator": GeneratorOutput._fields, "decoder": ("weights",)}


def load_student(checkpoint: Path) -> Student:
    """The averaged weights of a checkpoint."""
    if not os.path.isfile(checkpoint):
        raise InputError(f"{checkpoint}: no such checkpoint; train one with edge-quantize train")
    if not settings_of(checkpoint):
        raise InputError(f"{checkpoint}: the run.yaml that was beside it is missing; copy it too")
    return open_run(checkpoint, "student", Student, StudentConfig)


class _Step(nn.Module):
    """One network with its state as separate tensors, as ONNX names them."""

    def __init__(self, network: Generator | Decoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs = len(tensors) - len(self.network.initial_state())
        out, state = self.network(*tensors[:inputs], tuple(tensors[inputs:]))
        return (*(out if isinstance(out, tuple) else (out,)), *state)


def export(checkpoint: Path, out: Path, name: str, lookahead: int) -> Bundle:
    """Write ``generator.onnx``, ``decoder.onnx`` and ``bundle.yaml`` into ``out``."""
    student, run = load_student(checkpoint), settings_of(checkpoint)
    config = student.config
    config.layout.check(lookahead)
    generator, decoder = write_networks(student, out)
    bundle = Bundle(
        folder=out,
        name=name,
        lookaheads=config.lookaheads,
        styles=config.styles,
        lookahead=lookahead,
        generator=generator,
        decoder=decoder,
        rest=rest_pose(student, lookahead),
        data=tuple(Path(folder).name for folder in run["data"]),
        git=git_commit(),
    )
    if run["teacher"]:
        bundle = replace(bundle, codes=write_tables(student, out), emotions=EMOTIONS)
    bundle.write()
    return bundle


def write_tables(student: Student, out: Path) -> File:
    """Write ``codes.npz``: what the runtime draws codes from and reads the emotion with."""
    vectors, reading = student.generator.slow_vectors.weight.T, student.reading
    arrays: list[Any] = [t.detach().numpy() for t in (vectors, reading.weight, reading.bias)]
    path = out / "codes.npz"
    with atomic_write(path) as file:
        np.savez(file, **dict(zip(Tables._fields, arrays, strict=True)))
    return File(path.name, sha256(path))


def write_networks(student: Student, out: Path) -> tuple[Network, Network]:
    """Write ``generator.onnx`` and ``decoder.onnx`` in fp32, and lint them."""
    out.mkdir(parents=True, exist_ok=True)
    config = student.config
    features = {
        "mels": torch.zeros(1, 1, N_MELS),
        INPUT: torch.zeros(1, config.layout.size),
    }
    latent = {"latent": torch.zeros(1, config.slow + config.fast + config.detail)}
    paths = out / "generator.onnx", out / "decoder.onnx"
    networks = (
        to_onnx(student.generator, "generator", features, paths[0]),
        to_onnx(student.decoder.fold_spread(), "decoder", latent, paths[1]),
    )
    for path in paths:
        require(onnx.load(path), path.name)
    return networks


@torch.no_grad()
def rest_pose(student: Student, lookahead: int) -> dict[str, float]:
    """The face after five seconds of quiet, to two decimals; the jaw is shut by definition."""
    quiet = torch.full((1, 300, N_MELS), -2.5)
    weights, _, _ = student(quiet, student.config.at(lookahead), student.initial_state())
    pose = weights[0, -60:].mean(0).clamp(0, 1).tolist()
    found = {n: round(w, 2) for n, w in zip(ARKIT_52, pose, strict=True) if w >= 0.005}
    found.pop("jawOpen", None)
    return found


def to_onnx(
    network: Generator | Decoder, name: str, inputs: dict[str, Tensor], path: Path
) -> Network:
    """Write one network for inputs of these shapes, (B, T, …), state named ``state.*``.

    T is 1 in a bundle; any other T gives a network for whole clips.
    """
    batch = len(next(iter(inputs.values())))
    memory = network.initial_state(batch)
    given = inputs | {f"state.{k}": v for k, v in zip(STATES[name], memory, strict=True)}
    outputs = [*OUTPUTS[name], *(f"state_out.{k}" for k in STATES[name])]
    step = _Step(network).eval()
    program = torch.onnx.export(
        step,
        tuple(given.values()),
        input_names=list(given),
        output_names=outputs,
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    with atomic_write(path) as file:
        file.write(program.model_proto.SerializeToString())
    return Network(
        path.name,
        sha256(path),
        {k: tuple(v.shape) for k, v in given.items()},
        {k: tuple(v.shape) for k, v in zip(outputs, step(*given.values()), strict=True)},
    )
