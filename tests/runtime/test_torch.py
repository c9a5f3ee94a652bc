"""PyTorch's sessions as they run on a GPU: outputs stay where they are made. Here that is the processor."""

import numpy as np
import pytest
import torch
from torch import nn

from cstm.errors import ContractError
from cstm.models.contract import Component, TensorSpec
from cstm.runtime.backends.torch import OnDevice, TorchSession

TWICE = Component("twice", (TensorSpec("x", (3,)),), (TensorSpec("y", (3,)),))
AGAIN = Component("again", (TensorSpec("y", (3,)),), (TensorSpec("x", (3,)),))
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def session(component, stays):
    module = nn.Linear(3, 3, bias=False)
    nn.init.eye_(module.weight)
    module.weight.data *= 2
    made = TorchSession(component, module)
    assert not made.stays and made.device == torch.device("cpu")
    made.stays = stays
    return made


@pytest.mark.parametrize("stays", [False, True])
def test_outputs_go_from_session_to_session(stays):
    first, second = session(TWICE, stays), session(AGAIN, stays)
    y = first.enqueue({"x": VALUES})["y"]
    assert isinstance(y, OnDevice) == stays
    assert (y.shape, y.dtype) == ((2, 3), np.float32)
    np.testing.assert_array_equal(second.run({"y": y})["x"], 4 * VALUES)
    np.testing.assert_array_equal(second.run({"y": y[1:]})["x"], 4 * VALUES[1:])


def test_what_was_given_stays_as_it_was_in_the_next_run():
    made = session(TWICE, stays=True)
    y = made.enqueue({"x": VALUES})["y"].copy()
    made.enqueue({"x": VALUES + 1})
    np.testing.assert_array_equal(y.to_numpy(), 2 * VALUES)


def test_other_inputs_are_refused():
    with pytest.raises(ContractError):
        session(TWICE, stays=True).run({"x": VALUES.astype(np.float64)})
