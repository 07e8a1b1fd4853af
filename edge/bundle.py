"""The folder that crosses from toolchain to runtime: two networks and what they expect.

``bundle.yaml`` is written by ``edge-quantize export`` and checked in full before anything runs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from edge.bundle_files import check_file, check_name, read_arrays
from edge.conditioning import INPUT, ConditioningLayout
from edge.contract import ARKIT_52, FPS, SAMPLE_RATE, Floats, MissingError, UsageError, cut, shown
from edge.emotion import load_valence
from edge.features import N_MELS, WINDOW
from edge.files import write_text
from edge.safe_yaml import read_yaml

SCHEMA = 1
DEFAULT = Path(__file__).parent / "bundles" / "default"
"""The bundle that ships with EdgeTalk."""

NETWORKS = ("generator", "decoder")
PRECISIONS = ("fp32", "fp16", "int8")
MOST_NUMBERS = 1_000_000
"""In one input or output of a network; the largest shipped one has 512."""

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


def read_bundle(folder: Path) -> Bundle:
    """Read and check a bundle; ``MissingError`` with one sentence if anything is off."""
    path = folder / "bundle.yaml"
    try:
        raw = read_yaml(path)
        _check_agreement(path, raw)
        bundle = Bundle(
            folder=folder,
            name=cut(str(raw["name"])),
            lookaheads=tuple(int(n) for n in raw["lookaheads"]),
            lookahead=int(raw["lookahead"]),
            generator=_network(raw["generator"]),
            decoder=_network(raw["decoder"]),
            rest={str(k): float(v) for k, v in raw["rest"].items()},
            data=tuple(str(name) for name in raw["data"]),
            git=str(raw["git"]),
            codes=_file(raw["codes"]) if "codes" in raw else None,
            emotions=tuple(str(name) for name in raw.get("emotions", ())),
            styles=tuple(str(name) for name in raw.get("styles", ())),
            quantised=dict(raw.get("quantised", {})),
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError(
            f"{folder}: no bundle.yaml there; give --bundle the folder with it"
        ) from error
    except OSError as error:
        raise MissingError(f"{path}: {error.strerror}; check --bundle") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = cut(f"{type(error).__name__}: {error}", 200)
        raise MissingError(f"{path}: not a readable bundle ({what}); export it again") from error
    _check_values(path, bundle)
    if not _fits(bundle):
        raise MissingError(f"{path}: its networks do not fit edge-run or each other; export again")
    for network in (bundle.generator, bundle.decoder):
        parts: list[Network | File] = [network, *network.variants.values()]
        for part in parts:
            check_file(folder / part.file, part.sha256)
    if bundle.codes:
        check_file(folder / bundle.codes.file, bundle.codes.sha256)
    return bundle


def _check_agreement(path: Path, raw: Any) -> None:
    if not isinstance(raw, dict):
        raise TypeError("not a mapping")
    if raw.get("schema") != SCHEMA:
        raise MissingError(
            f"{path}: bundle schema {shown(raw.get('schema'))}, this edge-run reads {SCHEMA}; "
            "export the bundle again with this version"
        )
    ours = {"sample_rate": SAMPLE_RATE, "fps": FPS, "mels": N_MELS, "window": WINDOW}
    for key, value in ours.items():
        if raw[key] != value:
            found = shown(raw[key])
            raise MissingError(f"{path}: made for {key} {found}, this edge-run uses {value}")
    if raw["shapes"] != list(ARKIT_52):
        raise MissingError(f"{path}: its blendshapes or their order are not edge-run's ARKit 52")


def _check_values(path: Path, bundle: Bundle) -> None:
    if (
        bundle.lookahead not in bundle.lookaheads
        or not all(0 <= n <= FPS for n in bundle.lookaheads)
        or len(set(bundle.lookaheads)) != len(bundle.lookaheads)
        or bundle.rest.keys() - set(ARKIT_52)
        or not all(0 <= weight <= 1 for weight in bundle.rest.values())  # NaN is not
    ):
        raise MissingError(f"{path}: look-ahead or rest pose contradicts itself; export it again")
    if unknown := [name for name in bundle.emotions if name not in load_valence()]:
        raise MissingError(
            f"{path}: unknown emotion {shown(unknown[0])}; known: {', '.join(load_valence())}; "
            "export it again"
        )
    for network in (bundle.generator, bundle.decoder):
        for name, shape in (*network.inputs.items(), *network.outputs.items()):
            if not all(n > 0 for n in shape) or math.prod(shape) > MOST_NUMBERS:
                raise MissingError(
                    f"{path}: {shown(name)} cannot be {shown(shape)}; export it again"
                )


def _fits(bundle: Bundle) -> bool:
    """Do the shapes agree with what ``edge.pipeline`` passes from one network to the next?"""
    generator, decoder = bundle.generator, bundle.decoder
    return (
        generator.inputs.get("mels") == (1, 1, N_MELS)
        and generator.inputs.get(INPUT) == (1, bundle.layout.size)
        and "latent" in generator.outputs
        and decoder.inputs.get("latent") == generator.outputs["latent"]
        and decoder.outputs.get("weights") == (1, 1, len(ARKIT_52))
        and (bundle.codes is None or {"codes", "emotion"} <= generator.outputs.keys())
        and bool(bundle.emotions) == (bundle.codes is not None)
        and all(
            network.outputs.get(name.replace("state.", "state_out.", 1)) == shape
            for network in (generator, decoder)
            for name, shape in network.inputs.items()
            if name.startswith("state.")
        )
    )


def _network(raw: Mapping[str, Any]) -> Network:
    inputs, outputs = (
        {name: tuple(int(n) for n in shape) for name, shape in raw[side].items()}
        for side in ("inputs", "outputs")
    )
    variants = {str(precision): _file(part) for precision, part in raw.get("variants", {}).items()}
    file = _file(raw)
    return Network(file.file, file.sha256, inputs, outputs, variants)


def _file(raw: Mapping[str, Any]) -> File:
    return File(check_name(str(raw["file"])), str(raw["sha256"]))


def _as(network: Network, precision: str) -> Network:
    if precision == "fp32":
        return network
    part = network.variants[precision]
    return replace(network, file=part.file, sha256=part.sha256, variants={})


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, (tuple, list)) else value
