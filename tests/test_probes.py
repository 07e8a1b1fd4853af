"""What the probes of a teacher count, worked by hand on faces and features that were planted."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")
pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

from benchmarks.pages import teacher_tables
from benchmarks.teachers import probes
from benchmarks.teachers.emotion_swaps import (
    FED,
    PATTERNS,
    Swap,
    SwapVoice,
    closures,
    direction,
    leaks,
    swapped_faces,
    swaps,
)
from benchmarks.teachers.probes import across, features, probe, recall
from edge.contract import INDEX
from models.content import ContentConfig
from models.teacher import Teacher, TeacherConfig
from quantize.data.clips import Clip, DataError
from quantize.data.phones import Phone
from quantize.data.targets import arkit_spread
from quantize.training.inference import faces_of

pytestmark = pytest.mark.toolchain

BROW = INDEX["browInnerUp"]


def test_a_probe_finds_what_was_planted_and_not_what_was_not() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(400) % 4
    x = rng.standard_normal((400, 6)).astype(np.float32)
    empty = x.copy()
    x[np.arange(400), y] += 5
    x[:, :4] *= 1e-3  # the units of a feature do not matter
    assert np.mean(probe(x[:300], y[:300], x[300:]) == y[300:]) > 0.95
    assert np.mean(probe(empty[:300], y[:300], empty[300:]) == y[300:]) < 0.4


def test_of_a_feature_that_says_nothing_the_most_frequent_class_is_named() -> None:
    nothing = np.zeros((5, 1), np.float32)
    assert probe(nothing, np.array([2, 0, 2, 1, 2]), nothing).tolist() == [2] * 5


def test_no_probe_sees_a_group_that_it_is_asked_about() -> None:
    group = np.arange(30) % 6
    own = np.eye(6, dtype=np.float32)[group]
    assert (across(own, group, group, folds=6) != group).all()
    # Seen across groups, the same classes are found.
    assert (across(own, group, np.arange(30) // 6, folds=5) == group).all()


def test_recall_over_clips_and_over_classes_by_hand() -> None:
    found = recall(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    assert found == {"right": 0.75, "mean_recall": pytest.approx((2 / 3 + 1) / 2)}


def test_half_of_a_pattern_rises_in_its_direction_with_half_its_strength() -> None:
    anger = FED.index("anger")
    found = direction(0.5 * PATTERNS[[anger, anger]], anger)
    assert (found["expected_rise"], found["others_rise"]) == (1.0, 0.0)
    assert found["strength"] == pytest.approx(0.5)
    assert found["cosine"]["anger"] == pytest.approx(1.0)
    assert found["matched"]["anger"] == found["faces"] == 2
    assert found["change"]["browDownLeft"] == pytest.approx(0.275)
    against = direction(-PATTERNS[[anger]], anger)
    assert against["expected_rise"] == 0.0
    assert against["strength"] == pytest.approx(-1.0)
    assert against["cosine"]["anger"] == pytest.approx(-1.0)


def test_one_raised_brow_is_a_ninth_of_fear_and_most_like_sadness() -> None:
    change = np.zeros((1, 52), np.float32)
    change[0, BROW] = 0.1
    change[0, INDEX["jawOpen"]] = 0.9  # speech: no unit of any emotion
    fear = direction(change, FED.index("fear"))
    assert fear["expected_rise"] == pytest.approx(1 / 9)
    assert fear["others_rise"] == 0.0
    # Fear's units squared: .5 alone, .25 and .25 and .4 and .15 on both sides.
    length = np.sqrt(0.25 + 2 * (0.0625 + 0.0625 + 0.16 + 0.0225))
    assert fear["cosine"]["fear"] == pytest.approx(0.5 / length)
    assert fear["strength"] == pytest.approx(0.05 / length**2)
    assert fear["matched"]["sadness"] == 1
    assert direction(change, FED.index("happiness"))["others_rise"] == pytest.approx(1 / 17)


def test_what_does_not_move_has_no_direction() -> None:
    found = direction(np.full((1, 52), 0.019, np.float32), 0)
    assert found["expected_rise"] == found["others_rise"] == 0.0
    assert set(direction(np.zeros((1, 52), np.float32), 0)["cosine"].values()) == {0.0}


def test_closures_before_and_after_by_hand() -> None:
    phones = (Phone(0.0, 0.2, "aa"), Phone(0.2, 0.4, "PP"), Phone(0.4, 0.6, "sil"))
    before, after = np.zeros((36, 52), np.float32), np.zeros((36, 52), np.float32)
    before[:, INDEX["jawOpen"]] = 0.1
    after[:12, INDEX["jawOpen"]] = 0.1
    after[12:, INDEX["jawOpen"]] = 0.2
    after[12:, INDEX["mouthClose"]] = 0.1
    found = closures([(before, phones)], [(after, phones)])
    assert found["pbm"]["sounds"] == found["others"]["sounds"] == 1
    assert found["pbm"]["jawOpen_before"] == pytest.approx(0.1)
    assert found["pbm"]["mouthClose_after"] == pytest.approx(0.1)
    assert found["pbm"]["gap_mm_before"] == pytest.approx(3.28)
    assert found["pbm"]["gap_mm_after"] == pytest.approx(6.56 - 3.86)
    assert found["pbm"]["gap_mm_moved"] == pytest.approx(0.58)
    assert found["others"]["gap_mm_moved"] == 0.0


class LoudMood:
    """A teacher whose inner brow is what the emotion branch hears, and ``heed`` of the words."""

    config = SimpleNamespace(styles=3)

    def __init__(self, heed: float = 0.0) -> None:
        self.heed = heed

    def content(self, mels: Any) -> tuple[Any, None]:
        return mels[..., :1], None

    def emotion(self, mels: Any) -> tuple[Any, None]:
        return mels[..., :1], None

    def decoder(self, content: Any, emotion: Any, level: Any, style: Any) -> Any:
        faces = torch.zeros(*emotion.shape[:2], 52)
        audio = emotion[..., 0] + self.heed * content[..., 0]
        faces[..., BROW] = audio * level[..., 2] / float(arkit_spread()[BROW])
        return faces


def voice(name: str, emotion: str, level: float, count: int = 20, text: str = "a01") -> SwapVoice:
    clip = Clip(f"emodb/{name}", "emodb", "emodb_15", "test", None, emotion=emotion, text=text)
    return SwapVoice(clip, np.full((count, 40), level, np.float32))


VOICES = (
    voice("n", "neutral", 0.1),
    voice("s", "sadness", 0.6, 11),
    voice("f", "fear", 0.3),
    voice("f2", "fear", 0.3),
    voice("o", "anger", 0.9, text="b01"),
    voice("b", "neutral", 0.2, text="b02"),
)


def test_a_swap_is_held_against_the_same_words_with_a_neutral_emotion() -> None:
    found = swaps(LoudMood(), VOICES)  # type: ignore[arg-type]
    pairs = [(s.words.id[6:], s.voice.id[6:]) for s in found]
    # Never another sentence, nor another clip of the same emotion.
    assert pairs == [
        ("n", "n"), ("n", "s"), ("n", "f"), ("n", "f2"),
        ("s", "s"), ("s", "n"), ("s", "f"), ("s", "f2"),
        ("f", "f"), ("f", "n"), ("f", "s"),
        ("f2", "f2"), ("f2", "n"), ("f2", "s"), ("o", "o"), ("b", "b"),
    ]  # fmt: skip
    change = {pair: s.change[BROW] for pair, s in zip(pairs, found, strict=True)}
    assert change["f", "s"] == pytest.approx(0.5)  # eleven frames felt for twenty said
    assert change["s", "f"] == pytest.approx(0.2)
    assert change["n", "n"] == 0.0
    assert change["o", "o"] == pytest.approx(0.7)  # the first neutral clip: its sentence has none
    assert [len(s.faces) for s in found[:5]] == [20, 20, 20, 20, 11]


def test_words_that_carry_an_emotion_leak_as_much_as_the_decoder_heeds_them() -> None:
    sadness = PATTERNS[FED.index("sadness")]
    full = float(sadness @ sadness)
    apart = leaks(swaps(LoudMood(), VOICES))  # type: ignore[arg-type]
    assert apart == {k: pytest.approx(0, abs=1e-6) for k in ("fear", "sadness")}
    leaking = leaks(swaps(LoudMood(0.5), VOICES))  # type: ignore[arg-type]
    assert leaking["sadness"] == pytest.approx(0.5 * (0.6 - 0.1) * sadness[BROW] / full)


def test_a_speaker_without_a_neutral_clip_is_named() -> None:
    with pytest.raises(DataError, match="emodb_15: no neutral clip"):
        swaps(LoudMood(), VOICES[1:5])  # type: ignore[arg-type]


def small() -> Teacher:
    torch.manual_seed(0)
    return Teacher(TeacherConfig(ContentConfig(32, 2, 16, 24), width=24)).eval()


def test_the_own_emotion_at_level_zero_is_the_teacher_as_evaluated() -> None:
    net, mels = small(), np.random.default_rng(0).standard_normal((61, 40)).astype(np.float32)
    assert swapped_faces(net, mels, [mels], 0.0).shape == (1, 61, 52)
    expected = np.clip(faces_of(net, mels), 0, 1)
    # Of 61 frames the mood hears the first once more, and the mean face of a mood hardly changes.
    assert np.abs(swapped_faces(net, mels, [mels], 0.0)[0] - expected).max() < 1e-4
    assert np.abs(swapped_faces(net, mels, [mels], 1.0)[0] - expected).max() > 1e-3


def test_nothing_is_read_of_a_clip_after_a_second_and_a_half(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sound, mels = rng.integers(-9999, 9999, 48000), rng.standard_normal((180, 40))
    made = []
    for end in (24000, 48000):
        path = tmp_path / f"{end}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(sound[:end].astype("<i2").tobytes())
        clip = replace(VOICES[0].clip, audio=path)
        made.append(SwapVoice(clip, mels[: end * 60 // 16000].astype(np.float32)))
    found = features(small(), made)
    assert list(found) == [
        "content branch", "emotion branch", "prosody", "log-mels, mean and deviation", "nothing",
    ]  # fmt: skip
    for name, x in found.items():
        assert np.allclose(x[0], x[1], atol=1e-5), name


def test_what_is_no_teacher_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"average": {}}, tmp_path / "checkpoint.pt")
    assert probes.main([str(tmp_path / "checkpoint.pt"), "--data", str(tmp_path)]) == 66
    stderr = capsys.readouterr().err
    assert stderr.startswith(
        f"benchmarks.teachers.probes: {tmp_path}/checkpoint.pt: not a checkpoint"
    )
    assert stderr.count("\n") == 1


def test_the_table_says_what_was_read_and_what_rose() -> None:
    clip = VOICES[0].clip
    both = {"right": 0.5, "mean_recall": 0.25}
    auc = {"pbm jaw": 0.9, "pbm lips": 0.8, "all": 0.7}
    phones = (Phone(0.0, 0.2, "aa"), Phone(0.2, 0.4, "PP"))
    faces = [(np.zeros((24, 52), np.float32), phones)]
    row = direction(0.5 * PATTERNS[[0]], 0)
    found = Swap(clip, clip, faces[0][0], PATTERNS[0])
    record = {
        "git": "abc",
        "results": {
            "checkpoint": {"run": "r", "sha256": "d"},
            "readings": {"content branch": {"emotion": both, "speaker": both}},
            "swaps": {"anger": row},
            "words_alone": leaks([found]) | {"anger": 0.0},
            "lips": {"auc": {"own mood": auc}, "sounds": closures(faces, faces)},
        },
    }
    table = teacher_tables.probes(record)
    assert "| content branch | 50% / 25% | 50% |\n" in table
    assert "| anger | 1 | 100% | 0% | 0.50 | 1.00 | anger 100% | 0.00 |\n" in table
    assert "| p, b, m shut: lips | 0.80 |\n" in table
    assert "Run `r`, checkpoint `d`, commit `abc`.\n" in table
