"""FP16 models: FP16 inside, the contract outside, finite and close on real inputs."""

import subprocess
import sys
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cstm.calibration.inputs import component_inputs, real_samples
from cstm.data.demo import DEMO_SENTENCES, DEMO_VIDEO
from cstm.graph.half import in_order
from cstm.models.contract import contract
from cstm.runtime.backends import backend
from cstm.runtime.bundle import Bundle, onnx_file
from cstm.runtime.chain import Chain
from cstm.runtime.tolerance import Difference


@pytest.fixture(scope="module")
def chains(bundle_path):
    bundle = Bundle(bundle_path)
    reference = Chain(bundle.config, backend("torch").open(bundle, "fp32"))
    half = Chain(bundle.config, backend("onnxruntime").open(bundle, "fp16"))
    samples = real_samples(bundle.config, bundle.reader, DEMO_VIDEO, list(DEMO_SENTENCES), 2)
    return bundle, reference, half, samples


def test_every_component_is_finite_and_close(chains):
    _, reference, half, samples = chains
    for name, inputs in component_inputs(reference, samples):
        actual, expected = half.sessions[name].run(inputs), reference.sessions[name].run(inputs)
        for tensor, array in actual.items():
            assert array.dtype == np.float32 and np.isfinite(array).all(), tensor
            assert Difference.between(array, expected[tensor]).relative < 1e-2, tensor


def test_the_work_is_in_fp16(chains):
    bundle = chains[0]
    for name in contract(bundle.config):
        model = onnx.load(bundle.file(onnx_file(name, "fp16")))
        types = Counter(w.data_type for w in model.graph.initializer if len(w.dims) >= 2)
        assert types[onnx.TensorProto.FLOAT16] > 0, name
        assert types[onnx.TensorProto.FLOAT] == 0, name


def test_language_plans_are_not_halved(chains):
    """`Modulate` computes with them in FP32, and their casts would be kernels of every frame."""
    bundle = chains[0]
    for name in ("spatial_encoder", "temporal_encoder"):
        graph = onnx.load(bundle.file(onnx_file(name, "fp16"))).graph
        given = {value.name for value in graph.input}
        modulates = [node for node in graph.node if node.op_type == "Modulate"]
        assert len(modulates) == 5 and all(set(node.input[2:]) <= given for node in modulates)
        assert not [node for node in graph.node if node.op_type == "Cast" and node.input[0].startswith(("key", "gate"))]


def test_inputs_are_cast_in_their_order_whatever_modelopts():
    """Its order is that of a set of names, another in every process."""
    casts = [helper.make_node("Cast", [name], [f"{name}_half"], to=TensorProto.FLOAT16) for name in ("b", "c", "a")]
    rest = [
        helper.make_node("Sum", ["a_half", "b_half", "c_half"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["y"], to=TensorProto.FLOAT),
    ]
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "abcy"}
    graph = helper.make_graph([*casts, *rest], "g", [values[name] for name in "abc"], [values["y"]])
    graph.value_info.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT16, [1]) for n in ("b_half", "a_half"))
    model = in_order(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))
    onnx.checker.check_model(model)
    assert [node.output[0] for node in model.graph.node] == ["a_half", "b_half", "c_half", "sum", "y"]
    assert [value.name for value in model.graph.value_info] == ["a_half", "b_half"]


@pytest.mark.slow
def test_our_operators_are_known_wherever_modelopt_is_called():
    """Else, in a process that has not exported before (`cstm plan`), ModelOpt asks TensorRT, which is not there."""
    code = "import cstm.graph.{}, onnx; print([onnx.defs.has(n, 'cstm') for n in ('Modulate', 'Select')])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code.format(module)], stdout=subprocess.PIPE, text=True, cwd="/")
        for module in ("half", "qdq")
    ]
    assert [process.communicate()[0].strip() for process in processes] == ["[True, True]"] * 2


def test_the_two_models_differ(chains):
    _, reference, half, samples = chains
    difference = Difference.between(half(samples), reference(samples))
    assert 1e-6 < difference.relative < 1e-2
