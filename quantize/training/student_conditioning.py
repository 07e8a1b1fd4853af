"""What a trained student may be told besides the sound: words. Nothing but their columns moves.

Those of two layers are learned after everything else, on the frozen student, so that a face without
words is to the last bit what it would be had nobody thought of them. Style, whose columns stand
beside them, goes on to be learned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from models.student import Student
from quantize.training.schedules import cosine

if TYPE_CHECKING:
    from quantize.training.train_student import StudentWindows

EPOCHS, RATE = 3, 1e-2
WORDED = 0.5
"""Share of the streams that are told their words."""


def learn_conditioning(student: Student, streams: StudentWindows) -> None:
    """Train the columns ``Generator.conditioning_columns`` in place: style goes on, words begin."""
    generator = student.generator
    student.requires_grad_(False)

    def only_steering(gradient: Tensor) -> Tensor:
        kept = torch.zeros_like(gradient)
        generator.conditioning_columns(kept).copy_(generator.conditioning_columns(gradient))
        return kept

    hooks = [
        w.requires_grad_(True).register_hook(only_steering) for w in generator.conditioned_weights()
    ]
    # Adam leaves alone what never had a gradient.
    optimiser = torch.optim.Adam(generator.conditioned_weights(), lr=RATE)
    streams.worded = WORDED
    steps = EPOCHS * streams.steps
    rate = cosine(optimiser, steps)
    try:
        for step in (bar := trange(steps, desc="words")):
            torch.manual_seed(step)
            rng = np.random.default_rng(step)
            parts = streams.losses(student, step, rng, slice(0, streams.run.batch))
            loss = parts["shape"] + parts["velocity"] + parts["closure"]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    finally:
        streams.worded = 0.0
        for hook in hooks:
            hook.remove()
        student.requires_grad_(True)
