"""What runs on the kiosk: audio in, faces out. No torch.

``for frame in edge.faces("speech.wav"): print(frame.time, frame["jawOpen"])``
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.api import faces as faces
    from edge.contract import ARKIT_52 as ARKIT_52
    from edge.contract import BlendshapeFrame as BlendshapeFrame
    from edge.contract import EdgeError as EdgeError

__all__ = ["ARKIT_52", "BlendshapeFrame", "EdgeError", "faces"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the toolchain imports edge.contract, and needs no pipeline for it.
    if name not in __all__:
        raise AttributeError(f"module 'edge' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module("edge.api" if name == "faces" else "edge.contract"), name)
