"""Exact rewrites of an ONNX graph: the same function, in a form that is cheaper or that back ends agree on."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs


def fold_padding(model: onnx.ModelProto) -> onnx.ModelProto:
    """Move zero `Pad`s into the `Conv` or `MaxPool` that follows.

    For a convolution that is the same thing. `MaxPool` pads with minus infinity instead, so where its input may be
    negative, outputs whose window touches the padding pass a ReLU. ONNX Runtime 1.31 leaves that ReLU out when it
    fuses the two by itself, and answers wrong (its `Pad_Fusion`); after this rewrite it has nothing to fuse.
    """
    graph = gs.import_onnx(onnx.shape_inference.infer_shapes(model, data_prop=True))
    for pad in [node for node in graph.nodes if node.op == "Pad"]:
        users = list(pad.outputs[0].outputs)
        pads = _zero_padding(pad)
        if pads is None or not all(_accepts(user, pad.inputs[0], pads) for user in users):
            continue
        for user in users:
            user.inputs[0] = pad.inputs[0]
            user.attrs["pads"] = [a + b for a, b in zip(user.attrs.get("pads", [0] * len(pads)), pads, strict=True)]
            user.attrs.pop("auto_pad", None)
            if user.op == "MaxPool" and not _non_negative(pad.inputs[0]):
                _raise_border(graph, user, pad.inputs[0].shape[2:], pads)
    graph.cleanup().toposort()
    return gs.export_onnx(graph)


def _zero_padding(pad: gs.Node) -> list[int] | None:
    """Spatial pads, begins then ends, of a Pad by zeros; None when it is another kind of Pad."""
    constants = [i.values if isinstance(i, gs.Constant) else None for i in pad.inputs[1:] if i.name]
    if pad.attrs.get("mode", "constant") != "constant" or any(c is None for c in constants) or len(constants) > 2:
        return None
    if len(constants) == 2 and np.any(constants[1] != 0):
        return None
    begins, ends = np.split(np.asarray(constants[0]), 2)
    if np.any(begins[:2]) or np.any(ends[:2]) or min(*begins, *ends) < 0:
        return None
    return [*begins[2:].tolist(), *ends[2:].tolist()]


def _accepts(user: gs.Node, source: gs.Tensor, pads: list[int]) -> bool:
    if user.op == "Conv":
        return user.attrs.get("auto_pad", "NOTSET") == "NOTSET"
    if user.op != "MaxPool" or len(user.outputs) != 1 or any(user.attrs.get("pads", [])):
        return False
    sides = source.shape[2:] if source.shape else []
    if not sides or not all(isinstance(side, int) for side in sides):
        return False
    kernel, stride = user.attrs["kernel_shape"], user.attrs["strides"]
    axes = len(sides)
    whole = all((sides[a] + pads[a] + pads[a + axes] - kernel[a]) % stride[a] == 0 for a in range(axes))
    small = all(max(pads[a], pads[a + axes]) < kernel[a] for a in range(axes))
    return small and (whole or not user.attrs.get("ceil_mode", 0))


def _non_negative(tensor: gs.Tensor) -> bool:
    """Whether the tensor is known to hold no negative value, from the operators that made it."""
    if len(tensor.inputs) != 1:
        return False
    node = tensor.inputs[0]
    if node.op in ("Relu", "Sigmoid", "Softmax"):
        return True
    return node.op in ("Concat", "MaxPool") and all(_non_negative(source) for source in node.inputs)


def _raise_border(graph: gs.Graph, pool: gs.Node, sides: list[int], pads: list[int]) -> None:
    """After `pool`: where a window touches the padding, at least zero; elsewhere, as it is."""
    axes = len(sides)
    border = np.zeros((1, 1) + (1,) * axes, bool)
    for axis in range(axes):
        kernel, stride = pool.attrs["kernel_shape"][axis], pool.attrs["strides"][axis]
        before, after = pads[axis], pads[axis + axes]
        starts = np.arange(0, sides[axis] + before + after - kernel + 1, stride) - before
        touches = (starts < 0) | (starts + kernel > sides[axis])
        border = border | touches.reshape([-1 if a == axis + 2 else 1 for a in range(axes + 2)])
    result, pooled = pool.outputs[0], gs.Variable(f"{pool.outputs[0].name}_pooled", dtype=pool.outputs[0].dtype)
    raised = gs.Variable(f"{result.name}_raised", dtype=result.dtype)
    pool.outputs = [pooled]
    graph.nodes.append(gs.Node("Relu", f"{pool.name}_raise", inputs=[pooled], outputs=[raised]))
    mask = gs.Constant(f"{pool.name}_border", border)
    graph.nodes.append(gs.Node("Where", f"{pool.name}_select", inputs=[mask, raised, pooled], outputs=[result]))
