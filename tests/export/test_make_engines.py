"""What an engine's step depends on, and what the manifest says of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from cstm.export import engines, make_engines
from cstm.export.engines import EngineOptions
from cstm.export.make_engines import MakeEngines
from cstm.models.config import CSTMConfig
from cstm.models.contract import contract
from cstm.runtime.bundle import engine_file, onnx_file
from cstm.runtime.manifest import BuiltWith

CONFIG = CSTMConfig.from_preset("tiny", size=32)


@pytest.fixture
def make(listening_steps, monkeypatch):
    """(made, record, inputs, what was asked of BuildAttention) of the decoder's engine, on a fake GPU."""

    def make(precision="fp16", attention="native", gpu="GPU", version="1", **options):
        asked = {}

        class Build:
            def __init__(self, component, options, requested, cache, inputs):
                asked.update(options=options, requested=requested, inputs=inputs())

            def __call__(self, model, target):
                asked["model"] = model
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(b"engine")
                return {"attention": attention}

        monkeypatch.setattr(make_engines, "BuildAttention", Build)
        for module in (engines, make_engines):
            monkeypatch.setattr(module, "cuda_device", lambda: gpu)
        monkeypatch.setattr(engines, "tensorrt_version", lambda backend: version)
        samples = {"decoder": {"fused_1": np.arange(6).reshape(3, 2)}}
        reference = SimpleNamespace(config=CONFIG, components=contract(CONFIG), component_samples=samples)
        steps = listening_steps()
        made, record = MakeEngines(steps, reference, EngineOptions("tensorrt", **options), attention)(
            "decoder", precision
        )
        return made, record, steps.inputs[record.file], asked

    return make


def test_what_an_engine_is_tied_to_is_recorded(make):
    made, record, _, asked = make(attention="plugin")
    assert record.built_with == BuiltWith("1", "GPU", "plugin")
    assert (record.file, made.attention) == (engine_file("decoder", "fp16", "tensorrt"), "plugin")
    assert asked["inputs"]["fused_1"].tolist() == [[0, 1]]  # engines are measured at batch 1


def test_an_engine_is_made_anew_where_anything_it_depends_on_is_another(make):
    first = make()[2]
    changes = (
        {"max_batch": 8},
        {"hardware_compatible": True},
        {"version_compatible": True},
        {"attention": "plugin"},
        {"gpu": "another GPU"},
        {"version": "2"},
        {"precision": "int8"},
    )
    assert [change for change in changes if make(**change)[2] == first] == []


@pytest.mark.parametrize(("precision", "source"), [("fp16", "fp16"), ("int8", "int8_tensorrt")])
def test_int8_engines_are_made_of_tensorrts_form(make, tmp_path, precision, source):
    assert make(precision)[3]["model"] == tmp_path / onnx_file("decoder", source)


def test_engines_of_rtx_are_tied_to_no_gpu(monkeypatch):
    monkeypatch.setattr(engines, "cuda_device", lambda: "GPU")
    monkeypatch.setattr(engines, "tensorrt_version", lambda backend: "1")
    assert engines.built_with(EngineOptions("tensorrt", plugins=True)) == BuiltWith("1", "GPU", "plugin")
    assert engines.built_with(EngineOptions("tensorrt_rtx")) == BuiltWith("1", None)
    both = EngineOptions("tensorrt", hardware_compatible=True, version_compatible=True)
    assert engines.built_with(both) == BuiltWith("1", "GPU", "native", True, True)
