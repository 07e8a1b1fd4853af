"""TensorRT's account of an engine's layers to how many run in which type."""

from __future__ import annotations

import json


def summarise(layers: str) -> dict[str, int]:
    """Inspector JSON to how many matrix layers read which type, such as ``{"Int8": 7, ...}``.

    A layer that TensorRT fused beyond recognition counts as ``fused``; ``on DLA`` counts regions.
    """
    found: dict[str, int] = {}
    for layer in json.loads(layers or "{}").get("Layers", []):
        kind = str(layer.get("LayerType", "")) if isinstance(layer, dict) else ""
        if "dla" in kind.lower():
            what = "on DLA"
        elif any(part in kind.lower() for part in ("conv", "gemm", "matrix", "matmul")):
            inputs = layer.get("Inputs") or [{}]
            what = _type_of(str(inputs[0].get("Format/Datatype") or inputs[0].get("Format") or ""))
        elif any(part in kind.lower() for part in ("myelin", "foreign", "kgen")):
            what = "fused"
        else:
            continue
        found[what] = found.get(what, 0) + 1
    return found


def _type_of(text: str) -> str:
    kinds = {"int8": "Int8", "fp16": "FP16", "half": "FP16", "fp32": "FP32", "float": "FP32"}
    return next((name for mark, name in kinds.items() if mark in text.lower()), "unknown")


def describe(summary: dict[str, int]) -> str:
    """The summary as a phrase for the log."""
    rows = ", ".join(f"{count} {what}" for what, count in sorted(summary.items()))
    return f"matrix layers: {rows or 'not told by this TensorRT'}"
