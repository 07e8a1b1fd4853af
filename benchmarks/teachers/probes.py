"""Are words and emotion apart? ``python -m benchmarks.teachers.probes CHECKPOINT`` asks a teacher.

Linear probes read emotion and speaker from each of its two branches, on EMO-DB; ``swaps`` says what
the face does when one branch hears another clip. Writes ``results/probes.json`` and a plot.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from benchmarks import RESULTS
from benchmarks.command_line import exit_status, options
from benchmarks.teachers.emotion_recognition import TEST
from benchmarks.teachers.emotion_swaps import (
    FED,
    PATTERNS,
    UNITS,
    SwapVoice,
    directions,
    fitted,
    leaks,
    lips,
    swaps,
)
from benchmarks.teachers.prosody import prosody
from edge.audio.audio_file import read_audio
from edge.contract import ARKIT_52, SAMPLE_RATE, Floats
from edge.features import N_MELS
from models.teacher import Teacher, TeacherConfig
from quantize.data.clips import EMOTIONS, Clip, DataError
from quantize.data.load import load
from quantize.data.streams import features_of_clip
from quantize.evaluation.record import write_record
from quantize.plotting import pyplot
from quantize.training.checkpoint import open_run
from quantize.training.teacher_batches import ACTED

FOLDS = 5
DECAY = 1e-3
"""Weight of a probe's squared weights; 1e-4 to 1e-2 read within five points of the same."""
Names = NDArray[np.int64]


@torch.no_grad()
def features(net: Teacher, voices: Sequence[SwapVoice]) -> dict[str, Floats]:
    """What to read from -> (clips, D), all from the first 1.5 s alone.

    EMO-DB cuts three emotions at 2.0 s, so whoever hears more may read the length.
    """
    features_in = torch.from_numpy(np.stack([fitted(v.features, ACTED) for v in voices]))
    mels, pitch = features_in[..., :N_MELS], []
    for voice in voices:
        assert voice.clip.audio is not None
        pitch.append(prosody(read_audio(voice.clip.audio)[: int(1.5 * SAMPLE_RATE)]))
    return {
        "content branch": net.content(features_in)[0].mean(1).numpy(),
        "emotion branch": net.emotion(mels)[0].mean(1).numpy(),
        "prosody": np.stack(pitch),
        "log-mels, mean and deviation": torch.cat([mels.mean(1), mels.std(1)], dim=1).numpy(),
        "nothing": np.zeros((len(voices), 1), np.float32),
    }


