"""Engines' layers, as TensorRT-RTX's builder tells them."""

import pytest

from cstm.bench.engine_layers import engine_layers, layer, summary
from cstm.errors import EngineError
from cstm.models.contract import FRAME_GRAPH, parts
from cstm.runtime.bundle import Bundle


def tensor(name, sides, dtype, layout="Linear"):
    return (
        f"{{ Name: {name}, Dimensions: [{sides}], Strides: [1], StrideOrder: [0], Datatype: {dtype}, "
        f"Format: ({layout}) in words }}"
    )


def line(name, kind, inputs, outputs):
    return (
        f"Name: {name}, LayerType: {kind}, Inputs: [ {', '.join(inputs)}], Constants: [ {tensor('w', '9,9', 'Half')}], "
        f"Outputs: [ {', '.join(outputs)}], TacticName: t, StreamId: 0, Metadata: [ONNX Layer: x]"
    )


MAPS = tensor("maps", "-1,48,8,8", "Half", "NHWC")
LINES = {
    "conv": line("node_Conv_1_myl0_4", "correlation", [MAPS], [MAPS]),
    "sum": line("__myl_AddReluMean_myl0_6", "kgen", [MAPS, MAPS], [tensor("mean", "-1,48,1,1", "Float")]),
    "move": line("__myl_CastTran_myl0_7", "kgen", [MAPS], [tensor("wide", "-1,48,8,8", "Float")]),
    "wait": "Name: __mye1_myl0_0, LayerType: wait, Inputs: [], Constants: [], Outputs: [], TacticName: , StreamId: 0",
}


def test_a_layer_moves_what_it_reads_and_writes_of_one_sentence_without_weights():
    found = layer(LINES["sum"])
    assert (found.kind, found.read, found.written) == ("kgen", 2 * 48 * 64 * 2, 48 * 4)
    assert found.types == (("Half/NHWC", "Half/NHWC"), ("Float/Linear",))


def test_layers_that_compute_are_told_from_those_that_only_move():
    assert [layer(text).only_moves for text in LINES.values()] == [False, False, True, False]


def test_all_else_in_the_log_is_no_layer():
    assert layer("Building the engine took 3 s") is None


def test_layers_are_summed_up():
    maps = 48 * 64 * 2
    moved = 2 * maps + (2 * maps + 192) + 3 * maps
    assert summary(map(layer, LINES.values())) == {
        "layers": 3,
        "megabytes": round(moved / 1e6, 2),
        "convolutions": round(2 * maps / 1e6, 2),
        "moving": 1,
        "moving_megabytes": round(3 * maps / 1e6, 2),
    }


def test_what_cannot_be_built_says_why(bundle_path, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(EngineError, match=r"frame_graph: tensorrt_rtx could not build it: .*parse"):
        engine_layers(tmp_path / "broken.onnx", parts(Bundle(bundle_path).config)[FRAME_GRAPH], 2)


MOST_LAYERS, MOST_MEGABYTES = 210, 7.0  # TensorRT-RTX 1.7.1 has 206 and 6.91; with maps cast for all: 234 and 8.34


@pytest.mark.slow
def test_a_frame_in_fp16_is_no_more_than_it_was(bundle_path):
    """Of the small bundle. A map in FP32, or one that is written only to be cast or turned, would show here."""
    pytest.importorskip("tensorrt_rtx")
    bundle = Bundle(bundle_path)
    layers = engine_layers(bundle.model(FRAME_GRAPH, "fp16"), parts(bundle.config)[FRAME_GRAPH], bundle.max_batch)
    found = summary(layers)
    assert found["layers"] <= MOST_LAYERS and found["megabytes"] <= MOST_MEGABYTES, found
