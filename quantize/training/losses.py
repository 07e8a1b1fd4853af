"""How far a face is from the captured one: pure functions over (B, T, C), each a scalar."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.contract import INDEX
from edge.words import VISEMES
from quantize.data.phones import UNKNOWN

JAW, CLOSE = INDEX["jawOpen"], INDEX["mouthClose"]
PP = VISEMES.index("PP")


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of ``values`` with ``weights`` of the same shape; 0 where all weights are 0.

    Under torchrun the mean of what the processes return is that of the whole batch, even if the
    faces of one weigh more. So all of them must call it, as often.
    """
    total = weights.sum().detach()
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
        total /= torch.distributed.get_world_size()
    return (values * weights).sum() / total.clamp(min=1e-6)


def shape_loss(predicted: Tensor, target: Tensor, weights: Tensor, spread: Tensor) -> Tensor:
    """Huber error in standard deviations, so that a shy channel counts like the jaw.

    Squared up to 2 deviations, linear beyond: solvers and trackers jump now and then.
    """
    error = (predicted - target) / spread.clamp(min=1e-3)
    return weighted_mean(
        2 * F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=2.0), weights
    )


def velocity_loss(predicted: Tensor, target: Tensor, weights: Tensor, spread: Tensor) -> Tensor:
    """Squared error of the change from face to face, in standard deviations a face.

    EmoTalk's L_vel (Peng et al. 2023, eq. 5).
    """
    error = (predicted - target) / spread.clamp(min=1e-3)
    return weighted_mean(error.diff(dim=1) ** 2, weights[:, 1:])


def closure_loss(predicted: Tensor, visemes: Tensor, spread: Tensor) -> Tensor:
    """How far the lips are apart in the middle of p, b and m, squared, in deviations of the jaw.

    ARKit's lips touch where ``mouthClose`` makes up for ``jawOpen``: on GRID the measured lip gap
    is proportional to their difference.
    """
    lips = visemes == PP  # (B, T)
    middle = lips[:, 1:-1] & lips[:, :-2] & lips[:, 2:]
    gap = (predicted[..., JAW] - predicted[..., CLOSE])[:, 1:-1] / spread[JAW]
    return weighted_mean(gap.clamp(min=0.0) ** 2, middle.to(gap.dtype))


def class_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy of visemes or emotions (B, T); those that are ``UNKNOWN`` do not count."""
    missed = F.cross_entropy(
        logits.flatten(0, 1), classes.flatten(), ignore_index=UNKNOWN, reduction="none"
    )
    return weighted_mean(missed, (classes != UNKNOWN).flatten().to(missed.dtype))


def emotion_divergence(predicted: Tensor, target: Tensor) -> Tensor:
    """Divergence (B, T) of one emotion (B, T, 2 D: mean, log-variance) from another, a dimension.

    Kullback-Leibler, of Gaussians with the target first.
    """
    mean, log_variance = predicted.chunk(2, dim=-1)
    real, real_variance = target.chunk(2, dim=-1)
    apart = (real - mean) ** 2 + real_variance.exp()
    return 0.5 * (log_variance - real_variance + apart / log_variance.exp() - 1).mean(-1)


def between_classes(x: Tensor, classes: Tensor) -> Tensor:
    """Share of the variance of x (B, C) that lies between the means of its classes (B,), 0 to 1.

    By chance it is about (classes - 1) / (B - 1).
    """
    member = F.one_hot(classes - classes.min()).to(x.dtype)  # (B, K)
    counts = member.sum(0)
    means = (member.T @ x) / counts.clamp(min=1)[:, None]
    off = x - x.mean(0)
    between = (counts[:, None] * (means - x.mean(0)) ** 2)[counts > 0].sum()
    return between / (off**2).sum().clamp(min=1e-6)


def correlation(predicted: Tensor, target: Tensor) -> Tensor:
    """Pearson r over the first axis, one value a column; 0 where either does not move."""
    p, t = predicted - predicted.mean(0), target - target.mean(0)
    scale = (p**2).sum(0).sqrt() * (t**2).sum(0).sqrt()
    return torch.where(scale > 1e-9, (p * t).sum(0) / scale.clamp(min=1e-9), 0.0)
