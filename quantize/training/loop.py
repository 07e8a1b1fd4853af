"""The training loop all teachers share: resumable, averaged, logged, alone or under torchrun.

A run folder holds ``run.yaml`` (settings), ``checkpoint.pt``, ``log.csv``, TensorBoard events and
``curves.png``. Starting it again with the same settings goes on where it stopped.
"""

from __future__ import annotations

import copy
import csv
import logging
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from tqdm import tqdm

from edge.contract import ConfigError
from quantize.plotting import pyplot

log = logging.getLogger(__name__)

Rng = np.random.Generator
Run = TypeVar("Run", bound=Any)
Losses = Callable[[nn.Module, int, Rng, slice], dict[str, Tensor]]
"""(network, step, its random numbers, this process's rows of the batch) -> parts of the loss."""
Judge = Callable[[nn.Module], dict[str, float]]
"""The averaged network, in evaluation mode -> figures on clips held back."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    steps: int
    batch: int
    rate: float = 2e-3
    """Peak learning rate; warm-up over 5 % of the steps, then a cosine down to a hundredth."""
    decay: float = 3e-2
    """Weight decay (AdamW)."""
    average: float = 0.998
    """Decay of the running average of the weights, which is what is used afterwards."""
    every: int = 100
    """Steps between two checkpoints (and judgements)."""
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        warm = max(1, self.steps // 20)
        if step < warm:
            return self.rate * (step + 1) / warm
        done = (step - warm) / max(1, self.steps - warm)
        return self.rate * cosine(done)


def cosine(done: float) -> float:
    """Share of the peak learning rate after a share of the steps: from 1 down to a hundredth."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def read_settings(kind: type[Run], path: Path | None, **changes: Any) -> Run:
    """A ``run.yaml``, or the defaults, to settings; keyword arguments that are not ``None`` win."""
    try:
        raw = (yaml.safe_load(path.read_text()) or {}) if path else {}
        raw.pop("train", None)
        settings = build(kind, raw | {k: v for k, v in changes.items() if v is not None})
    except (OSError, yaml.YAMLError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path or 'settings'}: {error}") from error
    if not settings.data:
        raise ConfigError("no data: give --data DIR, or 'data' in the file of --config")
    return settings


def build(kind: Any, raw: dict[str, Any]) -> Any:
    """A settings dataclass, and those in it, from what YAML gave; ``TypeError`` names a key."""
    hints = get_type_hints(kind)
    if unknown := [key for key in raw if key not in hints]:
        raise TypeError(f"unknown key '{unknown[0]}'; known: {', '.join(hints)}")
    made = {}
    for key, value in raw.items():
        if is_dataclass(hints[key]):
            value = build(hints[key], value)
        elif isinstance(value, list):
            value = tuple(value)
        made[key] = value
    return kind(**({"data": ()} | made) if "data" in hints else made)


def keep_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write ``run.yaml``; refuses a folder that holds a run with other settings."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "run.yaml"
    wanted = yaml.safe_dump(settings, sort_keys=False)
    if path.exists() and path.read_text() != wanted:
        raise ConfigError(f"{path} has other settings; choose another --out or delete it")
    path.write_text(wanted)


def plain_settings(run: Any) -> dict[str, Any]:
    """A settings dataclass as YAML writes it: tuples become lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return list(value) if isinstance(value, tuple) else value

    settings: dict[str, Any] = plain(asdict(run))
    return settings


def fit(net: nn.Module, out: Path, schedule: Schedule, losses: Losses, judge: Judge) -> nn.Module:
    """Train ``net`` and return its running average; only rank 0 writes.

    Under ``torchrun`` each process takes its share of every batch and gradients are averaged (DDP),
    so that N processes take the same steps as one.
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if schedule.batch % world:
        raise ConfigError(f"a batch of {schedule.batch} does not divide among {world} processes")
    if world > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    torch.manual_seed(schedule.seed)
    run = _Run(net, out, schedule)
    trained = nn.parallel.DistributedDataParallel(net) if world > 1 else net
    share = schedule.batch // world
    rows = slice(rank * share, (rank + 1) * share)
    bar = tqdm(
        range(run.step, schedule.steps),
        initial=run.step,
        total=schedule.steps,
        desc=out.name,
        disable=rank > 0,
    )
    recent: list[dict[str, float]] = []
    for _ in bar:
        torch.manual_seed(schedule.seed * 1_000_003 + run.step * world + rank)
        rng = np.random.default_rng((schedule.seed, run.step))
        net.train()
        parts = losses(trained, run.step, rng, rows)
        recent.append(run.take(parts))
        bar.set_postfix(loss=f"{recent[-1]['loss']:.3f}", refresh=False)
        if run.step % schedule.every == 0 or run.step == schedule.steps:
            if rank == 0:
                means = {k: float(np.mean([r[k] for r in recent])) for k in recent[0]}
                run.note(means | judge(run.averaged))
                run.save()
            recent = []
    if rank == 0 and (out / "log.csv").exists():
        plot(out)
    return run.averaged


