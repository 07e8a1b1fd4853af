"""Learning rates over the steps of a training, as torch's own schedulers."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

FLOOR = 0.01
"""Where a cosine ends, as a share of the peak rate."""


def cosine(optimiser: Optimizer, steps: int) -> CosineAnnealingLR:
    """From the optimiser's rate down to a hundredth of it, over ``steps``."""
    return CosineAnnealingLR(optimiser, max(1, steps), eta_min=FLOOR * optimiser.defaults["lr"])


def warm_cosine(optimiser: Optimizer, steps: int) -> SequentialLR:
    """Up to the optimiser's rate over the first 5 % of ``steps``, then ``cosine``."""
    warm = max(1, steps // 20)
    rising = LinearLR(optimiser, 1 / warm, total_iters=warm - 1)
    return SequentialLR(optimiser, [rising, cosine(optimiser, steps - warm)], [warm])
