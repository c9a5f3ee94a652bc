"""CMAM's keys folded in training, against the plain form: values, gradients and running statistics."""

import copy

import pytest
import torch

from cstm.models.cmam import CMAM, attend
from cstm.training.fold import attend_folded, fold_keys


@pytest.mark.parametrize("shape", [(3, 5, 6, 7), (2, 5, 3, 4, 5)])
def test_the_folded_keys_are_the_plain_ones(shape):
    torch.manual_seed(0)
    plain = CMAM(5, 9, len(shape) - 2).double().train()
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    folded = copy.deepcopy(plain)
    fold_keys(folded)
    x, words = torch.randn(shape, dtype=torch.float64), torch.randn(shape[0], 4, 9, dtype=torch.float64)
    outputs, gradients = [], []
    for module in (plain, folded):
        given = x.clone().requires_grad_()
        out = module(given, words)
        (out * torch.linspace(0, 1, out.numel(), dtype=torch.float64).reshape(out.shape)).sum().backward()
        outputs.append(out)
        gradients.append([given.grad, *(p.grad for p in module.parameters())])
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(plain.state_dict(), folded.state_dict())


def test_under_autocast_the_sums_stay_in_float32():
    torch.manual_seed(0)
    module = CMAM(16, 32, 2).train()
    torch.nn.init.normal_(module.gate.weight)
    fold_keys(module)
    u, words = torch.randn(2, 16, 9, 9).relu(), torch.randn(2, 5, 32)
    expected = module.word_weights(u, words)
    with torch.autocast("cpu", torch.bfloat16):
        found = module.word_weights(u, words)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0)


def test_in_evaluation_the_mean_of_keys_is_the_key_of_the_mean():
    torch.manual_seed(0)
    plain = CMAM(5, 9, 2).train()
    torch.nn.init.normal_(plain.gate.weight)  # it starts at zero, and nothing would make a difference
    plain(3 * torch.randn(4, 5, 4, 4) + 1, torch.randn(4, 3, 9))  # running statistics unlike a batch's own
    plain.eval()
    folded = copy.deepcopy(plain)
    fold_keys(folded)
    x, words = torch.randn(2, 5, 4, 4), torch.randn(2, 3, 9)
    torch.testing.assert_close(plain(x, words), folded(x, words))
    torch.testing.assert_close(plain.state_dict(), folded.state_dict(), rtol=0, atol=0)


def test_the_fold_is_a_strategy_and_no_weight():
    plain = CMAM(5, 9, 2)
    folded = copy.deepcopy(plain)
    fold_keys(folded)
    strategies = [module.attention for module in (plain, folded, copy.deepcopy(folded))]
    assert strategies == [attend, attend_folded, attend_folded]
    assert list(plain.state_dict()) == list(folded.state_dict())
    assert "word_weights" not in vars(folded)
