"""A run's checkpoint to the network that it trained, ready for use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from edge.contract import InputError
from edge.files import open_regular
from edge.safe_yaml import read_yaml
from quantize.training.run_settings import build

Net = TypeVar("Net", bound=nn.Module)

MOST_BYTES = 1 << 32
"""Of a checkpoint."""


def settings_of(checkpoint: Path) -> dict[str, Any]:
    """The ``run.yaml`` beside a checkpoint; empty where there is none."""
    path = checkpoint.with_name("run.yaml")
    try:
        found = read_yaml(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: not the settings of a run ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: not the settings of a run ({error})") from error
    return found or {}


def averaged(checkpoint: Path, make: Callable[[], Net]) -> Net:
    """The network that ``make`` builds, with the averaged weights that were saved."""
    try:
        with open_regular(checkpoint, MOST_BYTES) as file:
            saved = torch.load(file, weights_only=True, map_location="cpu")
        net = make()
        net.load_state_dict(saved["average"])
    except OSError as error:
        raise InputError(f"{checkpoint}: {error.strerror}; give a checkpoint.pt") from error
    except Exception as error:  # torch and pickle share no other base
        first = str(error).partition(". ")[0].partition("\n")[0] or type(error).__name__
        raise InputError(f"{checkpoint}: not a checkpoint that fits its run ({first})") from error
    return net.eval()


def open_run(checkpoint: Path, kind: str, network: Callable[[Any], Net], sizes: type) -> Net:
    """The ``network`` of a run of ``train KIND``, as large as its ``run.yaml`` says.

    ``sizes`` is the dataclass that ``network`` takes.
    """
    settings = settings_of(checkpoint)
    if (found := settings.get("train", kind)) != kind:
        raise InputError(f"{checkpoint}: a run of 'train {found}', not of 'train {kind}'")
    return averaged(checkpoint, lambda: network(build(sizes, settings.get("model") or {})))
