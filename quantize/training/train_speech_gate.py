"""Voices, noises and made sounds to ``edge/assets/speech_gate.npz``, which tells them apart.

``python -m quantize.training.train_speech_gate --data DIR`` takes some ten minutes on two cores
and makes the weights that are shipped. ``quantize.data.gate_streams`` says what they learn from.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from edge.audio.audio_file import read_audio
from edge.contract import FPS
from edge.features import N_MELS
from edge.speech_gate import SCALE, WEIGHTS
from quantize.data.gate_streams import LANGUAGES, GateStreams, gate_voices, noise_files
from quantize.data.load import load
from quantize.training.schedules import cosine

STREAMS, STEPS, BATCH, RATE = 2400, 1500, 96, 8e-3
WINDOW = 4 * FPS
"""Faces of a stream that are learned at a time, from anywhere in it."""
HIDDEN = 48


class GateNetwork(nn.Module):
    """Features of the gate to the chance (as a logit) that they are speech, causal."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(2 * N_MELS, HIDDEN, batch_first=True)
        self.out = nn.Linear(HIDDEN, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, faces, 2 N_MELS) -> (B, faces)."""
        logits: torch.Tensor = self.out(self.gru(features * SCALE)[0])[..., 0]
        return logits


def draw(data: Path, streams: int, workers: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (streams, faces, 2 N_MELS) and speech (streams, faces), the same each time."""
    languages = load([data / LANGUAGES])[0]
    rooms = sorted((data / "noise_rir" / "rir").glob("*"))
    source = GateStreams(
        gate_voices(data, "train"),
        [c.audio for c in languages if c.split == "train" and c.audio is not None],
        [read_audio(f) for f in noise_files(data, "train")],
        [read_audio(f) for f in rooms],
        breathing_from=streams,
    )
    streams += streams // 4
    with Pool(workers) as pool:
        drawn = list(tqdm(pool.imap(source.draw, range(streams), 20), total=streams))
    features, speech = (np.stack(column) for column in zip(*drawn, strict=True))
    return torch.from_numpy(features), torch.from_numpy(speech)


def fit(features: torch.Tensor, speech: torch.Tensor, steps: int) -> GateNetwork:
    """Train on (streams, faces, 2 N_MELS) and (streams, faces), the same each time."""
    torch.manual_seed(0)
    network = GateNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    rate = cosine(optimiser, steps)
    bar = tqdm(range(steps))
    for _ in bar:
        rows = torch.randint(len(features), (BATCH, 1))
        faces = torch.randint(features.shape[1] - WINDOW + 1, (BATCH, 1)) + torch.arange(WINDOW)
        batch = features[rows, faces].float()
        # Another microphone; what rises above the noise floor is the same through any.
        batch[..., :N_MELS] += torch.randn(BATCH, 1, 1) * torch.linspace(-0.15, 0.15, N_MELS)
        loss = F.binary_cross_entropy_with_logits(network(batch), speech[rows, faces])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        rate.step()
        bar.set_postfix(loss=f"{float(loss.detach()):.3f}")
    return network


def save(network: GateNetwork, path: Path) -> None:
    """What ``edge.speech_gate`` reads."""
    arrays = {key: value.detach().numpy() for key, value in network.state_dict().items()}
    np.savez(path, **arrays)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, train, write."""
    p = argparse.ArgumentParser("train_speech_gate", description=__doc__.split("\n")[0])
    p.add_argument("--data", type=Path, required=True, metavar="DIR")
    p.add_argument("--out", type=Path, default=WEIGHTS, metavar="NPZ")
    p.add_argument("--streams", type=int, default=STREAMS)
    p.add_argument("--steps", type=int, default=STEPS)
    p.add_argument("--workers", type=int, default=2)
    args = p.parse_args(argv)
    torch.set_num_threads(1)  # so small a network is no faster on more, and sums depend on it
    save(fit(*draw(args.data, args.streams, args.workers), args.steps), args.out)


if __name__ == "__main__":
    main()
