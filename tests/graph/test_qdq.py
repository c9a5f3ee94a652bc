"""INT8 models: the chosen convolutions in 8 bits and nothing else, near FP32 on real inputs."""

import re

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cstm.calibration.inputs import component_inputs
from cstm.calibration.samples import CalibrationOptions, calibration_inputs
from cstm.errors import RequestError
from cstm.graph.qdq import FORMS, SMALLEST_LIMIT, affine, count_quantised, quantise
from cstm.graph.slim import OPSET
from cstm.graph.tensor_range import Range
from cstm.models.contract import Component, TensorSpec, contract
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.chain import Chain
from cstm.runtime.tolerance import Difference

CHOSEN = {
    "spatial_encoder": ("stage_1", "stage_4"),
    "temporal_encoder": ("stage_2", "stage_3", "stage_4", "stage_5"),
    "decoder": ("step_4", "step_2", "step_1", "head"),
}
STAGE = "encoder.(stages|cmam|project)"
WEIGHTS = {  # how the chosen convolutions' weights are called
    "spatial_encoder": rf"{STAGE}\.[03]\.",
    "temporal_encoder": rf"{STAGE}\.[1234]\.",
    "decoder": r"merge\.[310]\.|head\.0\.",
}
CASES = [(name, form) for name in CHOSEN for form in FORMS]


class Written:
    """An INT8 model, with what its tests ask of it."""

    def __init__(self, quantiser, name, form, path):
        self.name, self.form, self.path, self.source = name, form, path, quantiser.models[name]
        self.info = quantiser.write(name, CHOSEN[name], form, path)
        self.graph, self.fp32 = onnx.load(path).graph, onnx.load(self.source).graph
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        self.maker = {tensor: node for node in self.graph.node for tensor in node.output}
        self.ranges = quantiser.ranges[name]
        self.weights = {node.name: node.input[1] for node in self.fp32.node if node.op_type == "Conv"}
        sizes = {tensor.name: tensor.dims for tensor in self.fp32.initializer}
        chosen = {node for node, weight in self.weights.items() if re.match(WEIGHTS[name], weight)}
        # From and to fewer than 16 channels, ModelOpt sees no gain.
        self.expected = {node for node in chosen if max(sizes[self.weights[node]][:2]) >= 16}

    def nodes(self, kind):
        return [node for node in self.graph.node if node.op_type == kind]

    def made_by(self, tensor):
        return self.maker[tensor].op_type if tensor in self.maker else "constant"


