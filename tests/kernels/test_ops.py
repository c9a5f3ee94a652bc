"""The operators as PyTorch sees them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from cstm.kernels import ops, plain

MODULATE = ((2, 5, 3, 7), (2, 5, 3, 7), (2, 5, 6), (2, 6), (2, 5, 6))
SELECT = ((2, 4, 3, 7), (2, 4, 3, 7), (2, 6), (3, 14), (3,), (8, 3), (8,))
CASES = [(ops.modulate, plain.modulate, MODULATE), (ops.select, plain.select, SELECT)]


@pytest.mark.parametrize("operator, definition, shapes", CASES)
def test_the_operators_are_sound_and_plain(normal, operator, definition, shapes):
    arguments = normal(0, torch.float32, *shapes)
    torch.library.opcheck(operator, tuple(arguments), test_utils=("test_schema", "test_faketensor"))
    torch.testing.assert_close(operator(*arguments), definition(*arguments), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("operator, definition, shapes", CASES)
def test_other_layouts_are_the_definitions(normal, operator, definition, shapes):
    arguments = normal(1, torch.float32, *shapes)
    arguments[:2] = [a.to(memory_format=torch.channels_last) for a in arguments[:2]]
    got = operator(*arguments)
    assert torch.equal(got, definition(*arguments)) and got.is_contiguous(memory_format=torch.channels_last)


def test_definitions_round_half_precision_once(normal, assert_close):
    for dtype in (torch.float16, torch.bfloat16):
        arguments = normal(2, dtype, *MODULATE)
        assert_close(plain.modulate(*arguments), plain.modulate(*(a.double() for a in arguments)), 5)


def test_operators_need_no_triton():
    code = "import sys; sys.modules['triton'] = None; import torch, cstm.kernels.ops; print(torch.ops.cstm.modulate)"
    assert "cstm.modulate" in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
