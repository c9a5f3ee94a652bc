"""Modulate and Select as TensorRT plugins: the graph in which our kernels do the work on the maps.

Modulate becomes three plugins. Select becomes two, with its two small matrix products between them left to TensorRT.
Each plugin is one kernel, compiled for the node's own shapes and carried in its attributes.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import torch

from cstm.errors import RequestError
from cstm.kernels.aot import OLDEST, compile_call
from cstm.kernels.call import VERSION
from cstm.kernels.functions import DOMAIN
from cstm.kernels.launch import Launch
from cstm.kernels.modulation import modulation
from cstm.kernels.plugin_v3 import NAMESPACE
from cstm.kernels.selection import blending, pooling

TORCH = {"float32": torch.float32, "float16": torch.float16}


def use_plugins(model: onnx.ModelProto, capability: int = OLDEST) -> onnx.ModelProto:
    """The same network with plugin nodes for each Modulate and Select, for GPUs of `capability` and later.

    Any precision of a component's ONNX; maps must have known sizes. Needs Triton and no GPU. The result runs in
    TensorRT alone, where the plugins are registered.
    """
    graph = gs.import_onnx(onnx.shape_inference.infer_shapes(model, data_prop=True))
    for node in [node for node in graph.nodes if node.domain == DOMAIN]:
        replace = {"Modulate": _modulate, "Select": _select}[node.op]
        output = node.outputs[0]
        node.outputs.clear()
        replace(graph, node, output, capability)
    graph.functions = [function for function in graph.functions if function.domain != DOMAIN]
    graph.cleanup().toposort()
    return gs.export_onnx(graph)


def _modulate(graph: gs.Graph, node: gs.Node, output: gs.Tensor, capability: int) -> None:
    x, u, key, bias, gate = node.inputs
    _, (score, weigh, apply) = modulation(*map(_meta, node.inputs))
    step = _Steps(graph, node.name, capability)
    if x.shape[0] == 1 != gate.shape[0]:  # a frame that no word has touched yet; kernels take maps of the whole batch
        x, u = (step.repeated(maps, gate) for maps in (x, u))
    parts = step("ScoreWords", score, [u, key])
    weights = step("WeighWords", weigh, [parts, bias])
    step("RaiseChannels", apply, [x, u, gate, weights], output)


def _select(graph: gs.Graph, node: gs.Node, output: gs.Tensor, capability: int) -> None:
    spatial, temporal, sentence, squeeze_weight, squeeze_bias, select_weight, select_bias = node.inputs
    step = _Steps(graph, node.name, capability)
    _, pool = pooling(_meta(spatial), _meta(temporal))
    pooled = step("PoolStreams", pool, [spatial, temporal])
    pooled = step.native("Cast", [pooled], sentence.dtype, to=onnx.helper.np_dtype_to_tensor_dtype(sentence.dtype))
    evidence = step.native("Concat", [pooled, sentence], sentence.dtype, axis=1)
    squeezed = step.native("Gemm", [evidence, squeeze_weight, squeeze_bias], sentence.dtype, transB=1)
    z = step.native("Relu", [squeezed], sentence.dtype)
    scores = step.native("Gemm", [z, select_weight, select_bias], sentence.dtype, transB=1)
    like = torch.empty(1, select_weight.shape[0], dtype=TORCH[sentence.dtype.name], device="meta")
    _, blend = blending(_meta(spatial), _meta(temporal), like)
    step("BlendStreams", blend, [spatial, temporal, scores], output)


class _Steps:
    """Adds the nodes that one operator becomes."""

    def __init__(self, graph: gs.Graph, name: str, capability: int):
        self.graph, self.name, self.capability = graph, name, capability

    def __call__(self, op: str, launch: Launch, inputs: list[gs.Tensor], output: gs.Tensor | None = None) -> gs.Tensor:
        """A plugin; its output."""
        call = compile_call(launch, self.capability)
        output = output or gs.Variable(f"{self.name}_{op}_out", dtype=call.dtype)
        attributes = call.fields() | {"plugin_namespace": NAMESPACE, "plugin_version": VERSION}
        name = f"{self.name}_{op}"
        self.graph.nodes.append(gs.Node(op, name, attributes, inputs, [output], domain=DOMAIN))
        return output

    def repeated(self, maps: gs.Tensor, like: gs.Tensor) -> gs.Tensor:
        """Maps of batch 1 for every member of another tensor's batch."""
        batch = self.native("Shape", [like], np.dtype(np.int64), start=0, end=1)
        ones = gs.Constant(f"{batch.name}_sides", np.ones(len(maps.shape) - 1, np.int64))
        shape = self.native("Concat", [batch, ones], np.dtype(np.int64), axis=0)
        return self.native("Expand", [maps, shape], maps.dtype)

    def native(self, op: str, inputs: list[gs.Tensor], dtype: np.dtype, **attributes: int) -> gs.Tensor:
        """An operator of ONNX; its output."""
        name = f"{self.name}_{len(self.graph.nodes)}_{op}"
        output = gs.Variable(f"{name}_out", dtype=dtype)
        self.graph.nodes.append(gs.Node(op, name, attributes, inputs, [output]))
        return output


def _meta(tensor: gs.Tensor) -> torch.Tensor:
    """A tensor without data, of the shape that `tensor` has for a batch of 1."""
    sides = list(tensor.shape or [])[1:]
    if not sides or not all(isinstance(side, int) and side > 0 for side in sides):
        raise RequestError(f"{tensor.name} has shape {tensor.shape}: a plugin's kernel is compiled for known sizes")
    name = getattr(tensor.dtype, "name", str(tensor.dtype))
    return torch.empty(1, *sides, dtype=TORCH[name], device="meta")
