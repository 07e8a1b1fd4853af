"""Is the emotion recognised, in voices that were not trained on?

``python -m benchmarks.teachers.emotion_recognition CHECKPOINT``

The probabilistic embedding of ``edge-quantize train emotion`` on EMO-DB's speakers 15 and 16 and on
Thorsten's voice, in windows of 1.5 s, beside a linear reading of pitch and loudness. Also:
retrieval between voices and described faces, and whether the embedding is less sure where people
were (the share of listeners who recognised each recording, ``erkennung.txt``); and what a bundle
distilled from it recognises while it streams. Writes ``results/emotion.json`` and a plot.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks import RESULTS
from benchmarks.command_line import exit_status, options
from benchmarks.teachers.prosody import linear_reading, prosody, windows_of
from edge.bundle import Bundle
from edge.bundle_reader import read_bundle
from edge.contract import FPS, Floats, InputError
from edge.inference.engine import open_engines
from edge.voice_emotion import VoiceEmotion
from models.embedding import Embedding, EmbeddingConfig
from quantize.data.clips import EMOTIONS, Clip
from quantize.data.load import load
from quantize.data.streams import features_of_clip
from quantize.evaluation.record import write_record
from quantize.plotting import pyplot
from quantize.training.checkpoint import open_run
from quantize.training.inference import EMOTION_WINDOW as WINDOW
from quantize.training.inference import embed
from quantize.training.motion import motion
from quantize.training.student_emotion_head import SETTLED
from quantize.training.train_emotion_embedding import face_windows

TEST = ("emodb_15", "emodb_16")
HOP = FPS // 5


def accuracy(truth: Sequence[int], named: Sequence[int]) -> dict[str, Any]:
    """Share named rightly, over clips and as the mean over emotions, and the confusions."""
    table = np.zeros((len(EMOTIONS), len(EMOTIONS)), int)
    np.add.at(table, (np.array(truth), np.array(named)), 1)
    there = table.sum(1) > 0
    recall = table.diagonal()[there] / table.sum(1)[there]
    return {
        "clips": len(truth),
        "right": float(np.mean(np.array(truth) == np.array(named))),
        "mean_recall": float(recall.mean()),
        "confusions": {EMOTIONS[i]: table[i].tolist() for i in np.flatnonzero(there)},
    }


class StreamingEmotion:
    """The emotion that a bundle recognises, face by face, as ``edge.voice_emotion`` reads it."""

    def __init__(self, bundle: Bundle) -> None:
        tables = bundle.tables()
        if tables is None:
            raise InputError(
                f"{bundle.folder}: this bundle recognises no emotion; distil one that does"
            )
        self._emotion = VoiceEmotion(bundle.emotions, *tables[1:])
        self._generator, _ = open_engines(bundle, "onnxruntime")
        self._control = bundle.conditioning_input(bundle.lookahead)

    def logits(self, mels: Floats) -> torch.Tensor:
        """(faces, E) of a clip's mels (T, 40), from ``SETTLED`` on."""
        self._generator.reset()
        rows = []
        for mel in mels:
            output = self._generator.step(mels=mel[None, None], **self._control)
            rows.append(self._emotion.logits(output["emotion"]))
        return torch.from_numpy(np.stack(rows)[min(SETTLED, len(rows) - 1) :])


@torch.no_grad()
def judge(
    net: Embedding,
    reading: torch.nn.Module,
    student: StreamingEmotion | None,
    clips: Sequence[Clip],
) -> dict[str, Any]:
    """All readings on one set; classes that the set does not hold are not offered."""
    offered = sorted({EMOTIONS.index(c.emotion or "") for c in clips})
    named, prosodic, streamed = [], [], []
    for clip in clips:
        mean, _ = embed(net, features_of_clip(clip))
        named.append(best(net.read(mean), offered))
        x = torch.from_numpy(np.stack([prosody(w) for w in windows_of(clip)]))
        prosodic.append(best(reading(x), offered))
        if student:
            streamed.append(best(student.logits(features_of_clip(clip)), offered))
    truth = [EMOTIONS.index(c.emotion or "") for c in clips]
    found = {"embedding": accuracy(truth, named), "prosody": accuracy(truth, prosodic)}
    return found | ({"student": accuracy(truth, streamed)} if student else {})


def best(logits: torch.Tensor, offered: Sequence[int]) -> int:
    """What the rows of logits (N, E) say together, of the emotions offered."""
    chances = logits.log_softmax(1).mean(0)
    return offered[int(chances[list(offered)].argmax())]


