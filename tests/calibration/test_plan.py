"""Precision plans: files that survive the way round, and plans for another network refused."""

import json

import onnx
import pytest

from cstm.calibration.plan import PrecisionPlan, quantisable
from cstm.errors import RequestError


def test_a_plan_survives_its_file(tmp_path):
    plan = PrecisionPlan({"decoder": ("step_1", "head"), "fusion": ()}, {"kind": "searched", "trials": [{"ms": 1.5}]})
    plan.write(tmp_path / "plan.json")
    assert PrecisionPlan.read(tmp_path / "plan.json") == plan


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"int8": {}}', '{"int8": [], "origin": {}}', '{"int8": {"a": 1}, "origin": {}}'],
)
def test_what_is_no_plan_is_refused(text, tmp_path):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(RequestError, match=r"plan\.json: not a precision plan .*; make one with cstm plan"):
        PrecisionPlan.read(tmp_path / "plan.json")


def test_an_absent_or_binary_file_is_no_plan(tmp_path):
    with pytest.raises(RequestError, match="not a precision plan"):
        PrecisionPlan.read(tmp_path / "absent.json")
    (tmp_path / "model.onnx").write_bytes(b"\x08\xff\xfe")
    with pytest.raises(RequestError, match="not a precision plan"):
        PrecisionPlan.read(tmp_path / "model.onnx")


def test_everything_is_all_that_can_be_quantised(fp32_models):
    plan = PrecisionPlan.everything(fp32_models)
    assert plan.int8 == {name: tuple(blocks) for name, blocks in quantisable(fp32_models).items()}
    assert set(plan.int8) == {"spatial_encoder", "temporal_encoder", "decoder"}
    assert "head" in plan.int8["decoder"], "its first convolution can be quantised"
    plan.check(fp32_models)
    assert json.loads(json.dumps(plan.to_dict())) == plan.to_dict()


def test_a_block_that_makes_the_mask_logits_and_nothing_else_cannot_be_quantised(tmp_path):
    nodes = [
        onnx.helper.make_node("Conv", ["x", "merge.0.0.weight"], ["y"]),
        onnx.helper.make_node("Conv", ["y", "head.0.weight"], ["mask_logits"]),
    ]
    last = onnx.helper.make_tensor_value_info("mask_logits", onnx.TensorProto.FLOAT, None)
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [last])), tmp_path / "decoder.onnx")
    assert quantisable({"decoder": tmp_path / "decoder.onnx"}) == {"decoder": ["step_1"]}


@pytest.mark.parametrize(
    ("int8", "said"),
    [
        ({"decoder": ("head", "step_9", "stage_1")}, "names decoder stage_1, step_9, .*; decoder has step_4, "),
        ({"encoder": ()}, "names encoder; the network has text_encoder, spatial_encoder"),
        ({"fusion": ("stage_1",)}, "names fusion stage_1, .*; fusion has nothing to quantise"),
    ],
)
def test_a_plan_for_another_network_is_refused(int8, said, fp32_models):
    with pytest.raises(RequestError, match=said):
        PrecisionPlan(int8).check(fp32_models)
