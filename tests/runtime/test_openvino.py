"""What OpenVINO is asked to compute in."""

import signal
from types import SimpleNamespace

import numpy as np
import pytest

from cstm.models.config import CSTMConfig
from cstm.models.contract import TEXT_ENCODER, contract
from cstm.runtime.backends import openvino
from cstm.runtime.bundle import Bundle, onnx_file


@pytest.mark.parametrize(
    ("precision", "stored", "text"),
    [
        ("fp32", "fp32", "fp32"),
        ("bf16", "fp32", "fp32"),
        ("int8", "int8", "int8"),
        ("int8_bf16", "int8", "int8"),
    ],
)
def test_the_text_encoder_never_computes_in_bf16(precision, stored, text, monkeypatch):
    """It runs once a sentence, and its rounding would reach every frame."""
    asked = {}
    monkeypatch.setattr(openvino, "OpenVINOSession", lambda specs, path, p, _: asked.update({specs.name: (path, p)}))
    bundle = SimpleNamespace(config=CSTMConfig.from_preset("tiny"), model=onnx_file)
    openvino.make("openvino").open(bundle, precision)
    assert asked.keys() == contract(bundle.config).keys()
    for name, (path, computed) in asked.items():
        assert computed == (text if name == TEXT_ENCODER else precision)
        assert path == f"onnx/{stored}/{name}.onnx"


@pytest.mark.parametrize(
    ("able", "exact", "expected"),
    [
        ({"FP32", "INT8"}, True, ("fp32", "int8")),
        ({"FP32", "INT8", "BF16"}, True, ("fp32", "bf16", "int8", "int8_bf16")),
        ({"FP32", "INT8", "BF16"}, False, ("fp32", "bf16")),
        ({"FP32", "BF16", "FP16", "INT8"}, True, ("fp32", "bf16", "fp16", "int8", "int8_bf16")),
    ],
)
def test_what_the_processor_computes_in_is_offered(able, exact, expected, monkeypatch):
    monkeypatch.setattr(openvino, "_core", lambda: SimpleNamespace(get_property=lambda *_: able))
    monkeypatch.setattr(openvino, "sums_int8_exactly", lambda: exact)
    found, bundle = openvino.make("openvino"), SimpleNamespace(precisions=("fp32", "fp16", "int8"))
    assert found.precisions(bundle) == expected
    for precision in ("int8", "int8_bf16"):
        assert ("saturate" in found.why_not(precision)) == (not exact)
    assert not found.why_not("fp32") and not found.why_not("int4")


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
            raise RuntimeError("Check failed: the callback raised")

    monkeypatch.setattr(openvino, "_core", Core)
    with pytest.raises(KeyboardInterrupt):
        openvino.OpenVINOSession(contract(CSTMConfig.from_preset("tiny"))["decoder"], "decoder.onnx")


def test_a_model_is_compiled_for_one_sentence_and_once_more_for_any_other_number(fp32_models):
    specs = contract(Bundle(fp32_models["decoder"].parents[2]).config)["decoder"]
    rng = np.random.default_rng(0)
    several = {spec.name: rng.standard_normal(spec.with_batch(3)).astype(np.float32) for spec in specs.inputs}
    with openvino.OpenVINOSession(specs, fp32_models["decoder"]) as session:
        ones = [session.run({name: a[i : i + 1] for name, a in several.items()})["mask_logits"] for i in range(3)]
        assert session.requests.keys() == {1}
        model = session.requests[1].get_compiled_model()
        assert model.inputs[0].get_partial_shape().is_static
        for count in (3, 2):
            found = session.run({name: a[:count] for name, a in several.items()})["mask_logits"]
            np.testing.assert_allclose(found, np.concatenate(ones[:count]), atol=1e-4)
        assert len(session.requests) == 2


def test_a_share_of_the_threads_is_taken_and_bound_to_no_core(fp32_models):
    specs = contract(Bundle(fp32_models["fusion"].parents[2]).config)["fusion"]
    with openvino.OpenVINOSession(specs, fp32_models["fusion"], threads=1) as session:
        model = session.requests[1].get_compiled_model()
        assert model.get_property("INFERENCE_NUM_THREADS") == 1
        assert model.get_property("ENABLE_CPU_PINNING") is False
