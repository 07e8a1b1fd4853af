"""What each layer costs in int8, and which ones stay in fp32 for it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edge.contract import Floats
from quantize.export.calibrate import CalibrationWindows
from quantize.export.onnx_graph import Models
from quantize.export.onnx_runner import OnnxRunner
from quantize.export.qdq import layers, to_int8
from quantize.export.snr import snr_db
from quantize.plotting import pyplot

log = logging.getLogger(__name__)

BUDGET = 1_000_000
"""Bytes of both int8 files together."""
GOAL_DB = 40.0
"""Of the weights. 30 dB is asked for; 10 dB more because speakers and rooms differ."""


@dataclass(frozen=True)
class Cost:
    """One layer in int8, all others in fp32."""

    layer: str
    """``network.parameter``."""
    snr_db: float
    """Of the weights."""
    saves: int
    """Bytes."""

    @property
    def noise(self) -> float:
        """Error power over signal power; those of different layers roughly add up."""
        return float(10 ** (-self.snr_db / 10))


def run_both(models: Models, windows: CalibrationWindows) -> tuple[Floats, Floats]:
    """Latents (N * T, L) and weights (N * T, 52) of all windows, one after another."""
    generator, decoder = (OnnxRunner(models[name]) for name in ("generator", "decoder"))
    latents, faces = [], []
    for feed in windows.feeds():
        latent = generator.run(feed)["latent"]
        latents.append(latent.reshape(len(latent), -1))
        faces.append(decoder.run({"latent": latent})["weights"][:, 0, 0])
    return np.concatenate(latents), np.concatenate(faces)


def int8_of(
    models: Models, peaks: Mapping[str, float], keep: Collection[str]
) -> dict[str, onnx.ModelProto]:
    """Both networks in int8; ``peaks`` and ``keep`` speak of ``network.layer``."""

    def own(names: Collection[str], network: str) -> list[str]:
        return [n.removeprefix(f"{network}.") for n in names if n.startswith(f"{network}.")]

    return {
        name: to_int8(model, {n: peaks[f"{name}.{n}"] for n in own(peaks, name)}, own(keep, name))
        for name, model in models.items()
    }


def size(models: Models) -> int:
    """Bytes of both files."""
    return sum(model.ByteSize() for model in models.values())


def scan(
    models: Models, peaks: Mapping[str, float], windows: CalibrationWindows, reference: Floats
) -> list[Cost]:
    """Quantise each layer alone; the most harmful first."""
    every = {f"{n}.{layer.name}": layer for n, model in models.items() for layer in layers(model)}
    costs = []
    for name, layer in every.items():
        alone = int8_of(models, peaks, every.keys() - {name})
        snr = snr_db(reference, run_both(alone, windows)[1])
        costs.append(Cost(name, snr, 3 * layer.size))
        log.info("%-34s alone %5.1f dB, saves %6.1f kB", name, snr, costs[-1].saves / 1e3)
    return sorted(costs, key=lambda cost: cost.snr_db)


def choose(
    models: Models,
    peaks: Mapping[str, float],
    windows: CalibrationWindows,
    reference: Floats,
    costs: list[Cost],
    goal_db: float = GOAL_DB,
    budget: int = BUDGET,
) -> tuple[list[str], float]:
    """Layers to keep in fp32, and the SNR then: the most noise a byte first, while they fit.

    Stops at ``goal_db``; every step is measured, because noises only roughly add up.
    """
    keep: list[str] = []
    candidate = int8_of(models, peaks, keep)
    snr = snr_db(reference, run_both(candidate, windows)[1])
    log.info("all layers int8: %.1f dB, %.0f kB", snr, size(candidate) / 1e3)
    for cost in sorted(costs, key=lambda cost: -cost.noise / cost.saves):
        # A layer that adds under 1 % of the noise is not worth another kernel in fp32.
        if snr >= goal_db or cost.noise < 0.01 * 10 ** (-snr / 10):
            continue
        candidate = int8_of(models, peaks, [*keep, cost.layer])
        if size(candidate) > budget:
            continue
        keep.append(cost.layer)
        snr = snr_db(reference, run_both(candidate, windows)[1])
        log.info("%-34s in fp32: %.1f dB, %.0f kB", cost.layer, snr, size(candidate) / 1e3)
    return keep, snr


def plot(costs: list[Cost], keep: Collection[str], path: Path) -> None:
    """Each layer's SNR against the bytes it saves."""
    plt = pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    names = [cost.layer.removesuffix(".weight") for cost in costs]
    colours = ["tab:orange" if cost.layer in keep else "tab:blue" for cost in costs]
    left.barh(names, [cost.snr_db for cost in costs], color=colours)
    left.set(xlabel="SNR of the weights with this layer alone in int8, dB")
    right.barh(names, [cost.saves / 1e3 for cost in costs], color=colours)
    right.set(xlabel="kB saved by int8")
    left.invert_yaxis()
    figure.suptitle("int8: what each layer costs and saves (orange: left in fp32)")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def table(costs: list[Cost]) -> list[dict[str, Any]]:
    """The scan as JSON."""
    return [asdict(cost) for cost in costs]
