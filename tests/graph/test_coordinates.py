"""Constant channels of a convolution become a constant map, and nothing else changes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cstm.graph.coordinates import fold_constant_channels
from cstm.graph.macs import count_macs


def beside(sides, order=("x", "p"), stride=1, expanded=True, second_input=False):
    """Conv3([x; P]) + bias in float64, x [B,5,...], P [1,2,...] of constants, expanded over the batch or not."""
    rng, axes = np.random.default_rng(0), len(sides)
    constants = [
        numpy_helper.from_array(rng.standard_normal((1, 2, *sides)), "constant"),
        numpy_helper.from_array(rng.standard_normal((4, 7, *[3] * axes)), "w"),
        numpy_helper.from_array(rng.standard_normal(4), "bias"),
        numpy_helper.from_array(np.array([0]), "zero"),
        numpy_helper.from_array(np.array([2, *sides]), "rest"),
    ]
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "rest"], ["shape"], axis=0),
        helper.make_node("Expand", ["constant", "shape"], ["p"]),
    ]
    names = [{"p": "p" if expanded else "constant"}.get(name, name) for name in order]
    if second_input:
        names[names.index("p")] = "y_in"
    nodes.append(helper.make_node("Concat", names, ["both"], axis=1))
    pads = [1] * axes + [2] * axes
    nodes.append(helper.make_node("Conv", ["both", "w", "bias"], ["y"], pads=pads, strides=[stride] * axes))
    inputs = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["batch", 5, *sides])]
    if second_input:
        inputs.append(helper.make_tensor_value_info("y_in", TensorProto.DOUBLE, ["batch", 2, *sides]))
    output = helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["batch", 4, *[None] * axes])
    graph = helper.make_graph(nodes, "beside", inputs, [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("sides", [(6, 5), (3, 6, 5)])
@pytest.mark.parametrize("order", [("x", "p"), ("p", "x")])
def test_the_same_values_with_fewer_multiplications(sides, order):
    model = beside(sides, order, stride=2)
    x = np.random.default_rng(1).standard_normal((2, 5, *sides))
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    folded = fold_constant_channels(model)
    onnx.checker.check_model(folded)
    np.testing.assert_allclose(ReferenceEvaluator(folded).run(None, {"x": x})[0], expected, atol=1e-12)
    assert [node.op_type for node in folded.graph.node] == ["Conv", "Add"]
    assert count_macs(folded) == count_macs(model) * 5 // 7


def test_a_batch_of_one_needs_no_expansion():
    folded = fold_constant_channels(beside((6, 5), expanded=False))
    assert [node.op_type for node in folded.graph.node] == ["Conv", "Add"]


def test_the_weight_keeps_its_name():
    folded = fold_constant_channels(beside((6, 5)))
    assert folded.graph.node[0].input[1] == "w"


def test_two_tensors_side_by_side_are_left_alone():
    folded = fold_constant_channels(beside((6, 5), second_input=True))
    assert [node.op_type for node in folded.graph.node] == ["Concat", "Conv"]


def test_the_encoders_lay_no_coordinates_beside_their_features(bundle_path):
    for stream in ("spatial", "temporal"):
        graph = onnx.load(bundle_path / f"onnx/fp32/{stream}_encoder.onnx").graph
        assert not any(node.op_type == "Expand" for node in graph.node)