@torch.no_grad()
def retrieval(net: Embedding, clips: Sequence[Clip], captured: Sequence[Clip]) -> dict[str, float]:
    """A voice finds a described face of its emotion among 100, and the other way round: first hit.

    By chance it is the share of that emotion.
    """
    rng = np.random.default_rng(0)
    emotion = np.array([EMOTIONS.index(c.emotion or "") for c in clips])
    talking = motion([c for c in captured if c.audio], captured)
    faces = net.face(torch.from_numpy(face_windows(talking, emotion, rng)))
    voices = [embed(net, features_of_clip(c)) for c in clips]
    middle = tuple(torch.stack([v[k][len(v[k]) // 2] for v in voices]) for k in (0, 1))
    match = net.match((middle[0], middle[1]), faces).numpy()
    shares = np.bincount(emotion) / len(emotion)
    return {
        "face_of_voice": float(np.mean(emotion[match.argmax(1)] == emotion)),
        "voice_of_face": float(np.mean(emotion[match.argmax(0)] == emotion)),
        "by_chance": float((shares**2).sum()),
        "pairs": len(emotion),
    }


@torch.no_grad()
def sureness(net: Embedding, clips: Sequence[Clip], folder: Path) -> tuple[Floats, Floats]:
    """Mean variance of each clip's windows, and the share of listeners who recognised it."""
    recognised = listeners(folder / "erkennung.txt")
    rows = [
        (
            float(embed(net, features_of_clip(c))[1].exp().sum(1).mean()),
            recognised[c.id.split("/")[1]],
        )
        for c in clips
        if c.id.split("/")[1] in recognised
    ]
    variance, share = np.array(rows, np.float32).T
    return variance, share


def listeners(path: Path) -> dict[str, float]:
    """Recording -> share of listeners who named the emotion meant (EMO-DB's own test)."""
    found = {}
    for line in path.read_text("latin1").split("\n")[1:]:
        words = line.split()
        if len(words) >= 3:
            share = "".join(ch for ch in words[2] if ch.isdigit() or ch == ",").replace(",", ".")
            found[words[1].removesuffix(".wav")] = float(share) / 100
    return found


def plot(table: dict[str, Any], variance: Floats, share: Floats, path: Path) -> None:
    """Confusions on the unseen speakers, and variance over what listeners recognised."""
    plt = pyplot()
    figure, panels = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for axes, name in zip(panels, ("embedding", "prosody"), strict=False):
        confusions = table[name]["confusions"]
        rows: NDArray[np.float64] = np.array([confusions[k] for k in confusions], float)
        axes.imshow(rows / rows.sum(1, keepdims=True), vmin=0, vmax=1, cmap="Blues")
        axes.set_xticks(range(len(EMOTIONS)), EMOTIONS, rotation=60)
        axes.set_yticks(range(len(confusions)), list(confusions))
        axes.set_title(f"{name}: {table[name]['right']:.0%} of clips")
    panels[2].scatter(share, variance, s=8)
    panels[2].set(xlabel="listeners who recognised it", ylabel="variance of the embedding")
    panels[2].set_title(f"rank correlation {spearmanr(share, variance).statistic:.2f}")
    figure.savefig(path, dpi=90)
    plt.close(figure)


@exit_status("teachers.emotion_recognition")
def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    p = options(
        "teachers.emotion_recognition",
        __doc__,
        checkpoint="of 'train emotion'",
        data=True,
    )
    p.add_argument("--bundle", type=Path, metavar="DIR", help="that recognises emotions")
    args = p.parse_args(argv)
    student = StreamingEmotion(read_bundle(args.bundle)) if args.bundle else None
    net = open_run(args.checkpoint, "emotion", Embedding, EmbeddingConfig)
    found, (variance, share) = measure(net, student, args.data)
    plot(found["EMO-DB, two unseen speakers"], variance, share, RESULTS / "emotion.png")
    for name, value in found.items():
        print(name, value)
    print(f"written: {write_record('emotion', found, RESULTS)}")


def measure(
    net: Embedding, student: StreamingEmotion | None, data: Path
) -> tuple[dict[str, Any], tuple[Floats, Floats]]:
    """Everything that is recorded, and ``sureness`` to draw."""
    clips, _ = load([data / "emodb", data / "speech_misc"])
    captured, _ = load([data / "facegood_paired", data / "grid_s1_video_blendshapes"])
    acted = [c for c in clips if c.source == "emodb" and c.emotion]
    unseen = [c for c in acted if c.speaker in TEST]
    reading = linear_reading([c for c in acted if c.split == "train"])
    thorsten = [c for c in clips if c.source == "thorsten_emotional" and c.emotion]
    training = [c for c in captured if c.split == "train"]
    variance, share = sureness(net, unseen, data / "emodb")
    found = {
        "window_s": WINDOW / FPS,
        "EMO-DB, two unseen speakers": judge(net, reading, student, unseen),
        "Thorsten, another corpus": judge(net, reading, student, thorsten),
        "retrieval, described faces": retrieval(net, unseen, training),
        "variance_and_listeners": {
            "rank_correlation": float(spearmanr(share, variance).statistic),
            "p": float(spearmanr(share, variance).pvalue),
            "clips": len(share),
        },
    }
    return found, (variance, share)


if __name__ == "__main__":
    sys.exit(main())
