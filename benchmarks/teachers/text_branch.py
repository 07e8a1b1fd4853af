"""Do the words help the upper face? ``python -m benchmarks.teachers.text_branch CHECKPOINT``.

A trained teacher is frozen; what it hears on GRID s1 (the one talker with a filmed upper face and a
known text) feeds a small head, trained anew for each row, with ``models.text`` beside it. The rows
differ in what stands where the words' embeddings belong: nothing, the words, another sentence's
words at the same times, or only a word's place in the sentence. GRID's sentences follow one pattern
of six words, so a place alone could explain a gain. Writes ``results/text.json``.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import RESULTS
from benchmarks.command_line import exit_status, options
from benchmarks.teachers.text_controls import ROWS, GridPart, Words, read_part
from edge.contract import ARKIT_52, Floats
from models.teacher import Teacher, TeacherConfig
from models.text import UPPER, TextBranch
from quantize.evaluation.metrics import pearson, rmse
from quantize.evaluation.record import write_record
from quantize.training.checkpoint import open_run
from quantize.training.losses import shape_loss
from quantize.training.schedules import warm_cosine

SEEDS, STEPS, BATCH, EVERY = 3, 300, 16, 30


class Upper(nn.Module):
    """content (B, T, 160), emotion (B, T, 32) and perhaps words (B, T, 384) -> faces (B, T, 52).

    The frozen teacher was never trained on a filmed upper face, so a head for what the voice alone
    tells is trained in every row; else any offset of the text branch would look like the words'
    merit.
    """

    def __init__(self, content: int, emotion: int, width: int = 64) -> None:
        super().__init__()
        self.hear = nn.Linear(content + emotion, width)
        self.around = nn.Conv1d(width, width, 31, padding=15, groups=width)
        self.show = nn.Linear(width, len(ARKIT_52))
        self.drop = nn.Dropout(0.3)
        self.text = TextBranch(content, emotion)

    def forward(self, content: Tensor, emotion: Tensor, words: Tensor | None) -> Tensor:
        """Faces in standard deviations; only the upper half is learned."""
        x = F.gelu(self.hear(self.drop(torch.cat([content, emotion], dim=2))))
        x = F.gelu(self.around(x.transpose(1, 2)).transpose(1, 2))
        faces: Tensor = self.show(self.drop(x))
        return faces if words is None else faces + self.text(words, content, emotion)


DEAF = ("words, no voice", "place of the word, no voice")
"""Rows whose head hears nothing: what is left of the words' merit without a voice to tell it."""


def train_row(
    words: Words, deaf: bool, taught: GridPart, held: GridPart, live: NDArray[np.bool_], seed: int
) -> Upper:
    """A head after the step that did best on ``held``."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Upper(taught.content.shape[2], taught.emotion.shape[2])
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=3e-2)
    rate = warm_cosine(optimiser, STEPS)
    given = words(taught, seed)
    best, kept = float("inf"), net
    for step in range(STEPS):
        at = torch.from_numpy(rng.choice(len(taught.words), BATCH, replace=False))
        net.train()
        optimiser.zero_grad()
        predicted = show(net, taught, given, deaf, at)
        error(predicted, taught.faces[at], live).backward()
        optimiser.step()
        rate.step()
        if (step + 1) % EVERY == 0:
            net.eval()
            with torch.no_grad():
                found = float(error(show(net, held, words(held, seed), deaf), held.faces, live))
            if found < best:
                best, kept = found, copy.deepcopy(net)
    return kept.eval()


def show(
    net: Upper, part: GridPart, words: Tensor | None, deaf: bool, at: Tensor | slice = slice(None)
) -> Tensor:
    """Faces of the clips ``at``; ``deaf`` hides the voice from head and gate."""
    audio = 0.0 if deaf else 1.0
    given = None if words is None else words[at].float()
    return net(audio * part.content[at], audio * part.emotion[at], given)


def error(predicted: Tensor, faces: Tensor, live: NDArray[np.bool_]) -> Tensor:
    """The teacher's shape loss over the live upper channels."""
    weights = torch.from_numpy(live.astype(np.float32)).expand_as(faces)
    return shape_loss(predicted, faces, weights, torch.ones(faces.shape[2]))


