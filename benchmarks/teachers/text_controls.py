"""What the words are compared with: GRID's sentences as a frozen teacher hears them.

``benchmarks.teachers.text_branch`` trains a head for each of ``ROWS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from edge.contract import ARKIT_52, Floats
from edge.features import N_MELS
from models.content import at_sixty
from models.teacher import Teacher
from models.text import EMBEDDING, UPPER
from quantize.data.clips import DataError
from quantize.data.load import load
from quantize.data.streams import load_audio, render_as_recorded
from quantize.data.targets import arkit_spread, fit_scales
from quantize.data.word_embeddings import WordEmbeddings, at_times, embed_clips
from quantize.evaluation.test_clips import cache

GRID = "grid_s1_video_blendshapes"
Rng = np.random.Generator


@dataclass(frozen=True)
class GridPart:
    """The clips of one split, all T faces long."""

    content: Tensor
    """(N, T, 160) of the frozen teacher, at 60 a second; likewise ``emotion`` (N, T, 32)."""
    emotion: Tensor
    faces: Tensor
    """(N, T, 52) as captured, in the source's standard deviations."""
    words: tuple[WordEmbeddings, ...]
    times: Floats
    """(T,) seconds into each clip."""


@torch.no_grad()
def read_part(net: Teacher, folder: Path, split: str) -> tuple[GridPart, NDArray[np.bool_]]:
    """GRID's clips of a split that fit their text, and the upper channels (52,) that live."""
    clips = load([folder / GRID])[0]
    scale = fit_scales([c for c in clips if c.split == "train"], ARKIT_52)
    bar = partial(tqdm, desc=split)
    loaded = load_audio([c for c in clips if c.split == split], cache() / "phones.json", bar)
    known = embed_clips(loaded, cache() / "words.npz")
    both = [(clip, words) for clip, words in zip(loaded, known, strict=True) if len(words.times)]
    if not both:
        raise DataError(f"{folder / GRID}: no {split} sentence fits its sound")
    streams = [render_as_recorded(clip, scale, net.speech > 0) for clip, _ in both]
    faces = min(len(s.mels) for s in streams) // 2 * 2
    voices = torch.from_numpy(np.stack([s.teacher_input(np.arange(faces)) for s in streams]))
    outputs = [(net.content(v)[0], net.emotion(v[..., :N_MELS])[0]) for v in voices.split(32)]
    content, emotion = (torch.cat([at_sixty(h[k]) for h in outputs]) for k in (0, 1))
    targets = np.stack([s.targets[:faces] for s in streams]) / arkit_spread()
    live = np.isin(np.arange(52), UPPER) & next(iter(scale.values())).live
    words = tuple(words for _, words in both)
    part = GridPart(content, emotion, torch.from_numpy(targets), words, streams[0].time[:faces])
    return part, live


def others(words: Sequence[WordEmbeddings], rng: Rng) -> list[WordEmbeddings]:
    """Each sentence's times with the words of another sentence that has as many."""
    counts = np.array([len(s.times) for s in words])
    mixed = list(words)
    for count in np.unique(counts):
        at = rng.permutation(np.flatnonzero(counts == count))
        for here, there in zip(at, np.roll(at, 1), strict=True):
            mixed[here] = replace(words[here], vectors=words[there].vectors)
    return mixed


def word_positions(words: Sequence[WordEmbeddings]) -> list[WordEmbeddings]:
    """Each word's place in its sentence, counted from the start and from the end, as a vector.

    Fixed random vectors as long as the words' own, so that the branch has as much to hold on to.
    """
    longest = max(len(s.times) for s in words)
    table = np.random.default_rng(0).standard_normal((2, longest, EMBEDDING)).astype(np.float32)
    norm = np.linalg.norm(np.concatenate([s.vectors for s in words]), axis=1).mean()
    table *= norm / np.sqrt(2 * EMBEDDING)
    return [
        replace(s, vectors=table[0, : len(s.times)] + table[1, : len(s.times)][::-1]) for s in words
    ]


def on_faces(words: Sequence[WordEmbeddings], times: Floats) -> Tensor:
    """(N, T, 384) half-precision embeddings of clips that all begin at 0."""
    return torch.from_numpy(np.stack([at_times(s, times).astype(np.float16) for s in words]))


Words = Callable[[GridPart, int], "Tensor | None"]
"""A split and a seed -> what stands for the words (N, T, 384)."""

ROWS: dict[str, Words] = {
    "voice alone": lambda part, seed: None,
    "voice, words": lambda part, seed: on_faces(part.words, part.times),
    "voice, another sentence's words": lambda part, seed: on_faces(
        others(part.words, np.random.default_rng(seed)), part.times
    ),
    "voice, place of the word": lambda part, seed: on_faces(word_positions(part.words), part.times),
}
