"""A folder to a ``Bundle``: read and checked in full before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.bundle import SCHEMA, Bundle, File, Network
from edge.bundle_files import check_file, check_name
from edge.conditioning import INPUT
from edge.contract import ARKIT_52, FPS, SAMPLE_RATE, MissingError, cut, quoted
from edge.emotion import load_valence
from edge.features import N_MELS, WINDOW
from edge.safe_yaml import read_yaml

MOST_NUMBERS = 1_000_000
"""In one input or output of a network; the largest shipped one has 512."""


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
            f"{path}: bundle schema {quoted(raw.get('schema'))}, this edge-run reads {SCHEMA}; "
            "export the bundle again with this version"
        )
    ours = {"sample_rate": SAMPLE_RATE, "fps": FPS, "mels": N_MELS, "window": WINDOW}
    for key, value in ours.items():
        if raw[key] != value:
            found = quoted(raw[key])
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
            f"{path}: unknown emotion {quoted(unknown[0])}; known: {', '.join(load_valence())}; "
            "export it again"
        )
    for network in (bundle.generator, bundle.decoder):
        for name, shape in (*network.inputs.items(), *network.outputs.items()):
            if not all(n > 0 for n in shape) or math.prod(shape) > MOST_NUMBERS:
                raise MissingError(
                    f"{path}: {quoted(name)} cannot be {quoted(shape)}; export it again"
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
