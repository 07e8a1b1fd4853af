"""The training loop of every network: resumable, averaged, logged, alone or under torchrun.

A run folder holds ``run.yaml`` (settings), ``checkpoint.pt``, ``log.csv``, TensorBoard events and
``curves.png``. Starting it again with the same settings goes on where it stopped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from edge.contract import ConfigError, InputError
from edge.files import atomic_write
from quantize.training.curves import TrainingLog, plot
from quantize.training.schedules import warm_cosine

log = logging.getLogger(__name__)

Rng = np.random.Generator
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
    """Peak learning rate (``warm_cosine``)."""
    decay: float = 3e-2
    """Weight decay (AdamW)."""
    average: float = 0.998
    """Decay of the running average of the weights, which is what is used afterwards."""
    every: int = 100
    """Steps between two checkpoints (and judgements)."""
    seed: int = 0


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
    steps = range(run.step, schedule.steps)
    bar = tqdm(steps, out.name, schedule.steps, disable=rank > 0, initial=run.step)
    recent: list[dict[str, float]] = []
    for _ in bar:
        torch.manual_seed(schedule.seed * 1_000_003 + run.step * world + rank)
        rng = np.random.default_rng((schedule.seed, run.step))
        net.train()
        recent.append(run.take(losses(trained, run.step, rng, rows)))
        bar.set_postfix(loss=f"{recent[-1]['loss']:.3f}", refresh=False)
        if run.step % schedule.every == 0 or run.step == schedule.steps:
            if rank == 0:
                means = {k: float(np.mean([r[k] for r in recent])) for k in recent[0]}
                run.log.add(run.step, means | judge(run.averaged))
                run.save()
            recent = []
    if rank == 0:
        plot(out)
    return run.averaged


class _Run:
    """The network, its average, its optimiser, its learning rate and how far they are."""

    def __init__(self, net: nn.Module, out: Path, schedule: Schedule) -> None:
        self.net, self.path, self.step = net, out / "checkpoint.pt", 0
        self.log = TrainingLog(out)
        self.optimiser = torch.optim.AdamW(
            net.parameters(), schedule.rate, weight_decay=schedule.decay
        )
        self.rate = warm_cosine(self.optimiser, schedule.steps)
        self._average = AveragedModel(
            net, avg_fn=running_average(schedule.average), use_buffers=True
        )
        if self.path.exists():
            self._resume()
        # AveragedModel copies at its first update; here the first weights count as one.
        self._average.n_averaged.fill_(self.step + 1)

    def _resume(self) -> None:
        saved = torch.load(self.path, weights_only=True)
        if missing := {"net", "optimiser", "schedule", "step"} - saved.keys():
            raise InputError(
                f"{self.path}: training cannot go on from it, it holds no '{min(missing)}'; "
                "choose another --out"
            )
        self.net.load_state_dict(saved["net"])
        self.averaged.load_state_dict(saved["average"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.rate.load_state_dict(saved["schedule"])
        self.step = saved["step"]
        log.info("going on after step %d", self.step)

    @property
    def averaged(self) -> nn.Module:
        """The averaged network, in evaluation mode."""
        net: nn.Module = self._average.module
        return net.eval()

    def take(self, parts: dict[str, Tensor]) -> dict[str, float]:
        """One step down the sum of ``parts``; all of them as the whole batch has them."""
        loss = torch.stack(list(parts.values())).sum()
        shared = torch.distributed.is_initialized()
        if shared:
            # DDP waits for a gradient of every parameter, also of a branch that no clip trains.
            loss = loss + 0 * torch.stack([p.sum() for p in self.net.parameters()]).sum()
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.rate.step()
        self.step += 1
        self._average.update_parameters(self.net)
        figures = torch.stack([loss, *parts.values()]).detach()
        if shared:
            torch.distributed.all_reduce(figures)
            figures /= torch.distributed.get_world_size()
        return dict(zip(("loss", *parts), figures.tolist(), strict=True))

    def save(self) -> None:
        """Write the checkpoint."""
        saved = {
            "net": self.net.state_dict(),
            "average": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.rate.state_dict(),
            "step": self.step,
        }
        with atomic_write(self.path) as file:
            torch.save(saved, file)


def running_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """For ``AveragedModel``: an exponential mean that forgets the first steps sooner.

    A codebook's vectors are averaged like weights, because they follow the encoder's outputs;
    counters are copied.
    """

    def average(mean: Tensor, now: Tensor, count: Tensor | int) -> Tensor:
        if not mean.is_floating_point():
            return now
        return mean.lerp(now, 1 - min(decay, int(count) / (int(count) + 10)))

    return average
