"""The linked frame as a build makes it."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from cstm.errors import ParityError
from cstm.export import link_frame
from cstm.export.link_frame import LinkFrame
from cstm.export.reference import Reference
from cstm.graph.macs import count_macs
from cstm.graph.upsampling import convolve_half_way
from cstm.models.contract import FRAME_GRAPH, frame_components, frame_graph, program
from cstm.runtime.backends import backend
from cstm.runtime.bundle import Bundle, onnx_file
from cstm.runtime.chain import Chain


@pytest.fixture
def folder(bundle_copy):
    """A build's folder as it is before linking."""
    (bundle_copy / onnx_file(FRAME_GRAPH, "fp32")).unlink()
    return bundle_copy


@pytest.fixture
def reference(folder):
    found = Reference(folder)
    found.write_samples()
    return found


def test_the_frame_is_linked_and_its_weights_stay_where_they_are(folder, reference, listening_steps):
    made = LinkFrame(listening_steps(folder), reference)("fp32")
    assert made.component == FRAME_GRAPH and made.error["absolute"] < 1e-3
    parts = [folder / onnx_file(name, "fp32") for name in frame_components(reference.config)]
    assert made.bytes < 0.2 * sum(file.stat().st_size for file in parts)


def test_in_fp32_convolutions_of_wide_upsampled_maps_are_done_half_way(folder, reference, listening_steps, monkeypatch):
    small = reference.config.decoder_width
    monkeypatch.setattr(link_frame, "convolve_half_way", lambda model: convolve_half_way(model, small))
    made = LinkFrame(listening_steps(folder), reference)("fp32")
    parts = [onnx.load(folder / onnx_file(name, "fp32")) for name in frame_components(reference.config)]
    assert made.macs < sum(map(count_macs, parts)) and made.error["absolute"] < 1e-3


def test_in_other_precisions_they_are_not(folder, reference, monkeypatch):
    monkeypatch.setattr(link_frame, "convolve_half_way", lambda model: pytest.fail("rewritten"))
    monkeypatch.setattr(link_frame, "keep_if_right", lambda *_: {})
    LinkFrame(SimpleNamespace(folder=folder), reference)._write("fp16", "fp16", ())


def test_a_frame_that_answers_otherwise_is_not_kept(folder, reference, listening_steps, monkeypatch):
    def wrong(models, whole):
        linked = link(models, whole)
        for node in linked.graph.node:
            if node.op_type == "Modulate":
                node.input[0], node.input[1] = node.input[1], node.input[0]
        return linked

    link = link_frame.link
    monkeypatch.setattr(link_frame, "link", wrong)
    with pytest.raises(ParityError, match="frame_graph"):
        LinkFrame(listening_steps(folder), reference)("fp32")
    assert not (folder / onnx_file(FRAME_GRAPH, "fp32")).exists()


def test_it_is_linked_anew_where_a_component_is_another(listening_steps, reference):
    steps = listening_steps()
    made = LinkFrame(steps, reference)
    made._write = lambda *_: {}
    (steps.folder / onnx_file(FRAME_GRAPH, "int8_tensorrt")).parent.mkdir(parents=True)
    (steps.folder / onnx_file(FRAME_GRAPH, "int8_tensorrt")).touch()
    made("int8", "tensorrt")
    name = onnx_file(FRAME_GRAPH, "int8_tensorrt")
    assert steps.inputs[name] == {
        "models": {n: f"digest of {onnx_file(n, 'int8_tensorrt')}" for n in frame_components(reference.config)}
    }


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_one_frame_for_several_sentences_is_as_the_components_have_it(bundle_path, name):
    bundle = Bundle(bundle_path)
    inputs, _ = bundle.golden()
    found = backend(name)
    with (
        Chain(bundle.config, found.open_program(bundle, "fp32")) as linked,
        Chain(bundle.config, found.open_program(bundle, "fp32", linked=False)) as one_by_one,
    ):
        assert linked.sessions.keys() == program(bundle.config).keys()
        plan = one_by_one.language_plan(one_by_one.components["text_encoder"].pick(inputs))
        plans = {name: np.concatenate([array, -array, 2 * array]) for name, array in plan.items()}
        pixels = {spec.name: inputs[spec.name] for spec in frame_graph(bundle.config).inputs if spec.once}
        expected = one_by_one.mask_logits(pixels, plans)
        assert np.ptp(expected, axis=0).max() > 1e-3, "the sentences make no difference"
        np.testing.assert_allclose(linked.mask_logits(pixels, plans), expected, atol=1e-4)
