"""Emotion from pitch and loudness alone, by a linear reading: what the embedding must beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from edge.audio.audio_file import read_audio
from edge.contract import SAMPLE_RATE, Floats
from quantize.data.clips import EMOTIONS, Clip


def pitch(samples: Floats) -> Floats:
    """(n,) fundamental in Hz every 10 ms by autocorrelation, 0 where unvoiced (60 to 400 Hz)."""
    frame, low, high = 640, SAMPLE_RATE // 400, SAMPLE_RATE // 60
    found = []
    for at in range(0, len(samples) - frame, 160):
        x = samples[at : at + frame] - samples[at : at + frame].mean()
        spectrum = np.fft.rfft(x, 2 * frame)
        r = np.fft.irfft(np.abs(spectrum) ** 2)[: high + 1]
        lag = low + int(r[low:].argmax())
        voiced = r[0] > 1e-3 and r[lag] > 0.4 * r[0]
        found.append(SAMPLE_RATE / lag if voiced else 0.0)
    return np.array(found, np.float32)


def prosody(samples: Floats) -> Floats:
    """(10,) pitch and loudness of a window: what an ear notices first."""
    hz = pitch(samples)
    tone = np.log(hz[hz > 0]) if (hz > 0).sum() > 3 else np.zeros(4)
    count = len(samples) // 160 * 160
    level = np.log(np.mean(samples[:count].reshape(-1, 160) ** 2, axis=1) + 1e-7)
    return np.array(
        [
            tone.mean(), tone.std(), *np.percentile(tone, (10, 90)), (hz > 0).mean(),
            level.std(), *np.percentile(level - level.max(), (10, 50, 90)),
            np.abs(np.diff(level)).mean(),
        ],
        np.float32,
    )  # fmt: skip


def windows_of(clip: Clip) -> list[Floats]:
    """The clip's samples in windows of 1.5 s, five a second."""
    assert clip.audio is not None
    samples = read_audio(clip.audio)
    size, hop = int(1.5 * SAMPLE_RATE), SAMPLE_RATE // 5
    samples = np.pad(samples, (0, max(0, size - len(samples))))
    return [samples[at : at + size] for at in range(0, len(samples) - size + 1, hop)]


def linear_reading(training: Sequence[Clip], seed: int = 0) -> torch.nn.Module:
    """Multinomial regression from prosody to emotion."""
    x = torch.from_numpy(np.stack([prosody(w) for c in training for w in windows_of(c)]))
    y = torch.tensor([EMOTIONS.index(c.emotion or "") for c in training for _ in windows_of(c)])
    torch.manual_seed(seed)
    scale = torch.nn.BatchNorm1d(x.shape[1], affine=False, momentum=None)
    scale(x)  # takes the mean and variance of all windows
    linear = torch.nn.Linear(x.shape[1], len(EMOTIONS))
    net = torch.nn.Sequential(scale.eval(), linear)
    weight = 1 / torch.bincount(y, minlength=len(EMOTIONS)).clamp(min=1)
    optimiser = torch.optim.LBFGS(net.parameters(), max_iter=200)

    def closure() -> float:
        optimiser.zero_grad()
        loss: torch.Tensor = F.cross_entropy(net(x), y, weight=weight)
        loss = loss + 1e-3 * (linear.weight**2).sum()
        loss.backward()
        return loss.item()

    optimiser.step(closure)
    return net
