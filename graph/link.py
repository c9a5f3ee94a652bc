"""Components linked to one model, wired by the contract's names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx
from onnx import helper

from cstm.models.contract import BATCH, Component, TensorSpec

ELEMENT_TYPES = {"float32": onnx.TensorProto.FLOAT, "int64": onnx.TensorProto.INT64, "uint8": onnx.TensorProto.UINT8}


def link(models: Mapping[str, onnx.ModelProto], whole: Component) -> onnx.ModelProto:
    """One model of `whole`'s inputs and outputs from those of its components, in the order in which they run.

    What a component takes or gives keeps its name; all else is prefixed by the component's. ValueError where two
    components bring different functions of one name, or different versions of one set of operators.
    """
    public = {value.name for model in models.values() for value in (*model.graph.input, *model.graph.output)}
    graph = onnx.GraphProto(name=whole.name)
    functions: dict[tuple[str, str], onnx.FunctionProto] = {}
    versions: dict[str, int] = {}
    for name, model in models.items():
        part = _renamed(model.graph, f"{name}/", public)
        graph.node.extend(part.node)
        graph.initializer.extend(part.initializer)
        for function in model.functions:
            if functions.setdefault((function.domain, function.name), function) != function:
                raise ValueError(f"{name} brings another function {function.name}")
        for opset in model.opset_import:
            if versions.setdefault(opset.domain, opset.version) != opset.version:
                raise ValueError(f"{name} has version {opset.version} of the operators {opset.domain or 'of ONNX'}")
    graph.input.extend(map(_value, whole.inputs))
    graph.output.extend(map(_value, whole.outputs))
    opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    linked = helper.make_model(graph, functions=list(functions.values()), opset_imports=opsets)
    linked.ir_version = max(model.ir_version for model in models.values())
    return linked


def _renamed(graph: onnx.GraphProto, prefix: str, kept: Collection[str]) -> onnx.GraphProto:
    """A copy, all of whose names but those `kept` have the prefix; "", an input left out, stays."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    for tensor in copy.initializer:
        tensor.name = prefix + tensor.name
    for node in copy.node:
        node.name = prefix + node.name
        for names in (node.input, node.output):
            names[:] = [name if not name or name in kept else prefix + name for name in names]
    return copy


def _value(spec: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(spec.name, ELEMENT_TYPES[spec.dtype], [1 if spec.once else BATCH, *spec.shape])