@pytest.fixture(scope="module")
def written(quantiser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8")
    return {case: Written(quantiser, *case, folder / f"{'-'.join(case)}.onnx") for case in CASES}


@pytest.fixture(scope="module")
def unseen(quantiser):
    """Real inputs of every component from samples that calibration has not seen."""
    options = CalibrationOptions(samples=2, seed=9, force=True)
    inputs = calibration_inputs(options, quantiser.config, quantiser.reader)
    components = contract(quantiser.config)
    with Chain(
        quantiser.config, {n: OnnxRuntimeSession(c, quantiser.models[n]) for n, c in components.items()}
    ) as all_:
        return dict(component_inputs(all_, inputs))


@pytest.fixture(params=CASES, ids="-".join)
def made(request, written):
    return written[request.param]


def test_it_is_near_fp32_but_not_the_same(made, quantiser, unseen):
    component, inputs = contract(quantiser.config)[made.name], unseen[made.name]
    ours = OnnxRuntimeSession(component, made.path, without=FORMS[made.form].wrong_in_onnxruntime)
    reference = OnnxRuntimeSession(component, made.source)
    with ours, reference:
        actual, expected = ours.run(inputs), reference.run(inputs)
    for tensor, array in actual.items():
        assert Difference.between(array, expected[tensor]).relative < 0.06, tensor
    # 8 bits are felt: FP16 alone is within 0.001.
    assert max(Difference.between(actual[t], expected[t]).relative for t in actual) > 0.0015


def test_the_chosen_convolutions_read_8_bits_and_no_other(made):
    for node in made.nodes("Conv"):
        both = [made.made_by(tensor) == "DequantizeLinear" for tensor in node.input[:2]]
        assert both == [node.name in made.expected] * 2, node.name
    assert made.info == {"quantised": len(made.expected)}


def test_only_what_a_chosen_convolution_reads_is_quantised(made):
    for node in made.nodes("DequantizeLinear"):
        readers = [other for other in made.graph.node if node.output[0] in other.input]
        assert made.expected & {reader.name for reader in readers}, node.name
        # A sum, pooling or modulation that reads the same tensor may; the language plan never does.
        assert {reader.op_type for reader in readers} <= {"Conv", "Add", "MaxPool", "Modulate"}
        assert all(node.output[0] in reader.input[:2] for reader in readers)


def test_chosen_weights_are_stored_in_8_bits_and_others_as_they_were(made):
    before = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.fp32.initializer}
    rest = np.float16 if made.form == "tensorrt" else np.float32
    for node in made.nodes("Conv"):
        real, maker = before[made.weights[node.name]], made.maker.get(node.input[1])
        if maker is None:
            stored = made.constants[node.input[1]]
            assert stored.dtype == rest
            # FP16 takes its smallest number for what would be zero.
            np.testing.assert_allclose(stored, real.astype(rest), rtol=0, atol=1e-7 if rest == np.float16 else 0)
            continue
        stored, scale, zero = (made.constants[name] for name in maker.input)
        assert stored.dtype == np.int8 and not zero.any()
        shown = stored * scale.astype(np.float32).reshape(-1, *[1] * (real.ndim - 1))
        assert Difference.between(shown, real).relative < 0.02, node.name


def test_activations_are_scaled_by_their_ranges_in_the_forms_type(made):
    assert made.nodes("QuantizeLinear")
    for node in made.nodes("QuantizeLinear"):
        scale, zero = (made.constants[name] for name in node.input[1:])
        tensor = node.input[0].removesuffix("_cast_to_fp16")
        if made.form == "cpu":
            assert zero.dtype == np.uint8
            assert (scale, zero) == pytest.approx(affine(made.ranges[tensor]))
        else:
            assert zero.dtype == np.int8 and not zero.any()
            np.testing.assert_allclose(scale, made.ranges[tensor].limit / 127, rtol=2e-3)
        (reader,) = (other for other in made.nodes("DequantizeLinear") if other.input[0] == node.output[0])
        assert [made.constants[name] for name in reader.input[1:]] == [scale, zero]


def test_the_mask_logits_are_never_made_in_8_bits(written):
    for form in FORMS:
        made = written["decoder", form]
        last = made.maker["mask_logits"]
        last = made.maker[last.input[0]] if last.op_type == "Cast" else last
        assert last.op_type == "Conv" and last.input[1] == "head.2.weight" and made.made_by(last.input[0]) == "Relu"


def test_it_is_smaller_and_keeps_its_declaration(made):
    before = {tensor.name: tensor for tensor in made.fp32.initializer}
    quantised = sum(numpy_helper.to_array(before[made.weights[name]]).size for name in made.expected)
    assert made.constants.keys() <= {name for node in made.graph.node for name in node.input}, "nothing unused"
    assert made.path.stat().st_size < made.source.stat().st_size - 2 * quantised
    for ours, theirs in ((made.graph.input, made.fp32.input), (made.graph.output, made.fp32.output)):
        assert [(v.name, v.type) for v in ours] == [(v.name, v.type) for v in theirs]


def test_blocks_without_a_convolution_to_quantise_are_refused(quantiser, tmp_path):
    with pytest.raises(RequestError, match=r"none of \['stage_9'\] holds a .*; there are step_4, "):
        quantiser.write("decoder", ("stage_9",), "cpu", tmp_path / "decoder.onnx")
    assert not list(tmp_path.iterdir())


