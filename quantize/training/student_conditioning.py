"""The stage after the fit: the generator learns what words and styles condition it to.

Only the columns of two layers that read them are learned, on the frozen student, so that a face
without words is to the last bit what it was before. Styles, whose columns stand beside those of
the words, are learned further.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from models.student import Student
from quantize.training.loop import Losses
from quantize.training.schedules import cosine

RATE = 1e-2
WORDED = 0.5
"""Share of the streams that are conditioned on their words in this stage."""


def learn_conditioning(student: Student, losses: Losses, steps: int, batch: int) -> None:
    """Train the columns ``Generator.conditioning_columns`` in place, over windows with words."""
    generator = student.generator
    student.requires_grad_(False)

    def columns_alone(gradient: Tensor) -> Tensor:
        kept = torch.zeros_like(gradient)
        generator.conditioning_columns(kept).copy_(generator.conditioning_columns(gradient))
        return kept

    weights = generator.conditioned_weights()
    hooks = [w.requires_grad_(True).register_hook(columns_alone) for w in weights]
    # Adam leaves alone what never had a gradient.
    optimiser = torch.optim.Adam(weights, lr=RATE)
    rate = cosine(optimiser, steps)
    try:
        for step in (bar := trange(steps, desc="words")):
            torch.manual_seed(step)
            parts = losses(student, step, np.random.default_rng(step), slice(0, batch))
            loss = parts["shape"] + parts["velocity"] + parts["closure"]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    finally:
        for hook in hooks:
            hook.remove()
        student.requires_grad_(True)
