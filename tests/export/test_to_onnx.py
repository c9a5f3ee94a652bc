"""Networks that the bundle fixture does not cover: the GRU, three convolutions, concatenation, one stream, no CMAM."""

import onnx
import pytest

from cstm.export.to_onnx import export_component
from cstm.export.verify import verify_declaration, verify_values
from cstm.graph.slim import OPSET
from cstm.models.components import component_modules
from cstm.models.config import CSTMConfig
from cstm.models.contract import contract
from cstm.models.seeded import seeded
from cstm.runtime.backends.torch import TorchSession

SMALL = {"size": 32, "spatial_width": 0.125, "temporal_width": 0.125, "transformer_layers": 1}
CONFIGS = {
    "released, small": SMALL
    | {"text": "gru", "vocabulary": 0, "max_words": 20, "lgfs_stages": (), "head_convs": 3, "streams": ("spatial",)},
    "small": SMALL | {"spatial_backbone": "efficientnet_lite0"},
    "no CMAM": SMALL | {"cmam": False, "lgfs_stages": (5,), "streams": ("spatial", "temporal")},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_every_component_is_faithful(name, tmp_path):
    model = seeded(CSTMConfig.from_preset("tiny", **CONFIGS[name]))
    modules = component_modules(model)
    for part, component in contract(model.config).items():
        if name == "no CMAM" and part in ("temporal_encoder", "decoder"):
            continue  # as in the other networks; exporting takes its time
        if name == "small" and part != "spatial_encoder":
            continue
        path = tmp_path / f"{part}.onnx"
        export_component(modules[part], component, path)
        verify_declaration(path, component)
        vocabulary = max(2, model.config.vocabulary)
        session = TorchSession(component, modules[part])
        assert verify_values(path, component, session, "fp32", vocabulary=vocabulary).relative < 1e-4
        exported = onnx.load(path)
        assert exported.opset_import[0].version == OPSET
        operators = {node.op_type for node in exported.graph.node}
        assert "Pad" not in operators
        if name == "small":  # linear and bounded, after (255 x - 127) / 128
            assert operators == {"Cast", "Div", "Mul", "Sub", "Conv", "Clip", "Relu", "Add", "Modulate"}


def test_a_component_without_weights_of_its_own_still_runs(tmp_path):
    """A text encoder without CMAM has no plan to make, a fusion without LGFS does not read the sentence."""
    config = CSTMConfig.from_preset("tiny", **SMALL | {"cmam": False, "lgfs_stages": ()})
    components = contract(config)
    assert [spec.name for spec in components["text_encoder"].outputs] == ["sentence"]
    assert "sentence" not in [spec.name for spec in components["fusion"].inputs]
    assert [spec.name for spec in components["spatial_encoder"].inputs] == ["frame"]


def test_nothing_is_left_that_only_moves_data_or_scales_it(bundle_path):
    """Batch norms are folded, padding belongs to what reads it, and attention is one node a stage."""
    expected = {
        "spatial_encoder": {"Cast", "Div", "Conv", "Relu", "Add", "Modulate", "MaxPool"},
        "temporal_encoder": {"Cast", "Div", "Conv", "Relu", "Add", "Modulate", "MaxPool", "Where", "Concat"}
        | {"Slice", "Squeeze"},
        "fusion": {"Select"},
        "decoder": {"Conv", "Relu", "Concat", "Resize"},
    }
    for name, operators in expected.items():
        graph = onnx.load(bundle_path / f"onnx/fp32/{name}.onnx").graph
        assert {node.op_type for node in graph.node} <= operators, name
        assert sum(node.op_type in ("Modulate", "Select") for node in graph.node) == 5 * (name != "decoder")
