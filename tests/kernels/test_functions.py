"""One ONNX file with nodes of domain `cstm`: every back end runs it and agrees with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx")
inliner = pytest.importorskip("onnx.inliner")
reference = pytest.importorskip("onnx.reference")

from cstm.graph.slim import OPSET, quiet, slim  # noqa: E402
from cstm.kernels.functions import DOMAIN, add_functions, onnx_functions, translations  # noqa: E402

B, C, N, D = 2, 6, 7, 5
NAMES = ("clip", "frame", "key", "bias", "gate", "sentence")
PLAIN_MODEL = '<ir_version: 10, opset_import: ["": 20]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
SHAPES = ((B, C, 3, 5, 7), (B, C, 5, 7), (B, C, N), (B, N), (B, C, N), (B, D))


class TinyNet(nn.Module):
    """Both operators, Modulate on maps with two and with three axes."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv3d(C, C, 3, padding=1)
        self.squeeze, self.select = nn.Linear(2 * C + D, C), nn.Linear(C, 2 * C)

    def forward(self, clip, frame, key, bias, gate, sentence):
        temporal = torch.ops.cstm.modulate(clip, self.mix(clip).relu(), key, bias, gate)
        spatial = torch.ops.cstm.modulate(frame, frame.relu(), key, bias, gate)
        layers = (self.squeeze.weight, self.squeeze.bias, self.select.weight, self.select.bias)
        return torch.ops.cstm.select(spatial, temporal[:, :, 1].contiguous(), sentence, *layers)


@pytest.fixture(scope="module", params=[torch.float32, torch.float16], ids=["fp32", "fp16"])
def exported(request):
    """The model as exported, without functions; inputs of another batch than the example's, by name; the output."""
    torch.manual_seed(0)
    network = TinyNet().eval().to(request.param)
    batch = torch.export.Dim("batch", min=1, max=64)
    with quiet(), torch.inference_mode():
        example = tuple(torch.randn(shape).to(request.param) for shape in SHAPES)
        program = torch.onnx.export(
            network,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=NAMES,
            output_names=["fused"],
            dynamic_shapes=tuple({0: batch} for _ in example),
            custom_translation_table=translations(),
            verbose=False,
        )
        inputs = [torch.randn(3, *shape[1:]).to(request.param) for shape in SHAPES]
        want = network(*inputs).numpy()
    return program.model_proto, {n: v.numpy() for n, v in zip(NAMES, inputs, strict=True)}, want


@pytest.fixture
def model(exported):
    return add_functions(_copy(exported[0]))


def _copy(model):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _onnxruntime(model, inputs):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["fused"], inputs)[0]


def _openvino(model, inputs):
    openvino = pytest.importorskip("openvino")
    from cstm.kernels.openvino_nodes import extensions

    core = openvino.Core()
    for extension in extensions():
        core.add_extension(extension)
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    return core.compile_model(core.read_model(model.SerializeToString()), "CPU", hint)(inputs)[0]


def test_each_operator_is_one_node(exported):
    nodes = [node.op_type for node in exported[0].graph.node if node.domain == DOMAIN]
    assert sorted(nodes) == ["Modulate", "Modulate", "Select"] and not exported[0].functions


def test_functions_are_added_once_and_where_called(model):
    assert {f.name for f in add_functions(model).functions} == {"Modulate", "Select"} and len(model.functions) == 2
    assert not add_functions(onnx.parser.parse_model(PLAIN_MODEL)).functions


def test_maps_are_cast_for_their_mean_alone():
    """A cast that two layers read TensorRT writes to memory: the maps a second time, in FP32."""
    for function in onnx_functions():
        for cast in [n for n in function.node if n.op_type.startswith("Cast") and n.input[0] in function.input[:2]]:
            assert [n.op_type for n in function.node if cast.output[0] in n.input] == ["GlobalAveragePool"]


FORMS = {
    "whole": add_functions,
    "slimmed before": lambda model: add_functions(slim(model)),
    "slimmed after": lambda model: slim(add_functions(model)),
    "inlined": lambda model: inliner.inline_local_functions(add_functions(model)),
}


@pytest.mark.parametrize("run", [_onnxruntime, _openvino])
@pytest.mark.parametrize("form", FORMS)
def test_back_ends_agree_with_pytorch(exported, form, run):
    model, inputs, want = exported
    model = FORMS[form](_copy(model))
    onnx.checker.check_model(model, full_check=True)
    got = run(model, inputs)
    assert got.dtype == want.dtype and got.shape == want.shape
    # The network's own FP16 layers round between the operators.
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 if want.dtype == np.float32 else 1e-2)


def test_shape_inference_sees_through_the_functions(model):
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in inferred.graph.value_info
    }
    outputs = [node.output[0] for node in model.graph.node if node.op_type == "Modulate"]
    assert sorted(shapes[name] for name in outputs) == sorted([["batch", C, 3, 5, 7], ["batch", C, 5, 7]], key=str)


ONE_FRAME = """
<ir_version: 10, opset_import: ["": 20, "cstm": 1]>
g (float[1,6,3,5,7] x, float[batch,6,7] key, float[batch,7] bias, float[batch,6,7] gate) => (float[batch,6,3,5,7] fused)
{
    u = Relu(x)
    fused = cstm.Modulate(x, u, key, bias, gate)
}
"""


@pytest.mark.parametrize("run", [_onnxruntime, _openvino])
def test_one_frame_meets_any_number_of_sentences(run):
    from cstm.kernels import plain

    model = add_functions(onnx.parser.parse_model(ONE_FRAME))
    onnx.checker.check_model(model, full_check=True)
    x, key, bias, gate = (torch.randn(shape) for shape in ((1, C, 3, 5, 7), (B, C, N), (B, N), (B, C, N)))
    got = run(model, {"x": x.numpy(), "key": key.numpy(), "bias": bias.numpy(), "gate": gate.numpy()})
    repeated = x.expand(B, *x.shape[1:])
    np.testing.assert_allclose(got, plain.modulate(repeated, repeated.relu(), key, bias, gate), rtol=0, atol=1e-5)


@pytest.mark.parametrize("sides", [(1, 1), (4, 3), (2, 3, 4)])
def test_a_body_alone_serves_any_number_of_axes(sides):
    from cstm.kernels import plain

    modulate, select = map(reference.ReferenceEvaluator, onnx_functions())
    x, u, key, bias, gate = (torch.randn(s) for s in ((B, C, *sides), (B, C, *sides), (B, C, N), (B, N), (B, C, N)))
    language_plan = {"key": key, "bias": bias, "gate": gate}
    (got,) = modulate.run(None, {k: v.numpy() for k, v in ({"x": x, "u": u} | language_plan).items()}, attributes={})
    np.testing.assert_allclose(got, plain.modulate(x, u, **language_plan), rtol=0, atol=1e-5)
    shapes = ((B, D), (C, 2 * C + D), (C,), (2 * C, C), (2 * C,))
    arguments = [x, u, *(torch.randn(shape) for shape in shapes)]
    (got,) = select.run(None, dict(zip(select.input_names, (a.numpy() for a in arguments), strict=True)), attributes={})
    np.testing.assert_allclose(got, plain.select(*arguments), rtol=0, atol=1e-5)