@torch.no_grad()
def judge(
    net: Upper, part: GridPart, words: Tensor | None, deaf: bool, live: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """r and RMSE (in standard deviations), each (N, live channels); r NaN where one stood still."""
    predicted = show(net, part, words, deaf).numpy()[..., live]
    faces = part.faces.numpy()[..., live]
    return (
        np.stack([pearson(a, b) for a, b in zip(predicted, faces, strict=True)]),
        np.stack([rmse(a, b) for a, b in zip(predicted, faces, strict=True)]),
    )


def measure(
    parts: dict[str, GridPart], live: NDArray[np.bool_]
) -> dict[str, tuple[Floats, Floats]]:
    """Row -> r and RMSE on the test sentences, each (seeds, N, live channels)."""
    taught, held, test = (parts[k] for k in ("train", "validation", "test"))
    deaf = dict(zip(DEAF, ("voice, words", "voice, place of the word"), strict=True))
    found: dict[str, list[tuple[Floats, Floats]]] = {}
    for seed in range(SEEDS):
        for name in (*ROWS, *DEAF):
            words, quiet = ROWS[deaf.get(name, name)], name in deaf
            net = train_row(words, quiet, taught, held, live, seed)
            tries = {name: words}
            if name == "voice, words":
                # The same head, tested otherwise than it was trained.
                wrong = ROWS["voice, another sentence's words"]
                tries |= {"trained with words, none given": ROWS["voice alone"]}
                tries |= {"trained with words, wrong ones given": wrong}
            for title, given in tries.items():
                made = judge(net, test, given(test, seed), quiet, live)
                found.setdefault(title, []).append(made)
                print(f"seed {seed}, {title}: r {np.nanmean(made[0]):.3f}, {made[1].mean():.3f}")
    return {
        name: (np.stack([r for r, _ in made]), np.stack([e for _, e in made]))
        for name, made in found.items()
    }


def summary(r: Floats, error: Floats, names: Sequence[str]) -> dict[str, Any]:
    """Means over everything, of each seed, and of each channel; (seeds, N, channels)."""
    return {
        "r": float(np.nanmean(r)),
        "r_of_seeds": np.nanmean(r, axis=(1, 2)).tolist(),
        "rmse": float(error.mean()),
        "rmse_of_seeds": error.mean(axis=(1, 2)).tolist(),
        "channels": {
            name: {"r": float(np.nanmean(r[..., k])), "rmse": float(error[..., k].mean())}
            for k, name in enumerate(names)
        },
    }


def gain(ours: Floats, theirs: Floats) -> dict[str, float]:
    """How much more r the first has, and where 95 % of it lie when clips are drawn anew.

    Both (seeds, N, channels); paired clip by clip, after the mean over seeds and channels.
    """
    each = np.nanmean(ours - theirs, axis=(0, 2))
    rng = np.random.default_rng(0)
    drawn = each[rng.integers(len(each), size=(5000, len(each)))].mean(1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"r": float(each.mean()), "low": float(low), "high": float(high)}


AGAINST = {
    "voice, words": (
        "voice alone",
        "voice, another sentence's words",
        "voice, place of the word",
    ),
    "words, no voice": ("place of the word, no voice",),
}
"""Which row is held against which."""


@exit_status("teachers.text_branch")
def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    p = options("teachers.text_branch", __doc__, checkpoint="of 'train teacher'", data=True)
    args = p.parse_args(argv)
    net = open_run(args.checkpoint, "teacher", Teacher, TeacherConfig)
    read = {k: read_part(net, args.data, k) for k in ("train", "validation", "test")}
    live = read["train"][1]
    names = [name for name, lives in zip(ARKIT_52, live, strict=True) if lives]
    made = measure({k: part for k, (part, _) in read.items()}, live)
    rows = {name: summary(*found, names) for name, found in made.items()}
    found = {
        "sentences": {k: len(part.words) for k, (part, _) in read.items()},
        "live": names,
        "dead": [ARKIT_52[i] for i in UPPER if not live[i]],
        "seeds": SEEDS,
        "rows": rows,
        "gains": {
            ours: {theirs: gain(made[ours][0], made[theirs][0]) for theirs in against}
            for ours, against in AGAINST.items()
        },
    }
    print(found["gains"])
    print(f"written: {write_record('text', found, RESULTS)}")


if __name__ == "__main__":
    sys.exit(main())
