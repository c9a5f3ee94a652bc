"""What a model's step depends on, and how it is checked before it is kept."""

from types import SimpleNamespace

import onnx
import pytest
from onnx import TensorProto, helper

from cstm.calibration.audit import Finding
from cstm.calibration.plan import PrecisionPlan
from cstm.calibration.samples import CalibrationOptions
from cstm.export import make_models
from cstm.export.make_models import MakeModels
from cstm.models.config import CSTMConfig
from cstm.models.contract import contract
from cstm.runtime.bundle import onnx_file
from cstm.runtime.tolerance import Difference

CONFIG = CSTMConfig.from_preset("tiny", size=32)
CALIBRATION = CalibrationOptions()
PRECISIONS = ("fp32", "fp16", "int8", "int8_tensorrt")


@pytest.fixture
def checks(monkeypatch):
    """How every model was compared with PyTorch; nothing is computed."""
    made = []

    def verify(path, component, session, precision, *_, without=(), **options):
        made.append((component.name, precision, without, options))
        return Difference(0.0, 0.0, 1.0)

    monkeypatch.setattr(make_models, "verify_values", verify)

    def keep(path, component, compare):
        compare()
        return {}

    monkeypatch.setattr(make_models, "keep_if_right", keep)
    monkeypatch.setattr(make_models, "export_component", lambda *_: None)
    monkeypatch.setattr(make_models, "count_macs", lambda model: 1)
    return made


@pytest.fixture
def make(tmp_path, listening_steps):
    """Models of one little graph each, from options."""
    value = helper.make_tensor_value_info("shared", TensorProto.FLOAT, [1])
    nodes = [helper.make_node("Identity", ["x"], ["shared"], name="first")]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])], [value])
    components = contract(CONFIG)
    for name in components:
        for precision in PRECISIONS:
            path = tmp_path / onnx_file(name, precision)
            path.parent.mkdir(parents=True, exist_ok=True)
            onnx.save(helper.make_model(graph), path)
    session = SimpleNamespace(module=None)
    reference = SimpleNamespace(
        config=CONFIG,
        components=components,
        reader=None,
        sessions=dict.fromkeys(components, session),
        component_samples={name: {} for name in components},
    )

    def make(calibration=CALIBRATION, blocks=()):
        models = MakeModels(listening_steps(), reference, calibration)
        models.plan = PrecisionPlan({"decoder": tuple(blocks)})
        models._macs = dict.fromkeys(components, 1)
        models.quantiser = SimpleNamespace(write=lambda *_: {"quantised": 1})
        return models

    return make


def test_int8_is_made_anew_for_another_plan_or_calibration(make, checks):
    seen = []
    for options in ({}, {"calibration": CalibrationOptions(samples=40)}, {"blocks": ["head"]}):
        models = make(**options)
        models.int8("decoder", "cpu")
        seen.append(models.steps.inputs[onnx_file("decoder", "int8")])
    assert seen[0] != seen[1] and seen[0] != seen[2]


def test_fp16_keeps_what_was_found_in_its_own_component(make, checks, monkeypatch):
    kept = []
    monkeypatch.setattr(make_models, "convert_to_fp16", lambda model, real, keep: kept.append(keep) or model)
    models = make()
    findings = [Finding("decoder", "shared", "first", 1e5, 0.0, "reaches 1e5")]
    for name in ("decoder", "fusion"):
        models.fp16(name, findings)
    assert kept == [["first"], []]
    assert [models.steps.inputs[onnx_file(name, "fp16")]["keep"] for name in ("decoder", "fusion")] == kept


def test_every_precision_is_held_to_its_own_tolerance(make, checks, monkeypatch):
    monkeypatch.setattr(make_models, "convert_to_fp16", lambda model, real, keep: model)
    models = make()
    models.fp32("decoder")
    models.fp16("decoder", [])
    for form in ("cpu", "tensorrt"):
        models.int8("decoder", form)
    assert [(precision, bool(without)) for _, precision, without, _ in checks] == [
        ("fp32", False),
        ("fp16", False),
        ("int8", False),
        ("int8", True),  # ONNX Runtime's optimisers would alter what this form computes
    ]
    assert checks[0][3] == {"vocabulary": max(CONFIG.vocabulary, 2)}