def _board(out: Path) -> Any:
    """TensorBoard's writer, or ``None`` where it is not installed or another process writes."""
    if os.environ.get("RANK", "0") != "0":
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out))


class _Run:
    """The network, its average, its optimiser and how far they are."""

    def __init__(self, net: nn.Module, out: Path, schedule: Schedule) -> None:
        self.net, self.out, self.schedule, self.step = net, out, schedule, 0
        self._board = _board(out)
        self.averaged = copy.deepcopy(net).eval()
        self.optimiser = torch.optim.AdamW(net.parameters(), weight_decay=schedule.decay)
        if (path := out / "checkpoint.pt").exists():
            saved = torch.load(path, weights_only=True)
            net.load_state_dict(saved["net"])
            self.averaged.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step = saved["step"]
            log.info("going on after step %d", self.step)

    def take(self, parts: dict[str, Tensor]) -> dict[str, float]:
        """One step down the sum of ``parts``; all of them as the whole batch has them."""
        loss = torch.stack(list(parts.values())).sum()
        shared = torch.distributed.is_initialized()
        if shared:
            # DDP waits for a gradient of every parameter, also of a branch that no clip teaches.
            loss = loss + 0 * torch.stack([p.sum() for p in self.net.parameters()]).sum()
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate_at(self.step)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(self.schedule.average, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, now in zip(
                self.averaged.state_dict().values(), self.net.state_dict().values(), strict=True
            ):
                # Codebooks and counters are averages already, or no numbers to average.
                if mean.is_floating_point():
                    mean.lerp_(now, 1 - keep)
                else:
                    mean.copy_(now)
        figures = torch.stack([loss, *parts.values()]).detach()
        if shared:
            torch.distributed.all_reduce(figures)
            figures /= torch.distributed.get_world_size()
        return dict(zip(("loss", *parts), figures.tolist(), strict=True))

    def note(self, figures: dict[str, float]) -> None:
        """One row of ``log.csv``, and the same to TensorBoard where it is installed."""
        path = self.out / "log.csv"
        header = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, ["step", *figures])
            if header:
                writer.writeheader()
            writer.writerow({"step": self.step} | {k: f"{v:.5g}" for k, v in figures.items()})
        if self._board:
            for name, value in figures.items():
                self._board.add_scalar(name, value, self.step)
            self._board.flush()

    def save(self) -> None:
        """Write the checkpoint beside the old one, then replace it."""
        partial = self.out / "checkpoint.part"
        torch.save(
            {
                "net": self.net.state_dict(),
                "average": self.averaged.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
            },
            partial,
        )
        partial.rename(self.out / "checkpoint.pt")


def plot(out: Path) -> None:
    """``log.csv`` as ``curves.png``, a panel a figure."""
    plt = pyplot()
    with (out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = [n for n in rows[0] if n != "step"]
    columns = 4
    figure, axes = plt.subplots(
        -(-len(names) // columns), columns, figsize=(12, 2.2 * -(-len(names) // columns)),
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for panel, name in zip(axes.flat, names, strict=False):
        panel.plot([int(r["step"]) for r in rows], [float(r[name]) for r in rows])
        panel.set_title(name, fontsize=8)
        panel.tick_params(labelsize=7)
    figure.savefig(out / "curves.png", dpi=90)
    plt.close(figure)
