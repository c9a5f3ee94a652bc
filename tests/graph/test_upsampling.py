"""Upsampling, half before a convolution and half after: the same result for fewer products."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cstm.graph import upsampling
from cstm.graph.macs import count_macs

CHANNELS = 4
ALIGNED = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}


def convolve_half_way(model):
    return upsampling.convolve_half_way(model, CHANNELS)


def decoder(scale=(2, 2), kernel=(3, 3), beside=0, bias=True, order="up first", dtype=np.float64, resize=None, **conv):
    """x [B,4,5,7] is upsampled, joined with `beside` channels of z and convolved to y."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((3, 4 + beside, *kernel)).astype(dtype)
    scales = np.array([1, 1, *scale], np.float32)
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(scales, "scales")]
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["up"], **(resize or ALIGNED))]
    joined = ["up", "z"] if order == "up first" else ["z", "up"]
    if beside:
        nodes.append(helper.make_node("Concat", joined, ["joined"], axis=1))
    half = [kernel[0] // 2, kernel[1] // 2]
    inputs = ["joined" if beside else "up", "w"]
    if bias:
        constants.append(numpy_helper.from_array(rng.standard_normal(3).astype(dtype), "b"))
        inputs.append("b")
    attributes = {"kernel_shape": list(kernel), "pads": half + half} | conv
    nodes.append(helper.make_node("Conv", inputs, ["c"], "conv", **attributes))
    nodes.append(helper.make_node("Relu", ["c"], ["y"]))
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    shapes = {"x": ["batch", 4, 5, 7]}
    if beside:
        shapes["z"] = ["batch", beside, int(5 * scale[0]), int(7 * scale[1])]
    values = [helper.make_tensor_value_info(name, element, shape) for name, shape in shapes.items()]
    result = [helper.make_tensor_value_info("y", element, ["batch", None, None, None])]
    graph = helper.make_graph(nodes, "decoder", values, result, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def inputs_of(model, dtype=np.float64):
    rng = np.random.default_rng(1)
    sides = {v.name: [d.dim_value or 2 for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in sides.items()}


def resizes(model):
    return [node for node in model.graph.node if node.op_type == "Resize"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"beside": 3},
        {"beside": 3, "order": "up last"},
        {"beside": 3, "bias": False},
        {"kernel": (5, 3)},
        {"kernel": (3, 1)},
        {"scale": (3, 2)},
    ],
    ids=str,
)
def test_the_same_in_double_precision(options):
    model = decoder(**options)
    made = convolve_half_way(model)
    assert len(resizes(made)) > len(resizes(model))
    given = inputs_of(model)
    (expected,) = ReferenceEvaluator(model).run(None, given)
    (found,) = ReferenceEvaluator(made).run(None, given)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("beside", [0, 3])
def test_as_onnxruntime_runs_it(beside):
    model = decoder(beside=beside, dtype=np.float32)
    given = inputs_of(model, np.float32)
    made = convolve_half_way(model)
    onnx.checker.check_model(made, full_check=True)
    found, expected = (onnxruntime.InferenceSession(m.SerializeToString()).run(None, given)[0] for m in (made, model))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("beside", "left"), [(0, 0.5), (4, 0.75)])
def test_half_of_the_products_on_upsampled_maps_are_left(beside, left):
    model = decoder(beside=beside, dtype=np.float32)
    assert count_macs(convolve_half_way(model)) == pytest.approx(left * count_macs(model))


def check_unchanged(model, made):
    assert [node.op_type for node in made.graph.node] == [node.op_type for node in model.graph.node]


def read_twice():
    model = decoder()
    model.graph.node.append(helper.make_node("Relu", ["up"], ["again"]))
    model.graph.output.append(helper.make_tensor_value_info("again", TensorProto.DOUBLE, None))
    return model


@pytest.mark.parametrize(
    "model",
    [
        decoder(resize={"mode": "linear"}),
        decoder(resize={"mode": "nearest", "coordinate_transformation_mode": "align_corners"}),
        decoder(strides=[2, 2]),
        decoder(dilations=[2, 2]),
        decoder(pads=[0, 0, 0, 0]),
        decoder(kernel=(1, 3)),
        decoder(scale=(1, 2)),
        read_twice(),
    ],
    ids=["half pixel", "nearest", "strides", "dilations", "no padding", "one row", "one side", "read twice"],
)
def test_all_else_is_left_alone(model):
    check_unchanged(model, convolve_half_way(model))


def test_narrow_maps_are_left_alone():
    model = decoder(beside=3)
    check_unchanged(model, upsampling.convolve_half_way(model, CHANNELS + 1))
