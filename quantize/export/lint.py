"""An ONNX file to what TensorRT 10.3 to 11 would reject, misread or run slowly, without TensorRT.

NVIDIA's parser rejects some of this and silently accepts the rest; ``tests/qdq_corpus.py`` has one
bad file for each rule and prints both verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edge.bundle_files import MOST_BYTES
from edge.contract import EdgeError, InputError, cut
from edge.files import read_regular
from quantize.export.onnx_graph import MULTIPLY, Graph, integer

OLDEST_OPSET, NEWEST_OPSET = 13, 18
"""13 brought per-channel DequantizeLinear; 18 is the newest that JetPack 6 reads with a margin."""
LOOPS = ("GRU", "LSTM", "RNN", "Loop", "Scan", "If")
DATA_DEPENDENT = ("NonZero", "NonMaxSuppression", "Unique", "Compress")


@dataclass(frozen=True)
class LintFinding:
    """One breach of one rule."""

    rule: str
    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.where}: {self.why}"


Rule = Callable[[Graph], Iterator[tuple[str, str]]]
RULES: dict[str, Rule] = {}


def _rule(check: Rule) -> Rule:
    RULES[check.__name__.replace("_", "-")] = check
    return check


def lint(model: onnx.ModelProto) -> list[LintFinding]:
    """Every breach of every rule."""
    graph = Graph(model)
    return [
        LintFinding(name, where, why) for name, rule in RULES.items() for where, why in rule(graph)
    ]


def read_model(path: Path) -> onnx.ModelProto:
    """A valid model from a file that anybody may have written; ``InputError`` if it is none."""
    try:
        model = onnx.load_model_from_string(read_regular(path, MOST_BYTES))
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model, full_check=True)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give an ONNX file") from error
    except Exception as error:  # protobuf and onnx share no other base
        raise InputError(f"{path}: not a readable ONNX file ({cut(str(error), 200)})") from error
    return model


def require(model: onnx.ModelProto, name: str) -> None:
    """``EdgeError`` with the first breach; ONNX's own exception if the model is not valid."""
    onnx.checker.check_model(model, full_check=True)
    if found := lint(model):
        raise EdgeError(
            f"{name}: TensorRT would not take it as it is meant ({len(found)} findings): {found[0]}"
        )


@_rule
def standard_ops(g: Graph) -> Iterator[tuple[str, str]]:
    """Only ONNX's own operators, of an opset that every TensorRT of a Jetson reads."""
    for used in g.model.opset_import:
        own = used.domain in ("", "ai.onnx")
        if own and not OLDEST_OPSET <= used.version <= NEWEST_OPSET:
            yield f"opset {used.version}", f"must be {OLDEST_OPSET} to {NEWEST_OPSET}"
    for node in g.nodes:
        if node.domain not in ("", "ai.onnx"):
            yield node.name, f"operator {node.domain}.{node.op_type} is not ONNX's own"


@_rule
def static_shapes(g: Graph) -> Iterator[tuple[str, str]]:
    """A streaming step has one shape; nothing may depend on the data."""
    for value in [*g.model.graph.input, *g.model.graph.output]:
        if any(not d.HasField("dim_value") for d in value.type.tensor_type.shape.dim):
            yield value.name, "has a dynamic shape"
    for node in g.of(*DATA_DEPENDENT):
        yield node.name, f"the shape of {node.op_type} depends on the data"


@_rule
def no_loops(g: Graph) -> Iterator[tuple[str, str]]:
    """TensorRT turns a GRU operator into a loop of hundreds of layers."""
    for node in g.of(*LOOPS):
        yield node.name, f"{node.op_type} becomes a loop; write one step out as Gemms"


@_rule
def state_pairs(g: Graph) -> Iterator[tuple[str, str]]:
    """``state.x`` comes back as ``state_out.x`` alike; everything outside is float32."""
    inputs, outputs = (
        {v.name: v.type.tensor_type for v in side}
        for side in (g.model.graph.input, g.model.graph.output)
    )
    for name, kind in (inputs | outputs).items():
        if kind.elem_type != TensorProto.FLOAT:
            yield name, "inputs, outputs and state are float32 in every precision"
    for name in inputs:
        if name.startswith("state."):
            back = outputs.get(name.replace("state.", "state_out.", 1))
            if back is None or back != inputs[name]:
                yield name, "does not come back with the same shape and type"
    for name in outputs:
        if name.startswith("state_out.") and name.replace("_out", "", 1) not in inputs:
            yield name, "is never fed"


@_rule
def constant_positive_scale(g: Graph) -> Iterator[tuple[str, str]]:
    """Scales are constants, finite and positive."""
    for node in g.pairs():
        scale = g.scale(node)
        if scale is None:
            yield node.name, "its scale is computed, not constant"
        elif not (np.isfinite(scale).all() and (scale > 0).all()):
            yield node.name, "its scale is not positive"


