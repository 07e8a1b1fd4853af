"""A run's checkpoint to the network that it trained, ready for use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from torch import nn

from edge.contract import InputError
from quantize.training.run_settings import build

Net = TypeVar("Net", bound=nn.Module)


def settings_of(checkpoint: Path) -> dict[str, Any]:
    """The ``run.yaml`` beside a checkpoint; empty where there is none."""
    path = checkpoint.with_name("run.yaml")
    try:
        return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(f"{path}: not the settings of a run ({first})") from error


def averaged(checkpoint: Path, make: Callable[[], Net]) -> Net:
    """The network that ``make`` builds, with the averaged weights that were saved."""
    try:
        saved = torch.load(checkpoint, weights_only=True, map_location="cpu")
        net = make()
        net.load_state_dict(saved["average"])
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
