"""An ONNX graph looked up and rebuilt: what lint, fp16 and int8 share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

MULTIPLY = ("Conv", "Gemm", "MatMul")

Models = Mapping[str, onnx.ModelProto]
"""``generator`` and ``decoder``."""


class Graph:
    """A model with its constants, and who makes and reads each tensor, looked up."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.nodes = model, list(model.graph.node)
        self.stored = {t.name: t for t in model.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].HasField("t"):
                self.stored[node.output[0]] = node.attribute[0].t
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def of(self, *kinds: str) -> Iterator[onnx.NodeProto]:
        """Nodes of some kinds."""
        return (node for node in self.nodes if node.op_type in kinds)

    def pairs(self) -> Iterator[onnx.NodeProto]:
        """Every QuantizeLinear and DequantizeLinear."""
        return self.of("QuantizeLinear", "DequantizeLinear")

    def scale(self, node: onnx.NodeProto) -> NDArray | None:
        """Scale of a Q or DQ, if it is a constant."""
        stored = self.stored.get(node.input[1])
        return None if stored is None else np.atleast_1d(numpy_helper.to_array(stored))

    def zero(self, node: onnx.NodeProto) -> TensorProto | None:
        """Zero point of a Q or DQ, if it has one."""
        return self.stored.get(node.input[2]) if len(node.input) > 2 else None

    def weight(self, node: onnx.NodeProto) -> TensorProto | None:
        """The constant behind a DQ, directly or through a Q."""
        source = self.maker.get(node.input[0])
        name = source.input[0] if source and source.op_type == "QuantizeLinear" else node.input[0]
        return self.stored.get(name)

    def weights(self) -> Iterator[tuple[onnx.NodeProto, TensorProto, onnx.NodeProto]]:
        """DQ, constant and user of every quantised weight."""
        for node in self.of("DequantizeLinear"):
            if (stored := self.weight(node)) is not None:
                for user in self.users.get(node.output[0], []):
                    if user.op_type in MULTIPLY and user.input[1] == node.output[0]:
                        yield node, stored, user


def store(model: onnx.ModelProto, name: str, values: NDArray) -> str:
    """Add a constant to the graph; returns its name."""
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def replace_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
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


def integer(node: onnx.NodeProto, name: str, default: int = 0) -> int:
    """An integer attribute of a node."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)
