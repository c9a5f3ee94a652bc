"""INT8 on processors without VNNI, where the fast way to add 8-bit products saturates."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cstm.models.contract import Component, TensorSpec
from cstm.runtime.backends import openvino
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.backends.openvino import OpenVINOSession

CHANNELS, LARGEST, WEIGHT = 32, 255, 127


@pytest.fixture(scope="module")
def largest_sums(tmp_path_factory):
    """A convolution in our CPU form, whose products are as large as they can be; its file and its declaration."""
    axes = ["batch", CHANNELS, 4, 4]
    constants = {
        "scale": np.float32(1),
        "zero": np.uint8(0),
        "weights": np.full((CHANNELS, CHANNELS, 1, 1), WEIGHT, np.int8),
        "signed_zero": np.int8(0),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["weights", "scale", "signed_zero"], ["w"]),
        helper.make_node("Conv", ["d", "w"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "wide", "zero"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "wide", "zero"], ["y"]),
    ]
    constants["wide"] = np.float32(LARGEST * WEIGHT * CHANNELS / LARGEST)
    graph = helper.make_graph(
        nodes,
        "largest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, axes)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    path = tmp_path_factory.mktemp("int8") / "largest.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    specs = (TensorSpec("x", (CHANNELS, 4, 4)),), (TensorSpec("y", (CHANNELS, 4, 4)),)
    return path, Component("largest", *specs)


def check(session) -> bool:
    inputs = {"x": np.full((1, CHANNELS, 4, 4), LARGEST, np.float32)}
    return np.allclose(session.run(inputs)["y"], LARGEST * WEIGHT * CHANNELS, rtol=1e-3)


def test_onnxruntime_adds_exactly(largest_sums):
    path, component = largest_sums
    with OnnxRuntimeSession(component, path) as session:
        assert check(session)


def test_openvino_is_right_or_does_not_offer_int8(largest_sums, monkeypatch):
    path, component = largest_sums
    with OpenVINOSession(component, path, "int8") as session:
        assert check(session) or not openvino.sums_int8_exactly()


@pytest.mark.parametrize("exact", [True, False])
def test_int8_is_offered_where_sums_are_exact(exact, monkeypatch):
    monkeypatch.setattr(openvino, "sums_int8_exactly", lambda: exact)

    class Holds:
        precisions = ("fp32", "int8")

    backend = openvino.make("openvino")
    assert ("int8" in backend.precisions(Holds)) == exact
    assert ("VNNI" in backend.why_not("int8")) != exact
