"""The clips that accuracy is measured on: sound, captured face where there is one, and phones.

None of them may be trained on, nor may anything be chosen by them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from edge.audio.audio_file import read_audio
from edge.contract import ARKIT_52, SAMPLE_RATE, Floats, faces_within
from edge.features import Features
from quantize.data.augment import coloured_noise, hum
from quantize.data.clips import Clip, DataError
from quantize.data.load import load
from quantize.data.phones import Phone
from quantize.data.streams import load_audio
from quantize.data.targets import Scale, fit_scales, to_sixty

# Set -> (folder, source, split). GRID s1 and FACEGOOD are voices that were trained on, saying what
# was not; every other voice is unheard. EMO-DB's test talkers are 15 and 16.
SETS = {
    "GRID s1, unseen sentences": ("grid_s1_video_blendshapes", "grid_s1", "test"),
    "FACEGOOD, unseen clip": ("facegood_paired", "facegood", "test"),
    "GRID, five unseen talkers": ("grid_other_speakers", "grid_other", "test"),
    "EMO-DB, two unseen talkers": ("emodb", "emodb", "test"),
    "LibriVox, unseen talker": ("speech_misc", "librivox_with_phones", "test"),
}
PAIRED = tuple(SETS)[:3]
MADE_SILENCE = "made silence"
"""The set of sounds that no mouth should move to; ten seconds each."""


@dataclass(frozen=True)
class TestClip:
    """One clip to predict."""

    __test__ = False  # pytest takes a class of this name for a test

    id: str
    set: str
    """Key of ``SETS``, or ``MADE_SILENCE``."""
    speaker: str
    samples: Floats
    """(n,) at 16 kHz."""
    captured: Floats | None = None
    """(faces, 52) in the source's own scale."""
    fps: float = 60.0
    """Rate of the capture before it was brought to 60."""
    scale: Scale | None = None
    """Brings ``captured`` to the common range."""
    phones: tuple[Phone, ...] = ()
    text: str | None = None

    @property
    def faces(self) -> int:
        """How many faces a prediction has: face ``i`` is shown at ``(i + 1) / 60`` s."""
        return faces_within(len(self.samples))

    @property
    def truth(self) -> Floats:
        """(faces, 52) captured face in the common range, 0 to 1, as a renderer would show it."""
        assert self.captured is not None
        assert self.scale is not None
        moved = (self.captured - self.scale.zero) * self.scale.factor
        return np.clip(moved, 0, 1).astype(np.float32)

    @cached_property
    def level_db(self) -> Floats:
        """(faces,) loudness of the sound up to each face."""
        return np.array([db for _, _, db in Features().push(self.samples)], np.float32)


def cache() -> Path:
    """Where phones and other slow findings are kept between runs (``EDGETALK_CACHE``)."""
    folder = Path(os.environ.get("EDGETALK_CACHE") or Path.home() / ".cache" / "edgetalk-bench")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load_test_clips(data: Path, sets: Sequence[str] = tuple(SETS)) -> list[TestClip]:
    """Every test clip of ``sets`` under ``data``, then the made silence.

    Phones of GRID s1 are aligned to its text by pocketsphinx, those of the other sets are
    labelled. Raises ``DataError`` where a set is missing.
    """
    found: list[TestClip] = []
    for name in sets:
        folder, source, split = SETS[name]
        clips = load([data / folder])[0]
        test = [c for c in clips if c.source == source and c.split == split]
        if not test:
            raise DataError(f"{data / folder}: no clip of {name} in there")
        scale = _scale(data, clips, source) if name in PAIRED else None
        if source == "grid_s1":
            aligned = {s.clip.id: s.phones for s in load_audio(test, cache() / "phones.json")}
            test = [replace(clip, phones=aligned[clip.id]) for clip in test]
        found += [_test_clip(clip, name, scale) for clip in test]
    return found + made_silence()


def _scale(data: Path, clips: list[Clip], source: str) -> Scale:
    """The scale of a source's training clips, eyes and brows too."""
    if source == "grid_other":  # captured as s1 was
        clips, source = load([data / SETS[PAIRED[0]][0]])[0], "grid_s1"
    train = [c for c in clips if c.source == source and c.split == "train"]
    return fit_scales(train, ARKIT_52)[source]


def _test_clip(clip: Clip, name: str, scale: Scale | None) -> TestClip:
    assert clip.audio is not None
    samples = read_audio(clip.audio)
    captured, fps = None, 60.0
    if clip.capture:
        captured, fps = to_sixty(clip.capture, faces_within(len(samples))), clip.capture.fps
    return TestClip(
        clip.id, name, clip.speaker, samples, captured, fps, scale, clip.phones, clip.text
    )


def made_silence() -> list[TestClip]:
    """Ten seconds each of nothing, hiss, fan noise and hum."""
    rng, n = np.random.default_rng(0), 10 * SAMPLE_RATE
    sounds = {"digital silence": np.zeros(n, np.float32)}
    for name, sound, db in (
        ("room hiss at -60 dBFS", coloured_noise(n, rng), -60),
        ("fan at -45 dBFS", coloured_noise(n, rng), -45),
        ("hum at -45 dBFS", hum(n, rng), -45),
    ):
        rms = np.sqrt(np.mean(sound**2))
        sounds[name] = (sound * 10 ** (db / 20) / rms).astype(np.float32)
    return [
        TestClip(f"{MADE_SILENCE}/{name}", MADE_SILENCE, name, sound)
        for name, sound in sounds.items()
    ]