@_rule
def symmetric(g: Graph) -> Iterator[tuple[str, str]]:
    """Zero points are 0: TensorRT has no others."""
    for node in g.pairs():
        zero = g.zero(node)
        if zero is not None and numpy_helper.to_array(zero).any():
            yield node.name, "its zero point is not 0"


@_rule
def signed_int8(g: Graph) -> Iterator[tuple[str, str]]:
    """int8 only. uint8 is rejected or, worse, read as int8; no zero point means uint8."""
    for node in g.pairs():
        zero, stored = g.zero(node), g.stored.get(node.input[0])
        if stored is not None and stored.data_type == TensorProto.INT32:
            continue  # float_bias speaks of it
        if zero is None or zero.data_type != TensorProto.INT8:
            yield node.name, "is not int8 (say so with an int8 zero point)"


@_rule
def float_bias(g: Graph) -> Iterator[tuple[str, str]]:
    """A bias stays float: TensorRT rejects an int32 one, and fuses a float one anyway."""
    for node in g.of("DequantizeLinear"):
        stored = g.stored.get(node.input[0])
        third = [u for u in g.users.get(node.output[0], []) if node.output[0] in u.input[2:]]
        if (stored is not None and stored.data_type == TensorProto.INT32) or third:
            yield node.name, "quantises a bias"


@_rule
def per_tensor_activations(g: Graph) -> Iterator[tuple[str, str]]:
    """There is no kernel for per-channel activations; the parser takes them silently."""
    for node in g.pairs():
        scale = g.scale(node)
        constant = node.input[0] in g.stored or g.weight(node) is not None
        if scale is not None and scale.size > 1 and not constant:
            yield node.name, "an activation has one scale, not one a channel"


@_rule
def per_channel_weights(g: Graph) -> Iterator[tuple[str, str]]:
    """One scale an output channel, along the axis of the output channels."""
    for node, stored, user in g.weights():
        scale = g.scale(node)
        transposed = user.op_type == "Gemm" and integer(user, "transB")
        wanted = 0 if user.op_type == "Conv" or transposed else len(stored.dims) - 1
        axis = integer(node, "axis", 1) % max(1, len(stored.dims))
        if scale is None or scale.size != stored.dims[wanted]:
            yield node.name, f"{user.op_type} needs a scale for each of its output channels"
        elif axis != wanted:
            yield node.name, f"its axis is {axis}; the output channels of {user.op_type}: {wanted}"


@_rule
def stored_int8(g: Graph) -> Iterator[tuple[str, str]]:
    """Weights lie in the file as int8 within -127 to 127, else nothing is saved."""
    for node, stored, _ in g.weights():
        if stored.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16):
            yield node.name, "quantises its weight when run; store it as int8"
        elif numpy_helper.to_array(stored).min() < -127:
            yield node.name, "uses -128, which has no positive twin"


@_rule
def both_sides(g: Graph) -> Iterator[tuple[str, str]]:
    """A multiplication with one quantised input runs in float, at the price of both."""
    for node in g.of(*MULTIPLY):
        made = [g.maker.get(name) for name in node.input[:2]]
        quantised = [m is not None and m.op_type == "DequantizeLinear" for m in made]
        if quantised[0] != quantised[1]:
            yield node.name, "only one of its two inputs is quantised"


@_rule
def whole_pairs(g: Graph) -> Iterator[tuple[str, str]]:
    """Each Q is followed by DQs and each DQ of an activation follows a Q."""
    for node in g.of("QuantizeLinear"):
        users = g.users.get(node.output[0], [])
        if not users or any(u.op_type != "DequantizeLinear" for u in users):
            yield node.name, "is not followed by a DequantizeLinear alone"
    for node in g.of("DequantizeLinear"):
        source = g.maker.get(node.input[0])
        if node.input[0] not in g.stored and (source is None or source.op_type != "QuantizeLinear"):
            yield node.name, "does not follow a QuantizeLinear or a constant"


@_rule
def unbroken_fusion(g: Graph) -> Iterator[tuple[str, str]]:
    """Nothing between a multiplication, its bias and its ReLU: they run as one kernel."""
    for node in g.of("QuantizeLinear"):
        source = g.maker.get(node.input[0])
        after = [
            user.op_type
            for dq in g.users.get(node.output[0], [])
            for user in g.users.get(dq.output[0] if dq.output else "", [])
        ]
        if source is None:
            continue
        biased = source.op_type == "Add" and any(
            (m := g.maker.get(name)) is not None and m.op_type in MULTIPLY for name in source.input
        )
        if source.op_type in MULTIPLY and {"Relu", "Add"} & set(after):
            yield node.name, f"stands between {source.op_type} and what it fuses with"
        elif biased and "Relu" in after:
            yield node.name, "stands between a bias and its Relu"
