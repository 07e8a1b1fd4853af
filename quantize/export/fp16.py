"""An fp32 ONNX network to the same network in fp16.

Inputs, outputs and state stay float32 in every precision, so one engine and one set of buffers
serve all; the casts are inside.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quantize.export.calibrate import CalibrationWindows
from quantize.export.onnx_graph import Models, replace_nodes, store
from quantize.export.onnx_runner import OnnxRunner

HALF_LIMIT = 65504 / 8
"""Larger numbers stay in fp32: three bits of room for speech louder than any measured here."""


def to_fp16(model: onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Type every float node fp16, but those named in ``keep``."""
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    graph = _Fp16Graph(model)
    for node in model.graph.node:
        graph.add(node, TensorProto.FLOAT if node.name in keep else TensorProto.FLOAT16)
    return replace_nodes(model, graph.nodes)


class _Fp16Graph:
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
                store(self.model, wanted, self._stored[name].astype(np.float16))
            else:
                other = TensorProto.FLOAT16 if kind == TensorProto.FLOAT else TensorProto.FLOAT
                source = self._have[name, other]
                self.nodes.append(
                    helper.make_node("Cast", [source], [wanted], name=f"{wanted}.Cast", to=kind)
                )
            self._have[name, kind] = wanted
        return self._have[name, kind]


def too_wide(models: Models, windows: CalibrationWindows) -> dict[str, list[str]]:
    """Names of nodes that make or read numbers beyond ``HALF_LIMIT``, by network."""
    inner = {name: _float_tensors(model) for name, model in models.items()}
    steppers = {name: OnnxRunner(model, inner[name]) for name, model in models.items()}
    peaks: dict[str, dict[str, float]] = {
        name: {
            t.name: float(np.abs(numpy_helper.to_array(t)).max(initial=0))
            for t in model.graph.initializer
            if t.data_type == TensorProto.FLOAT
        }
        for name, model in models.items()
    }
    for feed in windows.feeds():
        outputs = {"generator": steppers["generator"].run(feed)}
        outputs["decoder"] = steppers["decoder"].run({"latent": outputs["generator"]["latent"]})
        for name, tensors in outputs.items():
            for tensor, values in tensors.items():
                peaks[name][tensor] = max(
                    peaks[name].get(tensor, 0), float(np.abs(values).max(initial=0))
                )
    return {
        name: [
            node.name
            for node in model.graph.node
            if any(peaks[name].get(t, 0) > HALF_LIMIT for t in [*node.input, *node.output])
        ]
        for name, model in models.items()
    }


def averaging(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes between ``state.mood`` and ``state_out.mood``.

    They move a mean by a ninetieth, which fp16 loses before the mean has arrived: 2 % are missing.
    """
    touched, path = {"state.mood"}, list[onnx.NodeProto]()
    for node in model.graph.node:
        if touched.intersection(node.input):
            touched.update(node.output)
            path.append(node)
    wanted, names = {"state_out.mood"}, list[str]()
    for node in reversed(path):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            names.append(node.name)
    return names[::-1]


def _float_tensors(model: onnx.ModelProto) -> list[str]:
    typed = onnx.shape_inference.infer_shapes(model).graph
    made = {name for node in typed.node for name in node.output}
    floats = [
        v.name
        for v in [*typed.value_info, *typed.output]
        if v.type.tensor_type.elem_type == TensorProto.FLOAT
    ]
    return [n for n in floats if n in made]
