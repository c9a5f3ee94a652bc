"""FP32 ONNX -> FP16 ONNX by ModelOpt AutoCast, on real inputs of the component; names and I/O types stay."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx

from cstm.graph.slim import OPSET, quiet, slim
from cstm.kernels.functions import DOMAIN  # importing it tells onnx of our operators; ModelOpt asks TensorRT of others

# Tiny tensors, or pixels scaled once. CMAM and LGFS normalise in FP32 inside their operators, see kernels/plain.py.
KEPT_IN_FP32 = ["Div", "Softmax"]


def convert_to_fp16(
    model: onnx.ModelProto, inputs: dict[str, np.ndarray], keep: Collection[str] = ()
) -> onnx.ModelProto:
    """The same network with FP16 inside.

    inputs: real inputs of the component, any batch; operators whose values on them exceed FP16's range with a margin
    stay in FP32. keep: names of nodes that stay in FP32 besides, see `calibration.audit.kept_nodes`.
    """
    from modelopt.onnx.autocast import convert_to_mixed_precision

    with tempfile.TemporaryDirectory() as folder, quiet():
        source, samples = Path(folder) / "model.onnx", Path(folder) / "inputs.npz"  # AutoCast reads files
        onnx.save(model, source)
        np.savez(samples, allow_pickle=False, **inputs)
        halved = convert_to_mixed_precision(
            str(source),
            "fp16",
            nodes_to_exclude=[f"{re.escape(name)}$" for name in keep],  # matched from the start
            op_types_to_exclude=KEPT_IN_FP32,
            keep_io_types=True,
            calibration_data=str(samples),
            opset=OPSET,
        )
    halved = slim(in_order(_with_whole_language_plans(halved)))
    onnx.checker.check_model(halved)
    return halved


def in_order(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with the casts of its inputs first, in the inputs' order, and what is known of tensors by name.

    ModelOpt's order differs from process to process: a step that is run again would give another file, and all that is
    made of that would be made anew.
    """
    places = {value.name: place for place, value in enumerate(model.graph.input)}
    last = len(places)
    nodes = sorted(
        model.graph.node, key=lambda node: places.get(node.input[0], last) if node.op_type == "Cast" else last
    )
    known = sorted(model.graph.value_info, key=lambda value: value.name)
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.value_info.extend(known)
    return model


def _with_whole_language_plans(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model whose `Modulate`s read the language plan as it comes. They compute with it in FP32: halved before,
    it loses digits, and TensorRT runs a kernel for each tensor of it in every frame."""
    given = {value.name for value in model.graph.input}
    casts = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Cast" and n.input[0] in given}
    for node in model.graph.node:
        if (node.domain, node.op_type) == (DOMAIN, "Modulate"):
            x, u, *language_plan = node.input
            node.input[:] = [x, u, *(casts.get(name, name) for name in language_plan)]
    return model
