"""A wrong file must not pass: names first, then axes, shapes, values."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from cstm.errors import ContractError, ParityError
from cstm.export.verify import verify_chain, verify_declaration, verify_values
from cstm.models.contract import TensorSpec, contract
from cstm.runtime.backends import backend
from cstm.runtime.bundle import GOLDEN, Bundle, onnx_file


@pytest.fixture(scope="module")
def decoder(bundle_path):
    bundle = Bundle(bundle_path)
    reference = backend("torch").open(bundle, "fp32", ["decoder"])["decoder"]
    return bundle.file(onnx_file("decoder", "fp32")), contract(bundle.config)["decoder"], reference


def test_what_was_exported_passes(decoder):
    path, component, reference = decoder
    verify_declaration(path, component)
    assert verify_values(path, component, reference, "fp32").relative < 1e-4


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (TensorSpec("mask", (1, 64, 64)), "outputs are"),
        (TensorSpec("mask_logits", (1, 32, 32)), "has axes"),
        (TensorSpec("mask_logits", (1, 64, 64), "uint8"), "is of type"),
    ],
)
def test_another_declaration_is_refused(decoder, spec, said):
    path, component, _ = decoder
    with pytest.raises(ContractError, match=said):
        verify_declaration(path, replace(component, outputs=(spec,)))


def test_a_fixed_batch_is_refused(decoder, tmp_path):
    path, component, _ = decoder
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "fixed.onnx")
    with pytest.raises(ContractError, match="dynamic batch"):
        verify_declaration(tmp_path / "fixed.onnx", component)


@pytest.mark.parametrize("value", [1.001, np.nan])
def test_other_values_are_refused(decoder, tmp_path, value):
    path, component, reference = decoder
    model = onnx.load(path)
    weight = next(w for w in model.graph.initializer if w.dims and w.dims[-1] == 3)
    array = onnx.numpy_helper.to_array(weight) * np.float32(value)
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ParityError, match="mask_logits differs"):
        verify_values(tmp_path / "other.onnx", component, reference, "fp32")


@pytest.fixture
def chain_check(bundle_path, tmp_path):
    """Checks the bundle's FP32 chain against its recorded logits, moved by so much."""
    bundle = Bundle(bundle_path)
    models = {name: bundle.file(onnx_file(name, "fp32")) for name in contract(bundle.config)}

    def check(moved: float):
        with np.load(bundle.file(GOLDEN)) as arrays:
            recorded = dict(arrays)
        scale = float(np.abs(recorded["mask_logits"]).max())
        recorded["mask_logits"] = recorded["mask_logits"] + np.float32(moved)
        np.savez(tmp_path / "golden.npz", **recorded)
        return scale, lambda: verify_chain(bundle.config, models, tmp_path / "golden.npz", "fp32")

    return check


def test_the_whole_chain_is_compared(chain_check):
    assert chain_check(0)[1]()["absolute"] < 1e-4
    with pytest.raises(ParityError, match="the whole chain in fp32 differs"):
        chain_check(0.5)[1]()


def test_the_chain_is_judged_strictly(chain_check):
    """A component's tolerance would grow with the logits' size."""
    scale, check = chain_check(2e-4)
    assert scale > 3
    with pytest.raises(ParityError):
        check()
