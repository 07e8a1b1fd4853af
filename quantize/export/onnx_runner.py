"""An ONNX network stepped over whole streams by ONNX Runtime, with inner tensors in view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from edge.contract import Floats
from edge.inference.engine import session_options
from edge.inference.onnx_runtime import load_onnxruntime


class OnnxRunner:
    """One network; each ``run`` starts from silence and feeds the state back, as the device does.

    ``watch`` names inner tensors to return as well.
    """

    def __init__(self, model: onnx.ModelProto, watch: Sequence[str] = ()) -> None:
        self._session: Any = load_onnxruntime().InferenceSession(
            _with_outputs(model, watch).SerializeToString(),
            session_options(),
            providers=["CPUExecutionProvider"],
        )
        self._states = {
            v.name: np.zeros(v.shape, np.float32)
            for v in self._session.get_inputs()
            if v.name.startswith("state.")
        }
        self._names = [v.name for v in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Floats]) -> dict[str, Floats]:
        """Inputs (T, *shape) -> every output, state and watched tensor (T, *shape)."""
        state, rows = dict(self._states), []
        for t in range(len(next(iter(inputs.values())))):
            now = {name: values[t] for name, values in inputs.items()}
            out = dict(zip(self._names, self._session.run(None, now | state), strict=True))
            state = {name: out[name.replace("state.", "state_out.", 1)] for name in state}
            rows.append(out)
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    # Graph inputs, state_out and outputs are fed or returned already.
    model = onnx.ModelProto.FromString(model.SerializeToString())
    present = {v.name for v in model.graph.output}
    for name in dict.fromkeys(names):
        if name not in present:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return model
