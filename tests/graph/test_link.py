"""Linking: one model that answers as its components do, with one frame for any number of sentences."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from cstm.graph.link import link
from cstm.graph.shared_weights import LEAST, share_weights
from cstm.models.contract import Component, TensorSpec
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession

WIDE = 512
WHOLE = Component("whole", (TensorSpec("x", (WIDE,)),), (TensorSpec("y", (WIDE,)),))


def part(source: str, target: str, factor: float, version: int = 20, function: str = "") -> onnx.ModelProto:
    """target = factors * source, through a hidden tensor; its names are those of every other part."""
    weights = numpy_helper.from_array(np.full(WIDE, factor, np.float32), "weights")
    nodes = [
        helper.make_node("Mul", [source, "weights"], ["hidden"], "node"),
        helper.make_node("Clip", ["hidden", "", "most"], [target], "last"),
    ]
    most = numpy_helper.from_array(np.float32(1e9), "most")
    values = [helper.make_tensor_value_info(name, 1, ["batch", WIDE]) for name in (source, target)]
    graph = helper.make_graph(nodes, "part", values[:1], values[1:], [weights, most])
    opsets = [helper.make_opsetid("", version)]
    functions = []
    if function:
        body = [helper.make_node(function, ["a"], ["b"])]
        functions = [helper.make_function("cstm", "F", ["a"], ["b"], body, opsets)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=10)


def test_linked_components_answer_as_in_a_row_though_they_share_names(tmp_path):
    linked = link({"one": part("x", "middle", 2), "two": part("middle", "y", 3)}, WHOLE)
    onnx.checker.check_model(linked, full_check=True)
    onnx.save(linked, tmp_path / "linked.onnx")
    x = np.random.default_rng(0).standard_normal((2, WIDE)).astype(np.float32)
    with OnnxRuntimeSession(WHOLE, tmp_path / "linked.onnx") as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], 6 * x, rtol=1e-6)


def test_other_versions_and_other_functions_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two has version 19"):
        link({"one": part("x", "middle", 2), "two": part("middle", "y", 3, version=19)}, WHOLE)
    same = link({"one": part("x", "middle", 2, function="Abs"), "two": part("middle", "y", 3, function="Abs")}, WHOLE)
    assert len(same.functions) == 1
    with pytest.raises(ValueError, match="two brings another function F"):
        link({"one": part("x", "middle", 2, function="Abs"), "two": part("middle", "y", 3, function="Neg")}, WHOLE)


def test_weights_lie_on_the_disk_once(tmp_path):
    parts = {"one": part("x", "middle", 2), "two": part("middle", "y", 3)}
    files = [tmp_path / f"{name}.onnx" for name in parts]
    for file, model in zip(files, parts.values(), strict=True):
        onnx.save(model, file)
    linked = link(parts, WHOLE)
    shared = share_weights(linked, files)
    onnx.save(shared, tmp_path / "linked.onnx")
    assert (tmp_path / "linked.onnx").stat().st_size < LEAST < linked.ByteSize()
    assert linked.graph.initializer[0].raw_data, "the model that was given has lost its weights"
    read = onnx.load(tmp_path / "linked.onnx")
    for ours, theirs in zip(read.graph.initializer, linked.graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(ours), numpy_helper.to_array(theirs))


def test_weights_that_no_file_holds_stay_inside(tmp_path):
    onnx.save(part("x", "middle", 5), tmp_path / "other.onnx")
    shared = share_weights(part("x", "y", 2), [tmp_path / "other.onnx"])
    assert shared == part("x", "y", 2)
