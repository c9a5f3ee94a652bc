"""Rewrites must not change what a graph computes, on any runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cstm.graph.padding import fold_padding


def padded(op, pads, shape=(1, 2, 6, 6), before=(), **attributes):
    """x -> before... -> Pad(pads) -> op -> y."""
    nodes, last = [], "x"
    for i, name in enumerate(before):
        nodes.append(helper.make_node(name, [last], [f"b{i}"]))
        last = f"b{i}"
    nodes.append(helper.make_node("Pad", [last, "pads"], ["padded"]))
    weights = [numpy_helper.from_array(np.array(pads), "pads")]
    inputs = ["padded"]
    if op == "Conv":
        kernel = np.random.default_rng(0).standard_normal((3, shape[1], *attributes["kernel_shape"]))
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), "w"))
        inputs.append("w")
    nodes.append(helper.make_node(op, inputs, ["y"], **attributes))
    graph = helper.make_graph(
        nodes,
        "padded",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape[1:]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


CASES = {
    "conv, asymmetric": ("Conv", [0, 0, 1, 0, 0, 0, 2, 1], {"kernel_shape": [3, 3], "strides": [2, 1]}),
    "pool 3/2": ("MaxPool", [0, 0, 0, 0, 0, 0, 1, 1], {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "pool 3/2, the last row left over": (
        "MaxPool",
        [0, 0, 1, 1, 0, 0, 1, 1],
        {"kernel_shape": [3, 3], "strides": [2, 2]},
    ),
    "pool 3/1": ("MaxPool", [0, 0, 1, 1, 0, 0, 1, 1], {"kernel_shape": [3, 3], "strides": [1, 1]}),
    "pool, ceil, a window over the edge": (
        "MaxPool",
        [0, 0, 1, 1, 0, 0, 1, 1],
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    ),
    "pool, ceil": ("MaxPool", [0, 0, 0, 0, 0, 0, 1, 1], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_values_without_a_pad(name):
    op, pads, attributes = CASES[name]
    model = padded(op, pads, **attributes)
    x = np.random.default_rng(1).standard_normal((3, 2, 6, 6)).astype(np.float32) - 1
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    folded = fold_padding(model)
    # ONNX's ceil_mode drops a window that starts in the padding, where a Pad of its own would keep it.
    left = any(node.op_type == "Pad" for node in folded.graph.node)
    assert left == name.endswith("over the edge")
    onnx.checker.check_model(folded)
    runs = [ReferenceEvaluator(folded).run]
    if not left:  # else ONNX Runtime folds the Pad itself, wrongly: see below
        runs.append(session(folded).run)
    for run in runs:
        np.testing.assert_allclose(run(None, {"x": x})[0], expected, atol=1e-5)


def session(model):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_onnxruntime_still_needs_the_rewrite():
    """Its own fusion pads with minus infinity. When this fails, it has been mended, and the docs can say so."""
    op, pads, attributes = CASES["pool 3/1"]
    model = padded(op, pads, **attributes)
    x = -np.ones((1, 2, 6, 6), np.float32)
    right = ReferenceEvaluator(model).run(None, {"x": x})[0]
    assert right[0, 0, 0, 0] == 0
    assert session(model).run(None, {"x": x})[0][0, 0, 0, 0] == -1


def test_what_is_made_of_no_negative_value_may_be_negative_itself():
    op, pads, attributes = CASES["pool 3/1"]
    model = padded(op, pads, before=["Relu", "Neg"], **attributes)
    x = np.random.default_rng(1).standard_normal((3, 2, 6, 6)).astype(np.float32)
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    np.testing.assert_array_equal(session(fold_padding(model)).run(None, {"x": x})[0], expected)


def test_nothing_is_added_after_a_relu():
    op, pads, attributes = CASES["pool 3/1"]
    folded = fold_padding(padded(op, pads, before=["Relu"], **attributes))
    assert [node.op_type for node in folded.graph.node] == ["Relu", "MaxPool"]


@pytest.mark.parametrize(
    ("pads", "changes"),
    [
        ([0, 1, 0, 0, 0, 1, 0, 0], {}),  # pads channels
        ([0, 0, -1, 0, 0, 0, 1, 0], {}),  # crops
    ],
)
def test_other_pads_are_left_alone(pads, changes):
    model = padded("MaxPool", pads, kernel_shape=[3, 3], strides=[1, 1], **changes)
    assert any(node.op_type == "Pad" for node in fold_padding(model).graph.node)