def probe(x: Floats, y: Names, unseen: Floats) -> Names:
    """Classes (m,) of ``unseen`` (m, D) by multinomial regression from ``x`` (n, D) to ``y``."""
    middle, spread = x.mean(0), x.std(0) + 1e-6
    seen, truth = torch.from_numpy((x - middle) / spread), torch.from_numpy(y)
    weight = torch.zeros(x.shape[1], int(y.max()) + 1, requires_grad=True)
    bias = torch.zeros(int(y.max()) + 1, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimiser.zero_grad()
        loss = F.cross_entropy(seen @ weight + bias, truth) + DECAY * (weight**2).sum()
        loss.backward()
        return loss.item()

    optimiser.step(closure)
    with torch.no_grad():
        logits = torch.from_numpy((unseen - middle) / spread) @ weight + bias
    return logits.argmax(1).numpy()


def recall(truth: Names, named: Names) -> dict[str, float]:
    """Share named rightly, over clips and as the mean over classes."""
    each = [float(np.mean(named[truth == k] == k)) for k in np.unique(truth)]
    return {"right": float(np.mean(truth == named)), "mean_recall": float(np.mean(each))}


def across(x: Floats, y: Names, group: Names, folds: int = FOLDS) -> Names:
    """Classes (n,), each named by a probe that saw no clip of any group in its fold."""
    named = np.full_like(y, -1)
    for k in range(folds):
        out = group % folds == k
        if out.any():
            named[out] = probe(x[~out], y[~out], x[out])
    return named


def readings(found: dict[str, Floats], clips: Sequence[Clip]) -> dict[str, Any]:
    """Branch -> how well emotion (speakers unheard) and speaker (sentences unheard) are read."""
    emotion = np.array([EMOTIONS.index(c.emotion or "") for c in clips])
    _, speaker = np.unique([c.speaker for c in clips], return_inverse=True)
    _, sentence = np.unique([c.text or "" for c in clips], return_inverse=True)
    test = np.isin([c.speaker for c in clips], TEST)
    return {
        name: {
            "emotion": recall(emotion[test], probe(x[~test], emotion[~test], x[test])),
            "speaker": recall(speaker, across(x, speaker, sentence)),
        }
        for name, x in found.items()
    }


def plot(found: dict[str, Any], path: Path) -> None:
    """What each branch tells; which shapes each emotion moved; which pattern that was."""
    plt = pyplot()
    figure, (read, moved, match) = plt.subplots(
        1, 3, figsize=(15, 4.5), layout="constrained", width_ratios=(3, 6, 3)
    )
    rows = found["readings"]
    for shift, what in ((-0.2, "emotion"), (0.2, "speaker")):
        height = [rows[name][what]["right"] for name in rows]
        read.barh(np.arange(len(rows)) + shift, height, 0.4, label=what)
    read.set_yticks(range(len(rows)), list(rows))
    read.invert_yaxis()
    read.set(xlim=(0, 1), title="read rightly by a linear probe")
    read.legend()
    swapped = found["swaps"]
    changes = np.array([list(swapped[name]["change"].values()) for name in FED])
    image = moved.imshow(changes, vmin=-0.5, vmax=0.5, cmap="RdBu_r", aspect="auto")
    y, x = np.nonzero(PATTERNS[:, UNITS])
    moved.scatter(x, y, s=12, c="black")
    moved.set_xticks(range(len(UNITS)), [ARKIT_52[i] for i in UNITS], rotation=70, ha="right")
    moved.set_title("emotion fed: change of each shape; dots: expected to rise")
    figure.colorbar(image, ax=moved)
    shares = np.array([list(swapped[name]["matched"].values()) for name in FED], float)
    match.imshow(shares / shares.sum(1, keepdims=True), vmin=0, vmax=1, cmap="Blues")
    match.set_xticks(range(len(FED)), FED, rotation=60)
    match.set_title("pattern matched best")
    for axes in (moved, match):
        axes.set_yticks(range(len(FED)), FED)
    figure.savefig(path, dpi=90)
    plt.close(figure)


@exit_status("teachers.probes")
def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    p = options("teachers.probes", __doc__, checkpoint="of 'train teacher'", data=True)
    args = p.parse_args(argv)
    net = open_run(args.checkpoint, "teacher", Teacher, TeacherConfig)
    clips, _ = load([args.data / "emodb"])
    voices = [SwapVoice(c, features_of_clip(c, net.speech)) for c in clips]
    unseen = [v for v in voices if v.clip.speaker in TEST]
    if not unseen:
        raise DataError(f"{args.data / 'emodb'}: no clip of speakers 15 and 16")
    made = swaps(net, unseen)
    digest = hashlib.sha256(args.checkpoint.read_bytes()).hexdigest()
    found = {
        "checkpoint": {"run": args.checkpoint.resolve().parent.name, "sha256": digest[:12]},
        "clips": len(clips),
        "unseen": len(unseen),
        "readings": readings(features(net, voices), clips),
        "swaps": directions(made),
        "words_alone": leaks(made),
        "lips": lips(net, unseen, made),
    }
    for name, value in found.items():
        print(name, value)
    print(f"written: {write_record('probes', found, RESULTS)}")
    plot(found, RESULTS / "probes.png")


if __name__ == "__main__":
    sys.exit(main())