def test_no_blocks_give_the_model_itself_or_fp16(quantiser, tmp_path):
    assert quantiser.write("decoder", (), "cpu", tmp_path / "cpu.onnx") == {"quantised": 0}
    assert (tmp_path / "cpu.onnx").read_bytes() == quantiser.models["decoder"].read_bytes()
    assert quantiser.write("decoder", (), "tensorrt", tmp_path / "half.onnx") == {"quantised": 0}
    weights = [t.data_type for t in onnx.load(tmp_path / "half.onnx").graph.initializer if len(t.dims) > 1]
    assert weights and set(weights) == {TensorProto.FLOAT16}


def test_openvino_computes_the_same(written, quantiser, unseen):
    pytest.importorskip("openvino")
    from cstm.runtime.backends.openvino import OpenVINOSession

    component, inputs = contract(quantiser.config)["decoder"], unseen["decoder"]
    path = written["decoder", "cpu"].path
    with OpenVINOSession(component, path, "int8") as ours, OnnxRuntimeSession(component, path) as theirs:
        actual, expected = ours.run(inputs)["mask_logits"], theirs.run(inputs)["mask_logits"]
    assert Difference.between(actual, expected).relative < 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_a_dead_activation_and_a_dead_channel_do_no_harm(form, tmp_path):
    weight = np.random.default_rng(0).normal(0, 1, (32, 16, 3, 3)).astype(np.float32)
    weight[1] = 0
    constants = {"merge.0.0.weight": weight, "merge.1.0.weight": weight[:, :, :1, :1].copy(), "below": np.float32(-1e3)}
    nodes = [
        helper.make_node("Conv", ["x", "merge.0.0.weight"], ["alive"], name="alive", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["x", "below"], ["negative"], name="add"),
        helper.make_node("Relu", ["negative"], ["dead"], name="relu"),
        helper.make_node("Conv", ["dead", "merge.1.0.weight"], ["nothing"], name="nothing"),
        helper.make_node("Add", ["alive", "nothing"], ["y"], name="sum"),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", c, 8, 8]) for n, c in (("x", 16), ("y", 32)))
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], tensors), opset_imports=[helper.make_opsetid("", OPSET)]
    )
    model.ir_version = 10
    onnx.save(model, tmp_path / "fp32.onnx")
    inputs = {"x": np.random.default_rng(1).normal(0, 1, (1, 16, 8, 8)).astype(np.float32)}
    ranges = {"x": Range(-4, 4, 4, 0, 1024), "dead": Range(0, 0, 0, 0, 1024)}
    component = Component("g", (TensorSpec("x", (16, 8, 8)),), (TensorSpec("y", (32, 8, 8)),))
    made = quantise(model, ranges, ["step_1", "step_2"], inputs, form)
    assert count_quantised(made.graph) == 2
    onnx.save(made, tmp_path / "int8.onnx")
    with OnnxRuntimeSession(component, tmp_path / "int8.onnx") as ours:
        actual = ours.run(inputs)["y"]
    with OnnxRuntimeSession(component, tmp_path / "fp32.onnx") as theirs:
        expected = theirs.run(inputs)["y"]
    assert Difference.between(actual, expected).relative < 0.03
    assert not actual[:, 1].any()


numbers = st.floats(-1e6, 1e6, width=32)


@given(numbers, numbers, st.floats(0, 2))
def test_affine_holds_zero_exactly_and_the_range_up_to_the_limit(one, other, share):
    low, high = sorted((one, other))
    limit = max(abs(low), abs(high)) * min(share, 1)
    scale, zero = affine(Range(low, high, limit, 0, 1))
    assert isinstance(zero, int) and 0 <= zero <= 255 and scale > 0
    limit = max(limit, SMALLEST_LIMIT)
    wanted = np.clip([low, high], -limit, limit)
    slack = scale / 2 * (1 + 1e-6)
    assert (0 - zero) * scale <= min(wanted[0], 0) + slack and max(wanted[1], 0) - slack <= (255 - zero) * scale
    assert 255 * scale <= max(wanted[1], 0) - min(wanted[0], 0) + SMALLEST_LIMIT * 1.001
