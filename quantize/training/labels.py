"""Names to indices, and indices to one-hot rows; -1 stands for no label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def one_hot(index: NDArray[np.int64], size: int) -> Tensor:
    """(...) indices to (..., size); all zero where negative."""
    return torch.eye(size + 1)[torch.from_numpy(np.where(index < 0, size, index))][..., :size]


def index_of(names: Sequence[str], name: str | None) -> int:
    """Where a name stands among others; -1 where it does not."""
    return names.index(name) if name in names else -1
