"""What each part of the student's loss brings.

``python -m benchmarks.teachers.ablation --runs DIR``

The student of a settings file is distilled briefly, then again without one term of its loss or with
other faces for the voices that have none. Each is scored on clips never trained on, without the
runtime. Resumable; writes ``results/ablation.json``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks import RESULTS
from benchmarks.command_line import exit_status, options
from benchmarks.teachers.emotion_recognition import TEST, best
from models.student import Student
from quantize.data.clips import EMOTIONS, Clip
from quantize.data.load import load
from quantize.data.streams import features_of_clip
from quantize.evaluation.evaluate import LOOKAHEAD, of_student
from quantize.evaluation.record import write_record
from quantize.evaluation.scoring import score
from quantize.evaluation.test_clips import MADE_SILENCE, load_test_clips
from quantize.export.to_onnx import load_student
from quantize.training.run_settings import read_settings
from quantize.training.student_config import StudentRun
from quantize.training.student_emotion_head import SETTLED
from quantize.training.train_student import train_student

CHANGES: dict[str, dict[str, float]] = {
    "everything": {},
    "no velocity": {"velocity": 0.0},
    "no visemes": {"viseme": 0.0},
    "no closure": {"closure": 0.0},
    "no codes": {"codes": 0.0},
    "no emotion while the lips are learned": {"emotion": 0.0},
    "no content features": {"content": 0.0},
    "voices show their visemes' mean faces, not the teacher's": {"share": 0.0},
    "voices show the teacher's faces alone": {"share": 1.0},
    "voices without a face teach no faces": {"trust": 0.0},
}
SHARED = ("renditions", "phones.json", "teacher_targets.npz")
"""What is the same in every run, and made by the first."""
TEACHERS = Path("models/checkpoints")


@torch.no_grad()
def emotions(student: Student, clips: Sequence[Clip]) -> float:
    """Share of the clips whose emotion is named rightly, over all that they hold."""
    offered = sorted({EMOTIONS.index(c.emotion or "") for c in clips})
    choice, right = student.config.at(LOOKAHEAD), 0
    for clip in clips:
        _, aux, _ = student(
            torch.from_numpy(features_of_clip(clip))[None], choice, student.initial_state()
        )
        named = best(student.name_logits(aux.generator.emotion[0, SETTLED:]), offered)
        right += named == EMOTIONS.index(clip.emotion or "")
    return right / len(clips)


@exit_status("teachers.ablation")
def main(argv: Sequence[str] | None = None) -> None:
    """Distil, score, write."""
    p = options("teachers.ablation", __doc__, data=True)
    p.add_argument("--runs", type=Path, required=True, metavar="DIR", help="for the runs' folders")
    p.add_argument("--config", type=Path, default=Path("quantize/student.yaml"), metavar="FILE")
    p.add_argument("--epochs", type=int, default=5, metavar="N", help="of each run (5)")
    args = p.parse_args(argv)
    torch.set_num_threads(1)
    print(f"written: {measure(args.config, args.data, args.runs, args.epochs)}")


def measure(config: Path, data: Path, runs: Path, epochs: int) -> Path:
    """Every run, one after the other."""
    sets = ("facegood_paired", "grid_s1_video_blendshapes", "emodb", "librispeech_261spk")
    plain: StudentRun = read_settings(
        StudentRun,
        config,
        data=tuple(str(data / name) for name in (*sets, "speech_misc")),
        noise=str(data / "noise_rir"),
        epochs=epochs,
        teacher=(str(TEACHERS / "teacher" / "checkpoint.pt"),),
        codebook=str(TEACHERS / "codebook" / "checkpoint.pt"),
        embedding=str(TEACHERS / "emotion" / "checkpoint.pt"),
    )
    clips = [t for t in load_test_clips(data) if t.set != MADE_SILENCE]
    acted = [c for c in load([data / "emodb"])[0] if c.speaker in TEST and c.emotion]
    found: dict[str, Any] = {}
    first = runs / "0"
    for k, (name, change) in enumerate(tqdm(CHANGES.items(), desc="ablation")):
        out = runs / str(k)
        out.mkdir(parents=True, exist_ok=True)
        for shared in SHARED if k else ():
            if not (out / shared).exists():
                (out / shared).symlink_to((first / shared).resolve())
        train_student(replace(plain, **change), out)
        student = load_student(out / "checkpoint.pt")
        faces = of_student(out / "checkpoint.pt", clips)
        found[name] = {"sets": score(faces, clips, None), "emotion_right": emotions(student, acted)}
    return write_record("ablation", {"epochs": epochs, "runs": found}, RESULTS)


if __name__ == "__main__":
    sys.exit(main())
