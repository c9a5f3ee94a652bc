"""Multiply-accumulates of an ONNX graph at batch 1."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
from onnx import shape_inference

from cstm.export.to_onnx import slim


def count_macs(model: onnx.ModelProto | str | Path) -> int:
    """MACs of convolutions, matrix products and GRUs for a batch of 1; element-wise work is not counted.

    ValueError when a shape that they need cannot be inferred: a count that leaves something out is worse than none.
    """
    single = onnx.ModelProto()
    single.CopyFrom(model if isinstance(model, onnx.ModelProto) else onnx.load(model))
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
