"""What OpenVINO is asked to compute in."""

import signal
from types import SimpleNamespace

import pytest

from cstm.models.config import CSTMConfig
from cstm.models.contract import TEXT_ENCODER, contract
from cstm.runtime.backends import openvino


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_text_encoder_never_computes_in_bf16(precision, monkeypatch):
    """It runs once a sentence, and its rounding would reach every frame."""
    asked = {}
    monkeypatch.setattr(openvino, "OpenVINOSession", lambda specs, path, p: asked.update({specs.name: (path, p)}))
    bundle = SimpleNamespace(config=CSTMConfig.from_preset("tiny"), file=lambda name: name)
    openvino.make("openvino").open(bundle, precision)
    assert asked.keys() == contract(bundle.config).keys()
    for name, (path, computed) in asked.items():
        assert computed == ("fp32" if (name, precision) == (TEXT_ENCODER, "bf16") else precision)
        assert path == f"onnx/{'int8' if precision == 'int8' else 'fp32'}/{name}.onnx"


def test_why_a_model_cannot_be_loaded_is_said():
    error = RuntimeError(
        "Exception from src/inference/src/cpp/core.cpp:126:\nException from src/core/x.cpp:12:\n"
        "Check 'x' failed at src/x.cpp:3:\nUnable to open model.bin\n"
    )
    assert openvino._reason(error) == "Unable to open model.bin"


def test_openvino_is_not_interrupted_in_its_callbacks(monkeypatch, default_interrupts):
    """It calls our operators' converters while it reads; what they raise comes out as its own error."""

    class Core:
        def read_model(self, path):
            signal.raise_signal(signal.SIGINT)
            return path

        def compile_model(self, *_):
            raise RuntimeError("Check failed: the callback raised")

    monkeypatch.setattr(openvino, "_core", Core)
    with pytest.raises(KeyboardInterrupt):
        openvino.OpenVINOSession(contract(CSTMConfig.from_preset("tiny"))["decoder"], "decoder.onnx")
