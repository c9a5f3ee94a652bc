"""Multiply-accumulates at batch 1: of an ONNX graph, and of the network before it is cut and rewritten."""

from __future__ import annotations

import math
import re

import onnx
import torch
from onnx import shape_inference
from onnx.inliner import inline_local_functions
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cstm.graph.slim import slim
from cstm.models.cmam import COORDINATES
from cstm.models.config import CSTMConfig
from cstm.models.contract import LEVELS
from cstm.models.cstm import CSTM


def reference_macs(config: CSTMConfig) -> dict[str, int]:
    """MACs of the network as the paper has it, for one sentence and one frame, without the text encoder.

    {"whole"} and what of it the deployed network leaves out, see docs/rewrites.md: {"heads": five mask heads, "keys":
    CMAM's keys at every position, "coordinates": the channels beside its features}. Counted on the device "meta":
    nothing is computed.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = CSTM(config).eval()
        model.text = _Read(config)
        model(torch.empty(1, 3, config.frames, config.size, config.size), None)
    macs = {name: sum(flops.values()) // 2 for name, flops in counter.get_flop_counts().items()}
    coordinates = 0
    for name in (name for name in macs if re.fullmatch(r"CSTM\.encoders\.\w+\.cmam\.\d\.mix", name)):
        weight = model.get_parameter(f"{name.removeprefix('CSTM.')}.0.weight")
        coordinates += macs[name] * COORDINATES // weight.shape[1]
    return {
        "whole": macs["Global"],
        "heads": sum(macs[f"CSTM.decoder.heads.{level}"] for level in range(LEVELS - 1)),
        "keys": sum(count for name, count in macs.items() if re.fullmatch(r"CSTM\.encoders\.\w+\.cmam\.\d\.key", name)),
        "coordinates": coordinates,
    }


class _Read(nn.Module):
    """In place of the text encoder: a text that has been read."""

    def __init__(self, config: CSTMConfig):
        super().__init__()
        self.words = torch.empty(1, config.max_words, config.text_width)
        self.sentence = torch.empty(1, config.text_width)

    def forward(self, text: None) -> tuple[torch.Tensor, torch.Tensor]:
        return self.words, self.sentence


def count_macs(model: onnx.ModelProto) -> int:
    """MACs of convolutions, matrix products and GRUs for a batch of 1; element-wise work is not counted.

    ValueError when a shape that they need cannot be inferred: a count that leaves something out is worse than none.
    """
    single = inline_local_functions(model)
    for value in single.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    for value in single.graph.output:
        value.type.tensor_type.shape.dim[0].Clear()
    del single.graph.value_info[:]
    try:
        return _count(single)
    except ValueError:
        # With the batch fixed, slimming folds the arithmetic on shapes that inference cannot follow.
        return _count(slim(single))


def _count(model: onnx.ModelProto) -> int:
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return sum(_node_macs(node, shapes) for node in graph.node)


def _node_macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type not in ("Conv", "MatMul", "Gemm", "GRU"):
        return 0
    first, second, output = (shapes.get(name, ()) for name in (*node.input[:2], node.output[0]))
    if not first or not second or not output or 0 in (*first, *second, *output):
        raise ValueError(f"{node.op_type} {node.name}: its shapes are unknown, so its MACs cannot be counted")
    if node.op_type == "Conv":
        return math.prod(output) * math.prod(second[1:])
    if node.op_type == "GRU":
        return first[0] * (math.prod(second) + math.prod(shapes[node.input[2]]))
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(output) * first[0 if transposed else -1]
