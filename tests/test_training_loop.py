"""The training loop by hand: learning rates, averaged weights, the log, a lost checkpoint."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the toolchain is not tested")
pytest.importorskip("scipy", reason="the toolchain is not installed")

from torch.optim.swa_utils import AveragedModel

from edge.contract import InputError
from quantize.training.curves import TrainingLog, plot, read_log
from quantize.training.loop import Schedule, fit, running_average
from quantize.training.schedules import cosine, warm_cosine

pytestmark = pytest.mark.toolchain


def rates(make, steps: int) -> list[float]:
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule, found = make(optimiser, steps), []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


def test_the_rate_falls_by_a_cosine_to_a_hundredth() -> None:
    found = rates(cosine, 4)
    # (1 + cos) / 2 at 0, 1/4, 1/2 and 3/4 of the way, between 2 and 0.02.
    halves = [(1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]
    assert found == pytest.approx([0.02 + 1.98 * h for h in halves])


def test_the_rate_rises_over_a_twentieth_of_the_steps_first() -> None:
    found = rates(warm_cosine, 100)
    assert found[:6] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0, 2.0])
    assert found[5:] == sorted(found[5:], reverse=True)
    assert found[-1] == pytest.approx(0.02, abs=0.002)
    assert rates(warm_cosine, 1) == [2.0]


class Counter(torch.nn.Module):
    """A weight, a codebook and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("vectors", torch.zeros(1))
        self.register_buffer("count", torch.zeros(1, dtype=torch.long))


def test_weights_and_codebooks_are_averaged_and_counters_are_copied() -> None:
    net = Counter()
    averaged = AveragedModel(net, avg_fn=running_average(0.5), use_buffers=True)
    averaged.n_averaged.fill_(1)  # as the loop does: the first weights count as one
    with torch.no_grad():
        net.weight += 11.0
    net.vectors += 22.0
    net.count += 3
    averaged.update_parameters(net)
    # The first update keeps 1 part in 11.
    assert averaged.module.weight.item() == pytest.approx(10.0)
    assert averaged.module.vectors.item() == pytest.approx(20.0)
    assert averaged.module.count.item() == 3
    averaged.n_averaged.fill_(1000)
    averaged.update_parameters(net)
    assert averaged.module.weight.item() == pytest.approx(10.5)  # later ones keep ``decay``


def test_the_log_forgets_rows_that_no_checkpoint_followed(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path)
    for step in (5, 10, 15):
        log.add(step, {"loss": 1 / step})
    TrainingLog(tmp_path).add(10, {"loss": 0.5})  # a process that went on after step 5
    assert read_log(tmp_path / "log.csv") == [
        {"step": "5", "loss": "0.2"},
        {"step": "10", "loss": "0.5"},
    ]
    plot(tmp_path)
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_is_drawn_where_nothing_was_logged(tmp_path: Path) -> None:
    plot(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_weights_alone_is_no_training_to_go_on_with(tmp_path: Path) -> None:
    net = torch.nn.Linear(1, 1)
    torch.save({"average": net.state_dict()}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match=r"checkpoint\.pt: training cannot go on from it"):
        fit(net, tmp_path, Schedule(2, 1), lambda *_: {}, lambda _: {})
