"""An fp32 ONNX network to the same network in int8 with explicit Q/DQ.

Inputs, outputs and state stay float32. What TensorRT wants of Q/DQ stands in
``quantize/export/lint.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.contract import Floats
from quantize.export.onnx_graph import integer, replace_nodes, store


@dataclass(frozen=True)
class Layer:
    """A Gemm or MatMul with constant weights: what int8 is about."""

    name: str
    """The torch parameter it came from, such as ``slow.gru.weight_hh_l0``."""
    node: str
    """Name of the ONNX node."""
    activation: str
    """Tensor that is multiplied with the weights."""
    weight: str
    axis: int
    """Of the output channels in the stored weights."""
    size: int
    """Weights; quantising saves three bytes of each."""


def layers(model: onnx.ModelProto) -> list[Layer]:
    """Every quantisable layer in the order it runs."""
    stored = {t.name: t for t in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type in ("Gemm", "MatMul") and node.input[1] in stored:
            weight = stored[node.input[1]]
            transposed = node.op_type == "Gemm" and integer(node, "transB")
            found.append(
                Layer(
                    _parameter(model, node),
                    node.name,
                    node.input[0],
                    weight.name,
                    0 if transposed else 1,
                    int(np.prod(weight.dims)),
                )
            )
    return found


def _parameter(model: onnx.ModelProto, node: onnx.NodeProto) -> str:
    """The exporter folds transposed weights under a new name; the bias beside them kept its own."""
    if not node.input[1].startswith("val_"):
        return node.input[1].removeprefix("network.")
    for user in model.graph.node:
        if user.op_type == "Add" and node.output[0] in user.input:
            bias = next(name for name in user.input if name != node.output[0])
            if bias.endswith(".bias"):
                return bias.removeprefix("network.").removesuffix("bias") + "weight"
    return node.input[1]


def quantise_weight(weight: Floats, axis: int) -> tuple[NDArray[np.int8], Floats]:
    """Weights in [-127, 127] and the scale of each output channel, symmetric."""
    peak = np.abs(weight).max(axis=1 - axis)
    scale = (np.maximum(peak, 1e-6) / 127).astype(np.float32)
    steps = np.round(weight / np.expand_dims(scale, 1 - axis))
    return np.clip(steps, -127, 127).astype(np.int8), scale


def to_int8(
    model: onnx.ModelProto, peaks: Mapping[str, float], keep: Collection[str] = ()
) -> onnx.ModelProto:
    """Quantise every layer but those named in ``keep``; ``peaks`` is layer name to activation peak.

    Activations get one Q/DQ pair a tensor, weights are stored as int8 behind a DequantizeLinear,
    biases stay float: TensorRT rejects int32 ones. A Gemm becomes MatMul and Add, because ONNX
    Runtime has no int8 kernel for a Gemm with a float bias and would unpack all weights every step.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    chosen = {layer.node: layer for layer in layers(model) if layer.name not in keep}
    stored = {t.name: t for t in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    done: dict[tuple[str, float], str] = {}
    for node in model.graph.node:
        if layer := chosen.get(node.name):
            key = (layer.activation, peaks[layer.name])
            if key not in done:
                done[key] = f"{layer.activation}.{len(done)}.dq"
                nodes += _activation_pair(model, *key, done[key])
            if f"{layer.weight}.q" not in stored:
                nodes.append(_stored_weight(model, stored, layer))
            nodes += _product(node, done[key], f"{layer.weight}.dq")
        else:
            nodes.append(node)
    return replace_nodes(model, nodes)


def _product(node: onnx.NodeProto, activation: str, weight: str) -> list[onnx.NodeProto]:
    """MatMul, and Add if a Gemm had a bias."""
    biased = node.op_type == "Gemm" and len(node.input) > 2
    out = f"{node.output[0]}.product" if biased else node.output[0]
    nodes = [helper.make_node("MatMul", [activation, weight], [out], name=node.name)]
    if biased:
        inputs = [out, node.input[2]]
        nodes.append(helper.make_node("Add", inputs, [node.output[0]], name=f"{node.name}.bias"))
    return nodes


def _activation_pair(
    model: onnx.ModelProto, tensor: str, peak: float, out: str
) -> list[onnx.NodeProto]:
    scale = store(model, f"{out}.scale", np.array(peak / 127, np.float32))
    zero = store(model, f"{out}.zero", np.array(0, np.int8))
    return [
        helper.make_node("QuantizeLinear", [tensor, scale, zero], [f"{out}.q"], name=f"{out}.Q"),
        helper.make_node("DequantizeLinear", [f"{out}.q", scale, zero], [out], name=f"{out}.DQ"),
    ]


def _stored_weight(
    model: onnx.ModelProto, stored: dict[str, TensorProto], layer: Layer
) -> onnx.NodeProto:
    steps, scale = quantise_weight(numpy_helper.to_array(stored[layer.weight]), layer.axis)
    # (in, out), whichever way they lay
    steps = steps if layer.axis == 1 else np.ascontiguousarray(steps.T)
    names = [
        store(model, f"{layer.weight}.q", steps),
        store(model, f"{layer.weight}.scale", scale),
        store(model, f"{layer.weight}.zero", np.zeros(len(scale), np.int8)),
    ]
    stored[names[0]] = model.graph.initializer[-3]
    return helper.make_node(
        "DequantizeLinear",
        names,
        [f"{layer.weight}.dq"],
        name=f"{layer.weight}.DQ",
        axis=1,
    )
