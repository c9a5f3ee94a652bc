"""FP32 ONNX -> INT8: Q/DQ placed by ModelOpt, ranges by `calibration.ranges`, in the form that a backend runs well.

Two forms of one plan:

- `cpu`: activations as uint8 with a zero point (asymmetric, so that a ReLU's output has all 256 steps), everything else
  FP32. OpenVINO 2026.4 answers wrong for signed int8 activations between convolutions (17 % off in our decoder, where
  ONNX Runtime is right); the same numbers as uint8 it gets right.
- `tensorrt`: activations as int8, symmetric, as TensorRT wants them; everything else FP16.

Only what the chosen convolutions read is quantised (a sum, pooling or modulation that reads the same tensor reads it
quantised): also quantising residual sums and pooling was slower on the CPU and cost more accuracy (10 % instead of 2 %
at the spatial encoder's last stage).
"""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

import cstm.kernels.functions  # noqa: F401 (ModelOpt asks TensorRT what operators are that onnx does not know)
from cstm.errors import RequestError
from cstm.graph.blocks import convolutions
from cstm.graph.half import KEPT_IN_FP32, in_order
from cstm.graph.slim import OPSET, quiet
from cstm.graph.tensor_range import Range

LAST = "mask_logits"
SMALLEST_LIMIT = 1e-6  # a tensor of zeros still needs a scale


@dataclass(frozen=True)
class Form:
    """precision: the bundle's name for it. unsigned: uint8 with a zero point, else int8 without. rest: the type of
    everything else. wrong_in_onnxruntime: optimisers of ONNX Runtime 1.31 that alter what the file computes."""

    precision: str
    unsigned: bool
    rest: str
    wrong_in_onnxruntime: tuple[str, ...] = ()


# ONNX Runtime quantises biases with the product of two scales. In FP16 it vanishes, or the quotient overflows: up to
# 39 % off in our spatial encoder.
FORMS = {
    "cpu": Form("int8", True, "fp32"),
    "tensorrt": Form("int8_tensorrt", False, "fp16", ("WeightBiasQuantization",)),
}


def stored_as(precision: str, form: str) -> str:
    """The bundle's name for models of `precision`, of which INT8's are in `form`."""
    return FORMS[form].precision if precision == "int8" else precision


def quantise(
    model: onnx.ModelProto,
    ranges: dict[str, Range],
    blocks: Collection[str],
    inputs: dict[str, np.ndarray],
    form: str,
) -> onnx.ModelProto:
    """The same network with the convolutions of `blocks` in INT8.

    ranges: of its tensors. inputs: real inputs of batch 1, that ModelOpt runs the model on. The convolution that makes
    the mask logits, the products with the language plan, softmaxes and norms stay as they are, and so do convolutions
    from and to fewer than 16 channels, which ModelOpt leaves out. form: of FORMS. RequestError
    when there is nothing to quantise.
    """
    there, kept = convolutions(model.graph), _kept(model.graph, blocks)
    if all(node.name in kept for nodes in there.values() for node in nodes):
        raise RequestError(f"none of {sorted(blocks)} holds a convolution to quantise; there are {', '.join(there)}")
    placed = _place(model, ranges, kept, inputs, FORMS[form])
    if FORMS[form].unsigned:
        store_unsigned(placed, ranges)
    store_weights(placed)
    drop_unused(placed)
    onnx.checker.check_model(placed)
    return placed


def count_quantised(graph: onnx.GraphProto) -> int:
    """How many convolutions have weights in INT8."""
    dequantised = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return sum(node.op_type == "Conv" and node.input[1] in dequantised for node in graph.node)


def _kept(graph: onnx.GraphProto, blocks: Collection[str]) -> set[str]:
    """Names of the nodes that stay in high precision."""
    chosen = {n.name for b, nodes in convolutions(graph).items() if b in blocks for n in nodes if LAST not in n.output}
    return {node.name for node in graph.node} - chosen


