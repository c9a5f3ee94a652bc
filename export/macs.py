"""Multiply-accumulates of an ONNX graph at batch 1."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
from onnx import shape_inference


def count_macs(model: onnx.ModelProto | str | Path) -> int:
    """MACs of convolutions, matrix products and GRUs for a batch of 1; element-wise work is not counted."""
    if not isinstance(model, onnx.ModelProto):
        model = onnx.load(model)
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in single.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del single.graph.value_info[:]
    for value in single.graph.output:
        value.type.tensor_type.shape.dim[0].Clear()
    graph = shape_inference.infer_shapes(single, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return sum(_node_macs(node, shapes) for node in graph.node)


def _node_macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type == "Conv":
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type in ("MatMul", "Gemm"):
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        inner = shapes[node.input[0]][0 if transposed else -1]
        return math.prod(shapes[node.output[0]]) * inner
    if node.op_type == "GRU":
        steps = shapes[node.input[0]][0]
        return steps * (math.prod(shapes[node.input[1]]) + math.prod(shapes[node.input[2]]))
    return 0
