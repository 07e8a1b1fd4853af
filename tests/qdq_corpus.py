"""One bad ONNX file for each lint rule, and some good ones: ``python -m tests.qdq_corpus``.

Prints what the linter says of each beside NVIDIA's own parser and builder (tensorrt-rtx).
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantize.export.lint import lint

ZERO = np.int8(0)
C = 16
"""Channels in and out of the little networks."""


class Draft:
    """A Gemm or Conv whose Q/DQ can be spoilt one thing at a time."""

    def __init__(self, opset: int = 18) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[TensorProto] = []
        self.inputs = [value("x", [1, C])]
        self.outputs = [value("y", [1, C])]
        self.opset = opset
        self.rng = np.random.default_rng(0)

    def store(self, name: str, array: np.ndarray) -> str:
        self.stored.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        name = f"{kind}_{output}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def activation(self, source="x", out="xq", scale=0.05, zero=ZERO, axis=None) -> str:
        scale = np.asarray(scale, np.float32)
        zeros = np.full(scale.shape, zero) if scale.ndim else np.asarray(zero)
        names = [self.store(f"{out}.s", scale), self.store(f"{out}.z", zeros)]
        more = {} if axis is None else {"axis": axis}
        self.node("QuantizeLinear", [source, *names], f"{out}.q", **more)
        return self.node("DequantizeLinear", [f"{out}.q", *names], out, **more)

    def weight(self, shape=(C, C), axis=0, scale=None, zero=ZERO, low=-127) -> str:
        kind = np.asarray(zero).dtype
        steps = self.rng.integers(0 if kind == np.uint8 else low, 128, shape).astype(kind)
        steps.flat[0] = max(low, np.iinfo(kind).min)
        size = (shape[axis],)
        scale = np.full(size, 0.01, np.float32) if scale is None else np.asarray(scale, np.float32)
        zeros = np.full(scale.shape, zero) if scale.ndim else np.asarray(zero)
        names = [self.store("w.q", steps), self.store("w.s", scale), self.store("w.z", zeros)]
        return self.node("DequantizeLinear", names, "w", axis=axis)

    def bias(self) -> str:
        return self.store("b", np.zeros(C, np.float32))

    def done(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "draft", self.inputs, self.outputs, self.stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        return model


def value(name: str, shape: list, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def gemm(draft: Draft, x: str = "xq", w: str = "w", out: str = "y", transposed: int = 1) -> Draft:
    draft.node("Gemm", [x, w, draft.bias()], out, transB=transposed)
    return draft


def good_gemm() -> Draft:
    d = Draft()
    d.activation()
    d.weight()
    return gemm(d)


def good_matmul_bias_relu() -> Draft:
    d = Draft()
    d.activation()
    d.weight(axis=1)
    d.node("MatMul", ["xq", "w"], "m")
    d.node("Add", ["m", d.bias()], "a")
    d.node("Relu", ["a"], "y")
    return d


def good_float_beside_int8() -> Draft:
    d = Draft()
    d.activation()
    d.weight()
    gemm(d, out="h")
    d.node("MatMul", ["h", d.store("f", np.eye(C, dtype=np.float32))], "y")
    return d


def good_state() -> Draft:
    d = good_gemm()
    d.inputs.append(value("state.a", [1, C]))
    d.outputs.append(value("state_out.a", [1, C]))
    d.node("Add", ["y", "state.a"], "state_out.a")
    return d


def good_constant_nodes() -> Draft:
    d = Draft()
    for name, number in (("s", np.float32(0.05)), ("z", ZERO)):
        tensor = numpy_helper.from_array(np.asarray(number), name)
        d.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
    d.node("QuantizeLinear", ["x", "s", "z"], "q")
    d.node("DequantizeLinear", ["q", "s", "z"], "xq")
    d.weight()
    return gemm(d)


def activation_zero_point() -> Draft:
    d = Draft()
    d.activation(zero=np.int8(3))
    d.weight()
    return gemm(d)


def weight_zero_point() -> Draft:
    d = Draft()
    d.activation()
    d.weight(zero=np.int8(3))
    return gemm(d)


def uint8_activation() -> Draft:
    d = Draft()
    d.activation(zero=np.uint8(0))
    d.weight()
    return gemm(d)


def uint8_activation_128() -> Draft:
    d = Draft()
    d.activation(zero=np.uint8(128))
    d.weight()
    return gemm(d)


def uint8_weight() -> Draft:
    d = Draft()
    d.activation()
    d.weight(zero=np.uint8(0))
    return gemm(d)


def int32_bias() -> Draft:
    d = Draft()
    d.activation()
    d.weight()
    names = [
        d.store("b.q", np.ones(C, np.int32)),
        d.store("b.s", np.full(C, 5e-4, np.float32)),
        d.store("b.z", np.zeros(C, np.int32)),
    ]
    d.node("DequantizeLinear", names, "bias", axis=0)
    d.node("Gemm", ["xq", "w", "bias"], "y", transB=1)
    return d


def no_zero_point() -> Draft:
    d = Draft()
    scale = d.store("s", np.float32(0.05))
    d.node("QuantizeLinear", ["x", scale], "q")
    d.node("DequantizeLinear", ["q", scale], "xq")
    d.weight()
    return gemm(d)


def int8_bias() -> Draft:
    d = Draft()
    d.activation()
    d.weight()
    names = [d.store("b.q", np.ones(C, np.int8)), d.store("b.s", np.float32(5e-4)), "xq.z"]
    d.node("DequantizeLinear", names, "bias")
    d.node("Gemm", ["xq", "w", "bias"], "y", transB=1)
    return d


def infinite_scale() -> Draft:
    d = Draft()
    d.activation()
    d.weight(scale=np.where(np.arange(C) == 3, np.inf, 0.01))
    return gemm(d)


def negative_scale() -> Draft:
    d = Draft()
    d.activation(scale=-0.05)
    d.weight()
    return gemm(d)


def zero_scale() -> Draft:
    d = Draft()
    d.activation()
    d.weight(scale=np.where(np.arange(C) == 3, 0, 0.01))
    return gemm(d)


def computed_scale() -> Draft:
    d = Draft()
    d.node("ReduceMax", ["x"], "peak", keepdims=0)
    zero = d.store("z", np.int8(0))
    d.node("QuantizeLinear", ["x", "peak", zero], "x.q")
    d.node("DequantizeLinear", ["x.q", "peak", zero], "xq")
    d.weight()
    return gemm(d)


def per_channel_activation() -> Draft:
    d = Draft()
    d.activation(scale=np.full(C, 0.05), axis=1)
    d.weight()
    return gemm(d)


def gemm_weight_axis() -> Draft:
    d = Draft()
    d.activation()
    d.weight(axis=1)
    return gemm(d)


def matmul_weight_axis() -> Draft:
    d = Draft()
    d.activation()
    d.weight(axis=0)
    d.node("MatMul", ["xq", "w"], "y")
    return d


def conv_weight_axis() -> Draft:
    d = Draft()
    d.inputs, d.outputs = [value("x", [1, C, 8, 1])], [value("y", [1, C, 6, 1])]
    d.activation()
    d.weight(shape=(C, C, 3, 1), axis=1)
    d.node("Conv", ["xq", "w"], "y", kernel_shape=[3, 1])
    return d


def per_tensor_weight() -> Draft:
    d = Draft()
    d.activation()
    d.weight(scale=0.01)
    return gemm(d)


def float_weight() -> Draft:
    d = Draft()
    d.activation()
    d.store("f", d.rng.standard_normal((C, C)).astype(np.float32))
    names = [d.store("w.s", np.full(C, 0.02, np.float32)), d.store("w.z", np.zeros(C, np.int8))]
    d.node("QuantizeLinear", ["f", *names], "w.q", axis=0)
    d.node("DequantizeLinear", ["w.q", *names], "w", axis=0)
    return gemm(d)


def weight_of_minus_128() -> Draft:
    d = Draft()
    d.activation()
    d.weight(low=-128)
    return gemm(d)


def activation_only() -> Draft:
    d = Draft()
    d.activation()
    return gemm(d, w=d.store("f", np.eye(C, dtype=np.float32)))


def weight_only() -> Draft:
    d = Draft()
    d.weight()
    return gemm(d, x="x")


def pair_before_relu() -> Draft:
    d = Draft()
    d.activation()
    d.weight()
    gemm(d, out="h")
    d.node("Relu", [d.activation("h", "hq")], "y")
    return d


def pair_before_bias() -> Draft:
    d = Draft()
    d.activation()
    d.weight(axis=1)
    d.node("MatMul", ["xq", "w"], "h")
    d.node("Add", [d.activation("h", "hq"), d.bias()], "y")
    return d


def pair_between_bias_and_relu() -> Draft:
    d = Draft()
    d.activation()
    d.weight(axis=1)
    d.node("MatMul", ["xq", "w"], "h")
    d.node("Add", ["h", d.bias()], "a")
    d.node("Relu", [d.activation("a", "aq")], "y")
    return d


def quantise_without_dequantise() -> Draft:
    d = Draft()
    zero = d.store("z", np.int8(0))
    d.node("QuantizeLinear", ["x", d.store("s", np.float32(0.05)), zero], "q")
    d.node("Cast", ["q"], "y", to=TensorProto.FLOAT)
    return d


def quantise_for_nobody() -> Draft:
    d = good_gemm()
    d.node("QuantizeLinear", ["y", "xq.s", "xq.z"], "lost")
    return d


def dequantise_of_a_cast() -> Draft:
    d = Draft()
    names = [d.store("s", np.float32(0.05)), d.store("z", ZERO)]
    d.node("Cast", ["x"], "q", to=TensorProto.INT8)
    d.node("DequantizeLinear", ["q", *names], "xq")
    d.weight()
    return gemm(d)


def older_opset() -> Draft:
    d = good_gemm()
    d.opset = 12
    return d


def newer_opset() -> Draft:
    d = good_gemm()
    d.opset = 21
    return d


def foreign_operator() -> Draft:
    d = Draft()
    d.nodes.append(helper.make_node("FusedGelu", ["x"], ["y"], name="gelu", domain="com.microsoft"))
    return d


def dynamic_batch() -> Draft:
    d = good_gemm()
    d.inputs, d.outputs = [value("x", ["n", C])], [value("y", ["n", C])]
    return d


def shape_by_data() -> Draft:
    d = good_gemm()
    d.node("NonZero", ["x"], "where")
    d.node("Cast", ["where"], "places", to=TensorProto.FLOAT)
    d.node("ReduceSum", ["places"], "z", keepdims=1)
    d.outputs.append(value("z", [1, 1]))
    return d


def gru_operator() -> Draft:
    d = Draft()
    d.inputs, d.outputs = [value("x", [1, 1, C])], [value("y", [1, 1, 1, C])]
    for name, rows in (("w", C), ("r", C)):
        d.store(name, d.rng.standard_normal((1, 3 * C, rows)).astype(np.float32) / 8)
    d.node("GRU", ["x", "w", "r"], "y", hidden_size=C)
    return d


def lost_state() -> Draft:
    d = good_state()
    d.outputs[-1].name = d.nodes[-1].output[0] = "memory"
    return d


def changed_state() -> Draft:
    d = good_state()
    d.nodes.pop()
    d.node("Concat", ["y", "state.a"], "state_out.a", axis=1)
    d.outputs[-1] = value("state_out.a", [1, 2 * C])
    return d


def unfed_state() -> Draft:
    d = good_gemm()
    d.node("Relu", ["y"], "state_out.a")
    d.outputs.append(value("state_out.a", [1, C]))
    return d


def half_input() -> Draft:
    d = Draft()
    d.inputs = [value("x", [1, C], TensorProto.FLOAT16)]
    d.node("Cast", ["x"], "y", to=TensorProto.FLOAT)
    return d


GOOD: tuple[Callable[[], Draft], ...] = (
    good_gemm,
    good_matmul_bias_relu,
    good_float_beside_int8,
    good_state,
    good_constant_nodes,
)
BAD: dict[Callable[[], Draft], str] = {
    activation_zero_point: "symmetric",
    weight_zero_point: "symmetric",
    uint8_activation: "signed-int8",
    uint8_activation_128: "signed-int8",
    uint8_weight: "signed-int8",
    no_zero_point: "signed-int8",
    int32_bias: "float-bias",
    int8_bias: "float-bias",
    infinite_scale: "constant-positive-scale",
    negative_scale: "constant-positive-scale",
    zero_scale: "constant-positive-scale",
    computed_scale: "constant-positive-scale",
    per_channel_activation: "per-tensor-activations",
    gemm_weight_axis: "per-channel-weights",
    matmul_weight_axis: "per-channel-weights",
    conv_weight_axis: "per-channel-weights",
    per_tensor_weight: "per-channel-weights",
    float_weight: "stored-int8",
    weight_of_minus_128: "stored-int8",
    activation_only: "both-sides",
    weight_only: "both-sides",
    pair_before_relu: "unbroken-fusion",
    pair_before_bias: "unbroken-fusion",
    pair_between_bias_and_relu: "unbroken-fusion",
    quantise_without_dequantise: "whole-pairs",
    quantise_for_nobody: "whole-pairs",
    dequantise_of_a_cast: "whole-pairs",
    older_opset: "standard-ops",
    newer_opset: "standard-ops",
    foreign_operator: "standard-ops",
    dynamic_batch: "static-shapes",
    shape_by_data: "static-shapes",
    gru_operator: "no-loops",
    lost_state: "state-pairs",
    changed_state: "state-pairs",
    unfed_state: "state-pairs",
    half_input: "state-pairs",
}
"""Each bad file and the rule that must catch it."""

REJECTED = (
    activation_zero_point,
    weight_zero_point,
    uint8_activation_128,
    uint8_weight,
    int32_bias,
    negative_scale,
    zero_scale,
    foreign_operator,
    dynamic_batch,
    shape_by_data,
)
"""Those that NVIDIA's parser or builder refuses; the others it takes silently."""


def cross_table() -> list[str]:
    """Markdown: what the linter says of each file beside NVIDIA's own parser and builder."""
    from quantize.export.rtx_parser import verdict

    lines = ["| file | linter | NVIDIA's parser and builder |", "| --- | --- | --- |"]
    for make in (*GOOD, *BAD):
        model = make().done()
        rules = ", ".join(dict.fromkeys(f.rule for f in lint(model))) or "passes"
        why = textwrap.shorten(verdict(model.SerializeToString()).replace("|", "/"), 80)
        lines.append(f"| {make.__name__} | {rules} | {f'refuses: {why}' if why else 'accepts'} |")
    return lines


if __name__ == "__main__":
    print("\n".join(cross_table()))