class _OneSample:
    """What ModelOpt asks for its calibration run; the ranges that it finds are replaced by ours."""

    def __init__(self, inputs: dict[str, np.ndarray]):
        self.inputs = inputs
        self.remaining = iter([inputs])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.remaining, None)

    def get_first(self) -> dict[str, np.ndarray]:
        return self.inputs

    def rewind(self) -> None:
        self.remaining = iter([self.inputs])


def _place(
    model: onnx.ModelProto, ranges: dict[str, Range], kept: set[str], inputs: dict[str, np.ndarray], form: Form
) -> onnx.ModelProto:
    from modelopt.onnx.quantization import quantize

    others = {node.op_type for node in model.graph.node} - {"Conv"}
    with tempfile.TemporaryDirectory() as name, quiet():
        folder = Path(name)  # ModelOpt reads files, and writes beside them
        onnx.save(model, folder / "model.onnx")
        (folder / "scales").write_text(_scales(ranges), encoding="utf-8")
        quantize(
            str(folder / "model.onnx"),
            "int8",
            calibration_data_reader=_OneSample(inputs),
            calibration_method="max",
            calibration_cache_path=str(folder / "scales"),
            calibration_eps=["cpu"],
            op_types_to_exclude=sorted(others),
            nodes_to_exclude=[rf"{re.escape(name)}$" for name in sorted(kept)],  # it matches beginnings
            op_types_to_exclude_fp16=[*KEPT_IN_FP32],
            high_precision_dtype=form.rest,
            enable_gemv_detection_for_trt=False,
            output_path=str(folder / "placed.onnx"),
            log_level="CRITICAL",
            opset=OPSET,
        )
        return in_order(onnx.load(folder / "placed.onnx"))


def _scales(ranges: dict[str, Range]) -> str:
    """Symmetric scales in the format of TensorRT's calibration cache."""
    lines = [f"{name}: {struct.pack('!f', _limit(r) / 127).hex()}" for name, r in ranges.items()]
    return "\n".join(["cstm", *lines, ""])


def _limit(found: Range) -> float:
    return max(found.limit, SMALLEST_LIMIT)


def store_unsigned(model: onnx.ModelProto, ranges: dict[str, Range]) -> None:
    """Turn the activations' Q/DQ into uint8 with a zero point. Changes `model` in place."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or node.input[0] in constants:
            continue
        scale, zero = affine(ranges[node.input[0]])
        constants[node.input[1]].CopyFrom(numpy_helper.from_array(np.array(scale, np.float32), node.input[1]))
        constants[node.input[2]].CopyFrom(numpy_helper.from_array(np.array(zero, np.uint8), node.input[2]))
    del model.graph.value_info[:]  # they say int8


def affine(found: Range) -> tuple[float, int]:
    """Scale and zero point, 0..255, whose range holds [low, high] cut at the limit, and zero exactly."""
    limit = _limit(found)
    low, high = min(max(found.low, -limit), 0.0), max(min(found.high, limit), 0.0)
    scale = max(high - low, SMALLEST_LIMIT) / 255
    return scale, round(-low / scale)


def store_weights(model: onnx.ModelProto) -> None:
    """Store quantised weights as int8 instead of quantising FP32 ones at load time. Changes `model` in place."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] in constants]:
        weight, scale = (numpy_helper.to_array(constants[name]).astype(np.float32) for name in node.input[:2])
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        wide = scale.reshape([-1 if a == axis else 1 for a in range(weight.ndim)]) if scale.ndim else scale
        stored = np.clip(np.rint(weight / wide), -128, 127).astype(np.int8)
        model.graph.initializer.remove(constants.pop(node.input[0]))
        model.graph.initializer.append(numpy_helper.from_array(stored, node.output[0]))
        model.graph.node.remove(node)


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove constants that nothing reads. Changes `model` in place."""
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [t for t in model.graph.initializer if t.name not in used]:
        model.graph.initializer.remove(tensor)
