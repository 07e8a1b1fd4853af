"""What known words and a style do to the face: ``python -m benchmarks.steering``.

The whole runtime hears the test clips of which the text is known, alone, with the words told at
their times (as a text-to-speech engine reports them), with another sentence's words at the same
times, and in each style. Words are timed by pocketsphinx. Writes ``results/steering.json``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import report
from benchmarks.accuracy import open_pipeline
from benchmarks.scoring import score
from benchmarks.trials import MADE, PAIRED, SETS, Trial, trials
from edge.bundle import DEFAULT, read_bundle
from edge.contract import AudioBlock, EdgeError, Floats, InputError
from edge.pipeline import Pipeline
from edge.words import spell
from quantize.phones import Aligner, spelled

CLIPS = (*PAIRED, tuple(SETS)[-1])
"""EMO-DB's sentences are German and its texts not written down."""

Told = list[tuple[float, str]]
"""Each word of a clip and the second that it begins at."""


def words_of(clips: Sequence[Trial]) -> dict[str, Told]:
    """What is said when in the clips whose text is known and fits."""
    aligner, found = Aligner(), {}
    for trial in tqdm(clips, desc="finding the words"):
        if trial.text:
            written = spelled(trial.text)
            words = aligner.words(trial.samples, trial.text)
            found[trial.id] = [(word.start, written[word.place]) for word in words]
    return found


def of_others(clips: Sequence[Trial], told: dict[str, Told]) -> dict[str, Told]:
    """The next clip's words of the same set, at this clip's times."""
    found = {}
    for name in CLIPS:
        ids = [t.id for t in clips if t.set == name and t.id in told]
        for mine, other in zip(ids, [*ids[1:], *ids[:1]], strict=True):
            words = [word for _, word in told[other]]
            times = [at for at, _ in told[mine]]
            found[mine] = [(at, words[k % len(words)]) for k, at in enumerate(times) if words]
    return found


def faces_told(pipeline: Pipeline, samples: Floats, told: Told) -> Floats:
    """The faces (n, 52) of a whole clip whose words are sent before it begins."""
    pipeline.restart()
    for seconds, word in told:
        pipeline.expect(spell(word), seconds)
    frames = pipeline.push(AudioBlock(samples, 0, 0.0)) + pipeline.flush(0.0)
    return np.stack([frame.weights for frame in frames])


def main(argv: Sequence[str] | None = None) -> int:
    """Hear, score, write."""
    p = argparse.ArgumentParser("benchmarks.steering", description=__doc__.split("\n")[0])
    p.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    p.add_argument("--bundle", type=Path, default=DEFAULT, metavar="DIR")
    p.add_argument("--out", type=Path, default=report.RESULTS, metavar="DIR")
    args = p.parse_args(argv)
    try:
        bundle = read_bundle(args.bundle)
        if not bundle.reads_words:
            raise InputError(f"{args.bundle}: this bundle reads no words; distil one that does")
        clips = [t for t in trials(args.data, CLIPS) if t.set != MADE]
        told = words_of(clips)
        ways: dict[str, tuple[str | None, dict[str, Told]]] = {
            "nothing": (None, {}),
            "its words": (None, told),
            "another sentence's words": (None, of_others(clips, told)),
            **{f"style {name}": (name, {}) for name in bundle.styles},
        }
        found = {}
        for way, (style, words) in ways.items():
            pipeline = open_pipeline(bundle, None)
            if style:
                pipeline.set_style(style, 1.0)
            part = [t for t in clips if t.id in words] if words else clips
            part = [t for t in clips if any(p.set == t.set for p in part)]
            faces = {t.id: faces_told(pipeline, t.samples, words.get(t.id, [])) for t in part}
            found[way] = score(faces, part, None)
            for name, row in found[way].items():
                lips = row.get("contrasts", {}).get("auc_mean")
                figures = [row.get("r_jaw"), row.get("r_mouth_live"), lips]
                print(f"{way:26} {name:28}", *(f"{v:.3f}" if v else "    -" for v in figures))
        print(f"written: {report.write('steering', found, args.bundle, args.out)}")
    except EdgeError as error:
        print(f"benchmarks.steering: {error}", file=sys.stderr)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
