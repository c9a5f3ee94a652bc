"""Blocks: every convolution of the visual components in exactly one, under the name that plans use."""

import onnx

from cstm.graph.blocks import convolutions

STAGES = [f"stage_{stage}" for stage in range(1, 6)]
BLOCKS = {
    "text_encoder": [],
    "spatial_encoder": STAGES,
    "temporal_encoder": STAGES,
    "fusion": [],
    "decoder": ["step_4", "step_3", "step_2", "step_1", "head"],
}


def graph(*weights):
    """A row of convolutions with weights of these names."""
    nodes, tensors = [], ["x", *(f"y{index}" for index in range(len(weights)))]
    for index, weight in enumerate(weights):
        nodes.append(onnx.helper.make_node("Conv", [tensors[index], weight], [tensors[index + 1]], name=weight))
    return onnx.helper.make_graph(nodes, "row", [], [])


def test_blocks_have_the_documented_names_in_order(fp32_models):
    found = {name: list(convolutions(onnx.load(path).graph)) for name, path in fp32_models.items()}
    assert found == BLOCKS


def test_every_convolution_of_the_visual_components_is_in_one_block(fp32_models):
    for name in set(fp32_models) - {"text_encoder"}:
        loaded = onnx.load(fp32_models[name]).graph
        inside = [node.name for nodes in convolutions(loaded).values() for node in nodes]
        assert sorted(inside) == sorted(node.name for node in loaded.node if node.op_type == "Conv"), name


def test_weights_of_a_stage_belong_to_it_whatever_module_holds_them():
    weights = ("encoder.stages.0.0.weight", "encoder.cmam.0.mix.0.weight", "encoder.project.0.0.weight")
    assert {b: len(n) for b, n in convolutions(graph(*weights)).items()} == {"stage_1": 3}
    found = convolutions(graph("fusion.4.weight", "merge.0.0.weight", "head.2.weight", "cmams.0.query.0.weight"))
    assert list(found) == ["stage_5", "step_1", "head"]
