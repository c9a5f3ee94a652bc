"""`Modulate` and `Select` in ONNX: a node each of domain `cstm`, and functions whose bodies are the plain definitions.

A back end that knows the node takes it whole, others run the function's body. ONNX Runtime and TensorRT read functions;
TensorRT takes a plugin instead where the function is absent, or where its parser has ENABLE_PLUGIN_OVERRIDE set and
the node names the plugin's namespace. OpenVINO reads none, see `openvino_nodes`.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx
import torch
from onnx import defs, parser
from onnx.shape_inference import InferenceContext
from onnxscript.values import Op, Opset

import cstm.kernels.ops  # noqa: F401 (registers the operators that `translations` names)

DOMAIN, VERSION = "cstm", 1

# One body serves maps of any rank, since GlobalAveragePool does, and never reshapes them, so that back ends may keep
# layouts of their own. Maps of batch 1 may meet a language plan of any batch, which is then the result's. FLOAT is 1.
# The maps are cast for their mean alone: TensorRT writes a cast that two layers read to memory, in FP32.
# Constants are tensors: onnxslim and GraphSurgeon turn `value_float` inside a function into FP64.
_MODULATE = """
<domain: "cstm", opset_import: ["": 20]>
Modulate (x, u, key, bias, gate) => (y)
{
    column_shape = Constant <value_ints = [0, -1, 1]> ()
    words = Constant <value_ints = [-1]> ()
    channels = Constant <value_ints = [1]> ()
    least_norm = Constant <value = float {1e-12}> ()
    half = Constant <value = float {0.5}> ()
    batch = Constant <value_ints = [0]> ()

    key32 = Cast <to = 1> (key)
    bias32 = Cast <to = 1> (bias)
    gate32 = Cast <to = 1> (gate)

    u32 = Cast <to = 1> (u)
    mean = GlobalAveragePool (u32)
    mean_column = Reshape (mean, column_shape)
    products = Mul (mean_column, key32)
    product = ReduceSum <keepdims = 0> (products, channels)
    attention = Add (product, bias32)
    norm = ReduceL2 (attention, words)
    norm_above = Max (norm, least_norm)
    normalised = Div (attention, norm_above)
    weights = Softmax <axis = -1> (normalised)
    weights_row = Unsqueeze (weights, channels)
    gates = Mul (gate32, weights_row)
    gate_logits = ReduceSum (gates, words)
    raised = Sigmoid (gate_logits)
    scale_column = Sub (raised, half)
    sides = Shape <start = 1> (mean)
    scale_shape = Concat <axis = 0> (batch, sides)
    scale32 = Reshape (scale_column, scale_shape)
    scale = CastLike (scale32, u)
    added = Mul (u, scale)
    y = Add (x, added)
}
"""

_SELECT = """
<domain: "cstm", opset_import: ["": 20]>
Select (spatial, temporal, sentence, squeeze_weight, squeeze_bias, select_weight, select_bias) => (y)
{
    flat_shape = Constant <value_ints = [0, -1]> ()
    pair_shape = Constant <value_ints = [0, 2, -1]> ()
    stream = Constant <value_ints = [1]> ()

    s32 = Cast <to = 1> (spatial)
    v32 = Cast <to = 1> (temporal)
    s_mean = GlobalAveragePool (s32)
    v_mean = GlobalAveragePool (v32)
    means = Concat <axis = 1> (s_mean, v_mean)
    pooled32 = Reshape (means, flat_shape)
    pooled = CastLike (pooled32, sentence)
    evidence = Concat <axis = 1> (pooled, sentence)

    squeezed = Gemm <transB = 1> (evidence, squeeze_weight, squeeze_bias)
    z = Relu (squeezed)
    scores = Gemm <transB = 1> (z, select_weight, select_bias)
    scores32 = Cast <to = 1> (scores)
    pairs = Reshape (scores32, pair_shape)
    weights32 = Softmax <axis = 1> (pairs)
    weights = CastLike (weights32, spatial)
    s_pair, v_pair = Split <axis = 1, num_outputs = 2> (weights)
    weight_shape = Shape (s_mean)
    s_weight = Reshape (s_pair, weight_shape)
    v_weight = Reshape (v_pair, weight_shape)

    s_share = Mul (s_weight, spatial)
    v_share = Mul (v_weight, temporal)
    y = Add (s_share, v_share)
}
"""


def onnx_functions() -> list[onnx.FunctionProto]:
    """`Modulate` and `Select` of domain `cstm`, opset 20, for maps in FP16, BF16 and FP32.

    Means, logits, norms, softmax and gate are in FP32 as in `plain`; products with the maps and sums are in the maps'
    own type.
    """
    return [parser.parse_function(body) for body in (_MODULATE, _SELECT)]


def translations() -> dict:
    """For `torch.onnx.export(dynamo=True, custom_translation_table=...)`: each operator becomes one node."""
    operators = (torch.ops.cstm.modulate.default, torch.ops.cstm.select.default)
    return dict(zip(operators, map(_node, onnx_functions()), strict=True))


def _node(function: onnx.FunctionProto) -> Callable:
    """Adds a node that calls `function`."""
    call = Op(Opset(DOMAIN, VERSION), function.name, _schema(function))
    return lambda *inputs: call(*inputs)


def _schema(function: onnx.FunctionProto) -> defs.OpSchema:
    """The first two inputs are the maps; the output has their dtype and shape, Modulate's the language plan's batch."""
    types = ["tensor(float16)", "tensor(bfloat16)", "tensor(float)"]
    parameters = [defs.OpSchema.FormalParameter(n, "T" if i < 2 else "W", "") for i, n in enumerate(function.input)]
    schema = defs.OpSchema(
        function.name,
        DOMAIN,
        VERSION,
        inputs=parameters,
        outputs=[defs.OpSchema.FormalParameter(function.output[0], "T", "")],
        type_constraints=[("T", types, "maps"), ("W", types, "language")],
    )
    schema.set_type_and_shape_inference_function({"Modulate": _modulated, "Select": _selected}[function.name])
    return schema


def _modulated(context: InferenceContext) -> None:
    maps = onnx.TypeProto()
    maps.CopyFrom(context.get_input_type(0))
    sides, gate = maps.tensor_type.shape.dim, context.get_input_type(4).tensor_type.shape.dim
    if sides and gate and sides[0].dim_value == 1:
        sides[0].CopyFrom(gate[0])
    context.set_output_type(0, maps)


def _selected(context: InferenceContext) -> None:
    context.set_output_type(0, context.get_input_type(0))


def register_schemas() -> None:
    """Make the operators known to onnx in this process, as its own are: to shape inference, to its checker, and to
    ModelOpt, which else asks TensorRT what they are."""
    for function in onnx_functions():
        if not defs.has(function.name, DOMAIN):
            defs.register_schema(_schema(function))


register_schemas()


def add_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with the functions that its nodes call, so that any back end can run them; altered in place.

    To be called after export, whose optimiser inlines the functions that it finds.
    """
    called = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    known = {function.name for function in model.functions if function.domain == DOMAIN}
    model.functions.extend(f for f in onnx_functions() if f.name in called - known)
    if called and DOMAIN not in {opset.domain for opset in model.opset_import}:
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    return model
