import numpy as np
import pytest

from cstm.errors import ContractError
from cstm.models.config import PRESETS, CSTMConfig
from cstm.models.contract import chain_inputs, check_arrays, contract


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda p: p.preset)
def test_every_input_is_made_before_it_is_needed(preset):
    known = {spec.name: spec for spec in chain_inputs(preset)}
    for component in contract(preset).values():
        for spec in component.inputs:
            assert known[spec.name] == spec
        known |= {spec.name: spec for spec in component.outputs}
    assert "mask_logits" in known


def test_what_enters_the_chain():
    assert [s.name for s in chain_inputs(PRESETS["tiny"])] == ["token_ids", "token_mask", "frame", "clip"]
    spatial = CSTMConfig.from_preset("released", streams=("spatial",))
    assert [s.name for s in chain_inputs(spatial)] == ["word_vectors", "frame"]


def arrays(**changes):
    component = contract(PRESETS["tiny"])["decoder"]
    return component, {s.name: np.zeros(s.with_batch(2), s.dtype) for s in component.inputs} | changes


def test_good_arrays_tell_their_batch():
    component, given = arrays()
    assert component.check_inputs(given) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extra": np.zeros(1)}, "not expected"),
        ({"fused_1": np.zeros((2, 48, 64), np.float32)}, "has 3 axes"),
        ({"fused_2": np.zeros((3, 48, 32, 32), np.float32)}, "has shape"),
        ({"fused_3": np.zeros((2, 48, 16, 16), np.float64)}, "is float64"),
    ],
)
def test_wrong_arrays_are_named(changes, said):
    component, given = arrays(**changes)
    with pytest.raises(ContractError, match=said):
        check_arrays("decoder", component.inputs, given)
