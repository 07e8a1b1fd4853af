"""An fp32 ONNX network to the same network in fp16, or in int8 with explicit Q/DQ.

Inputs, outputs and state stay float32 in every precision, so one engine and one set of buffers
serve all; the casts are inside. What TensorRT wants of Q/DQ stands in ``quantize/export/lint.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.contract import Floats


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
            transposed = node.op_type == "Gemm" and _attribute(node, "transB")
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
    return _finish(model, nodes)


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
    scale = _store(model, f"{out}.scale", np.array(peak / 127, np.float32))
    zero = _store(model, f"{out}.zero", np.array(0, np.int8))
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
        _store(model, f"{layer.weight}.q", steps),
        _store(model, f"{layer.weight}.scale", scale),
        _store(model, f"{layer.weight}.zero", np.zeros(len(scale), np.int8)),
    ]
    stored[names[0]] = model.graph.initializer[-3]
    return helper.make_node(
        "DequantizeLinear",
        names,
        [f"{layer.weight}.dq"],
        name=f"{layer.weight}.DQ",
        axis=1,
    )


def to_fp16(model: onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Type every float node fp16, but those named in ``keep``."""
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    halves = _Halves(model)
    for node in model.graph.node:
        halves.add(node, TensorProto.FLOAT if node.name in keep else TensorProto.FLOAT16)
    return _finish(model, halves.nodes)


class _Halves:
    """Rebuilds a graph node by node, casting where two precisions meet."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.model, self.nodes = model, list[onnx.NodeProto]()
        self._outputs = {v.name for v in graph.output}
        typed = [*graph.input, *graph.value_info, *graph.output]
        self._floats = {v.name for v in typed if v.type.tensor_type.elem_type == TensorProto.FLOAT}
        self._stored = {
            t.name: numpy_helper.to_array(t)
            for t in graph.initializer
            if t.data_type == TensorProto.FLOAT
        }
        self._have: dict[tuple[str, int], str] = {
            (v.name, TensorProto.FLOAT): v.name for v in graph.input
        }
        self._have |= {(name, TensorProto.FLOAT): name for name in self._stored}

    def add(self, node: onnx.NodeProto, kind: int) -> None:
        """Append the node with every float input and output of type ``kind``."""
        for i, name in enumerate(node.input):
            if name in self._floats or name in self._stored:
                node.input[i] = self._as(name, kind)
        node_outputs = list(node.output)
        for i, name in enumerate(node_outputs):
            if name in self._floats:
                own = name if kind == TensorProto.FLOAT else f"{name}.fp16"
                self._have[name, kind] = node.output[i] = own
        self.nodes.append(node)
        for name in self._outputs.intersection(node_outputs):
            self._as(name, TensorProto.FLOAT)

    def _as(self, name: str, kind: int) -> str:
        if (name, kind) not in self._have:
            wanted = name if kind == TensorProto.FLOAT else f"{name}.fp16"
            if name in self._stored:
                _store(self.model, wanted, self._stored[name].astype(np.float16))
            else:
                other = TensorProto.FLOAT16 if kind == TensorProto.FLOAT else TensorProto.FLOAT
                source = self._have[name, other]
                self.nodes.append(
                    helper.make_node("Cast", [source], [wanted], name=f"{wanted}.Cast", to=kind)
                )
            self._have[name, kind] = wanted
        return self._have[name, kind]


def _store(model: onnx.ModelProto, name: str, values: NDArray) -> str:
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _finish(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    """Put the nodes in, drop what nobody reads any more, and let ONNX check the result."""
    graph = model.graph
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [t for t in graph.initializer if t.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    onnx.checker.check_model(model, full_check=True)
    return model


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next((a.i for a in node.attribute if a.name == name), 0)
