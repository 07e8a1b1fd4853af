"""The folder that crosses from toolchain to runtime: two networks and what they expect.

``bundle.yaml`` is written by ``edge-quantize export``; ``bundle_reader`` reads and checks it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from edge.bundle_files import read_arrays
from edge.conditioning import INPUT, ConditioningLayout
from edge.contract import ARKIT_52, FPS, SAMPLE_RATE, Floats, MissingError, UsageError
from edge.features import N_MELS, WINDOW
from edge.files import write_text

SCHEMA = 1
DEFAULT = Path(__file__).parent / "bundles" / "default"
"""The bundle that ships with EdgeTalk."""

NETWORKS = ("generator", "decoder")
PRECISIONS = ("fp32", "fp16", "int8")

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class File:
    """One file of the bundle."""

    file: str
    """Name inside the bundle."""
    sha256: str


@dataclass(frozen=True, slots=True)
class Network:
    """One of the two networks. In every precision its inputs, outputs and state are float32."""

    file: str
    """Name inside the bundle."""
    sha256: str
    inputs: Shapes
    """Name to shape; ``state.*`` comes back as ``state_out.*`` with the same shape."""
    outputs: Shapes
    variants: Mapping[str, File] = field(default_factory=dict)
    """The same network as ``fp16`` or ``int8``; ``file`` itself is fp32."""


class Tables(NamedTuple):
    """Arrays that the runtime uses outside the networks (``codes.npz``)."""

    slow: Floats
    """(K, 48) vectors of the slow codes."""
    emotion_weight: Floats
    """(E, D) from the emotion's mean to its logits."""
    emotion_bias: Floats
    """(E,)"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked ``bundle.yaml``."""

    folder: Path
    name: str
    lookaheads: tuple[int, ...]
    """Faces of delay the networks can run at, shortest first."""
    lookahead: int
    """The default."""
    generator: Network
    """mels (1, 1, 40), control (1, ``layout.size``), state -> latent, state; where ``codes`` is
    there also codes (1, 2 C), logits of the slow and the fast code, and emotion (1, 2 D), mean and
    log-variance."""
    decoder: Network
    """latent, state -> weights (1, 1, 52) in ARKit range, not clamped, state."""
    rest: Mapping[str, float]
    """ARKit weights of this model's face in silence; absent shapes rest at 0."""
    data: tuple[str, ...]
    """Names of the data sets it was trained on."""
    git: str
    """Commit of the code that exported it."""
    codes: File | None = None
    """Vectors of the codes and classifier of the emotion, as ``Tables``; none without teachers."""
    emotions: tuple[str, ...] = ()
    """Names of the emotions that ``codes`` classifies."""
    styles: tuple[str, ...] = ()
    """Names of the captured talkers whose habits a face can take on."""
    quantised: Mapping[str, Any] = field(default_factory=dict)
    """How the int8 networks were made: calibration set by SHA-256, method, layers left in fp32."""

    @property
    def hash(self) -> str:
        """Short name of these very networks, all precisions, for logs and benchmark records."""
        both = (self.generator, self.decoder)
        joined = "".join(network.sha256 for network in both)
        for precision in PRECISIONS:
            joined += "".join(n.variants[precision].sha256 for n in both if precision in n.variants)
        return hashlib.sha256(joined.encode()).hexdigest()[:12]

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that both networks come in, ``fp32`` first."""
        both = self.generator.variants.keys() & self.decoder.variants.keys()
        return tuple(p for p in PRECISIONS if p == "fp32" or p in both)

    def networks(self, precision: str | None = None) -> tuple[Network, Network]:
        """Generator and decoder in one precision (``None``: fp32); ``UsageError`` if not there."""
        precision = precision or "fp32"
        if precision not in self.precisions:
            raise UsageError(
                f"{self.folder}: no {precision} networks in this bundle; it has "
                f"{', '.join(self.precisions)}"
            )
        return _as(self.generator, precision), _as(self.decoder, precision)

    def tables(self) -> Tables | None:
        """What ``codes`` holds; ``MissingError`` if it cannot be read or fits nothing else."""
        if self.codes is None:
            return None
        path = self.folder / self.codes.file
        tables = Tables(*read_arrays(path, Tables._fields))
        count, width = (self.generator.outputs[name][-1] // 2 for name in ("codes", "emotion"))
        if (
            tables.slow.ndim != 2
            or len(tables.slow) != count
            or tables.emotion_weight.shape != (len(self.emotions), width)
            or tables.emotion_bias.shape != (len(self.emotions),)
        ):
            raise MissingError(f"{path}: does not fit bundle.yaml; export it again")
        return tables

    @property
    def layout(self) -> ConditioningLayout:
        """What the numbers of the generator's conditioning mean."""
        return ConditioningLayout(self.lookaheads, self.styles)

    def lookahead_of(self, ms: int | None) -> int:
        """Look-ahead in faces from whole ms; ``None`` is the bundle's own.

        ``UsageError`` if it is not one of ``lookaheads``.
        """
        return self.lookahead if ms is None else self.layout.lookahead_of(ms)

    def conditioning_input(self, lookahead: int) -> dict[str, Floats]:
        """Input of the generator, by name, at a look-ahead (faces), with no style and no words."""
        return {INPUT: self.layout.at(lookahead)}

    def write(self) -> None:
        """Write ``bundle.yaml`` whole or not at all."""
        plain = {k: v for k, v in asdict(self).items() if k != "folder"}
        head = {
            "schema": SCHEMA,
            "sample_rate": SAMPLE_RATE,
            "fps": FPS,
            "mels": N_MELS,
            "window": WINDOW,
            "shapes": list(ARKIT_52),
        }
        optional = [(plain, key) for key in ("quantised", "codes", "emotions", "styles")]
        for part, key in (*optional, *((plain[n], "variants") for n in NETWORKS)):
            if not part[key]:
                del part[key]
        text = yaml.safe_dump(head | _listed(plain), sort_keys=False, width=100)
        write_text(self.folder / "bundle.yaml", text)


def _as(network: Network, precision: str) -> Network:
    if precision == "fp32":
        return network
    part = network.variants[precision]
    return replace(network, file=part.file, sha256=part.sha256, variants={})


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, (tuple, list)) else value
