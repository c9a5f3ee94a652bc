"""Exact rewrite: the share that constant channels have in a convolution, computed once.

CMAM lays eight coordinate channels P beside the features X and convolves both: Conv(W, [X; P]) = Conv(W_x, X) +
Conv(W_p, P), and the second term is the same for every input.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import torch
import torch.nn.functional as F

CONVOLVE = {4: F.conv2d, 5: F.conv3d}


def fold_constant_channels(model: onnx.ModelProto) -> onnx.ModelProto:
    """Turn each Conv of a Concat of one tensor and constants, over channels, into a Conv of the tensor plus a map."""
    graph = gs.import_onnx(onnx.shape_inference.infer_shapes(model, data_prop=True))
    for conv in [node for node in graph.nodes if node.op == "Conv" and node.attrs.get("group", 1) == 1]:
        parts = _channels(conv.inputs[0])
        if parts is None or not isinstance(conv.inputs[1], gs.Constant):
            continue
        tensor, constants, sides = parts
        weight, names = conv.inputs[1].values, [part.name for part in conv.inputs[0].inputs[0].inputs]
        widths = [constants[name].shape[1] if name in constants else tensor.shape[1] for name in names]
        shares = list(zip(names, np.split(weight, np.cumsum(widths)[:-1], axis=1), strict=True))
        terms = [_convolve(constants[n], share, sides, conv.attrs) for n, share in shares if n in constants]
        (kept,) = (share for name, share in shares if name not in constants)
        _replace(graph, conv, tensor, kept, np.sum(terms, axis=0).astype(weight.dtype))
    graph.cleanup().toposort()
    return gs.export_onnx(graph)


def _channels(source: gs.Tensor) -> tuple[gs.Tensor, dict[str, np.ndarray], list[int]] | None:
    """(the tensor, constants [1,K,...] by name, the map's sides) that `source` lays side by side, or None."""
    if len(source.inputs) != 1 or source.inputs[0].op != "Concat" or source.inputs[0].attrs["axis"] != 1:
        return None
    values = {part.name: _constant(part) for part in source.inputs[0].inputs}
    tensors = [part for part in source.inputs[0].inputs if values[part.name] is None]
    if len(tensors) != 1 or len(values) < 2 or not tensors[0].shape:
        return None
    tensor = tensors[0]
    if not all(isinstance(side, int) for side in tensor.shape[1:]):
        return None
    return tensor, {n: v for n, v in values.items() if v is not None}, tensor.shape[2:]


def _constant(tensor: gs.Tensor) -> np.ndarray | None:
    """The value of a constant, or of one expanded over batch or places."""
    if isinstance(tensor, gs.Constant):
        return tensor.values
    node = tensor.inputs[0] if len(tensor.inputs) == 1 else None
    if node is not None and node.op == "Expand" and isinstance(node.inputs[0], gs.Constant):
        value = node.inputs[0].values
        return value if value.shape[0] == 1 else None
    return None


def _convolve(constant: np.ndarray, weight: np.ndarray, sides: list[int], attrs: dict) -> np.ndarray:
    """[1,C,...] in float64."""
    value = torch.from_numpy(np.broadcast_to(constant, (1, constant.shape[1], *sides)).astype(np.float64))
    axes = len(sides)
    pads = attrs.get("pads", [0] * 2 * axes)
    around = [pads[a + side * axes] for a in reversed(range(axes)) for side in (0, 1)]
    steps = {"stride": attrs.get("strides", [1] * axes), "dilation": attrs.get("dilations", [1] * axes)}
    return CONVOLVE[value.dim()](F.pad(value, around), torch.from_numpy(weight.astype(np.float64)), **steps).numpy()


def _replace(graph: gs.Graph, conv: gs.Node, tensor: gs.Tensor, weight: np.ndarray, term: np.ndarray) -> None:
    result = conv.outputs[0]
    partial = gs.Variable(f"{result.name}_partial", dtype=result.dtype)
    # The weight keeps its name, by which `graph.blocks` knows where it belongs.
    conv.inputs[0], conv.inputs[1] = tensor, gs.Constant(conv.inputs[1].name, np.ascontiguousarray(weight))
    conv.outputs = [partial]
    constant = gs.Constant(f"{conv.inputs[1].name}_constant", term)
    graph.nodes.append(gs.Node("Add", f"{conv.name}_constant", inputs=[partial, constant], outputs=[result]))
