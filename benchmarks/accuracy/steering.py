"""What known words and a style do to the face: ``python -m benchmarks.accuracy.steering``.

The whole runtime hears the test clips of which the text is known: alone; with each word sent when
it begins, as a speech engine's word marks come; with the rest of the sentence sent at each word;
with all words sent before the clip; with another sentence's words at the same times; and in each
style. Words are timed by pocketsphinx. Writes ``results/steering.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import RESULTS
from benchmarks.command_line import exit_status, options
from edge.bundle import DEFAULT, Bundle
from edge.bundle_reader import read_bundle
from edge.contract import INDEX, SAMPLE_RATE, AudioBlock, Floats
from edge.pipeline import Pipeline
from edge.words import spell
from quantize.data.phones import Aligner, spelled
from quantize.data.targets import LEARNED
from quantize.evaluation.predict import open_pipeline
from quantize.evaluation.record import write_record
from quantize.evaluation.scoring import score
from quantize.evaluation.test_clips import MADE_SILENCE, PAIRED, TestClip, load_test_clips

CLIPS = (*PAIRED, "LibriVox, unseen talker")
"""EMO-DB's sentences are German and its texts not written down."""

TimedWords = list[tuple[float, str]]
"""Each word of a clip and the second that it begins at."""


def words_of(clips: Sequence[TestClip]) -> dict[str, TimedWords]:
    """Which word starts when in the clips whose text is known and fits."""
    aligner, found = Aligner(), {}
    for clip in tqdm(clips, desc="finding the words"):
        if clip.text:
            written = spelled(clip.text)
            words = aligner.words(clip.samples, clip.text)
            found[clip.id] = [(word.start, written[word.index]) for word in words]
    return found


def of_others(clips: Sequence[TestClip], timed: dict[str, TimedWords]) -> dict[str, TimedWords]:
    """The next clip's words of the same set, at this clip's times."""
    found = {}
    for name in CLIPS:
        ids = [t.id for t in clips if t.set == name and t.id in timed]
        for mine, other in zip(ids, [*ids[1:], *ids[:1]], strict=True):
            words = [word for _, word in timed[other]]
            times = [at for at, _ in timed[mine]]
            found[mine] = [(at, words[k % len(words)]) for k, at in enumerate(times) if words]
    return found


def faces_given(
    pipeline: Pipeline, samples: Floats, timed: TimedWords, ahead: bool = False
) -> Floats:
    """The faces (n, 52) of a clip; texts are sent when they begin, or all before the clip."""
    pipeline.restart()
    frames, pushed = [], 0
    for seconds, text in timed:
        now = 0 if ahead else round(seconds * SAMPLE_RATE)
        frames += pipeline.push(AudioBlock(samples[pushed:now], pushed, 0.0))
        pipeline.expect(spell(text), seconds if ahead else 0.0)
        pushed = now
    frames += pipeline.push(AudioBlock(samples[pushed:], pushed, 0.0)) + pipeline.flush(0.0)
    return np.stack([frame.weights for frame in frames])


def rest_of(timed: TimedWords) -> TimedWords:
    """At each word the rest of the sentence."""
    return [(at, " ".join(word for _, word in timed[k:])) for k, (at, _) in enumerate(timed)]


def pull(
    plain: dict[str, Floats], styled: dict[str, Floats], habit: Floats, unseen: Sequence[TestClip]
) -> dict[str, float]:
    """How far unseen voices come to move each shape as much as a style's talker does (52,).

    Of standard deviations: ``share`` of the way there, and the cosine between the two ways.
    """
    before, after = (np.concatenate([f[t.id] for t in unseen]).std(0) for f in (plain, styled))
    live = [INDEX[name] for name in LEARNED]
    went, way = (after - before)[live], (habit - before)[live]
    share = float(went @ way / (way @ way))
    return {"share": share, "cosine": share * float(np.linalg.norm(way) / np.linalg.norm(went))}


STYLED = {"facegood": "FACEGOOD, unseen clip", "grid_s1": "GRID s1, unseen sentences"}
"""Where the captured face of a style is found that nobody trained on."""


def measure(bundle: Bundle, clips: Sequence[TestClip]) -> dict[str, Any]:
    """Every way of giving the words, on the sets where words are known."""
    timed = words_of(clips)
    known = {t.set for t in clips if t.id in timed}
    worded = [t for t in clips if t.set in known]
    ways = {
        "each word at its mark": (timed, False),
        "the rest of the sentence at each mark": ({k: rest_of(v) for k, v in timed.items()}, False),
        "all words beforehand": (timed, True),
        "another sentence's words beforehand": (of_others(clips, timed), True),
    }
    pipeline = open_pipeline(bundle, None)
    plain = {t.id: faces_given(pipeline, t.samples, []) for t in clips}
    found: dict[str, Any] = {"nothing": score(plain, clips, None)}
    for way, (words, ahead) in ways.items():
        faces = {t.id: faces_given(pipeline, t.samples, words.get(t.id, []), ahead) for t in worded}
        found[way] = score(faces, worded, None)
    pulls: dict[str, dict[str, float]] = {}
    unseen = [t for t in clips if t.set in CLIPS[2:]]
    for name in bundle.styles:
        habit = np.concatenate([t.truth for t in clips if t.set == STYLED[name]]).std(0)
        for amount in (0.5, 1.0):
            pipeline = open_pipeline(bundle, None)
            pipeline.conditioning.set_style(name, amount)
            faces = {t.id: faces_given(pipeline, t.samples, []) for t in clips}
            pulls[f"{name} {amount:g}"] = pull(plain, faces, habit, unseen)
        found[f"style {name}"] = score(faces, clips, None)
    return {"ways": found, "pull": pulls}


@exit_status("accuracy.steering")
def main(argv: Sequence[str] | None = None) -> None:
    """Hear, score, write."""
    p = options("accuracy.steering", __doc__, data=True)
    p.add_argument("--bundle", type=Path, default=DEFAULT, metavar="DIR")
    p.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    args = p.parse_args(argv)
    bundle = read_bundle(args.bundle)
    results = measure(
        bundle, [t for t in load_test_clips(args.data, CLIPS) if t.set != MADE_SILENCE]
    )
    for way, sets in results["ways"].items():
        for name, row in sets.items():
            lips = row.get("contrasts", {}).get("auc_mean")
            figures = [row.get("r_jaw"), row.get("r_mouth_live"), lips]
            print(f"{way:38} {name:28}", *(f"{v:.3f}" if v else "    -" for v in figures))
    print(json.dumps(results["pull"], indent=1))
    print(f"written: {write_record('steering', results, args.out, args.bundle)}")


if __name__ == "__main__":
    sys.exit(main())
