"""`Select` in Triton against its plain definition in FP64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cstm.errors import ContractError
from cstm.kernels import plain
from cstm.kernels.selection import select_triton

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # NumPy's, in the interpreter

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
SIDES = st.lists(st.integers(1, 9), min_size=2, max_size=3)


def shapes(batch, width, sides, text_width=6):
    maps, joined = (batch, width, *sides), 2 * width + text_width
    return maps, maps, (batch, text_width), (width, joined), (width,), (2 * width, width), (2 * width,)


def exact(arguments):
    return plain.select(*(a.double() for a in arguments))


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(1, 41), SIDES, st.sampled_from(DTYPES), st.integers(0, 99))
def test_any_shape_and_dtype(normal, assert_close, batch, width, sides, dtype, seed):
    maps_shapes, layer_shapes = shapes(batch, width, sides)[:2], shapes(batch, width, sides)[2:]
    arguments = normal(seed, dtype, *maps_shapes) + normal(seed + 1, torch.float32, *layer_shapes)
    got = select_triton(*arguments)
    assert got.dtype == dtype and got.shape == arguments[0].shape
    assert_close(got, exact(arguments), 5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layers_of_the_maps_dtype(normal, dtype):
    arguments = normal(0, dtype, *shapes(2, 9, (3, 5)))
    got, want = select_triton(*arguments).double(), exact(arguments)
    torch.testing.assert_close(got, want, rtol=0, atol=20 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("sides, width", [((3, 41, 53), 5), ((61, 67), 3), ((2, 2), 300)])
def test_maps_cut_into_many_tiles(normal, assert_close, sides, width):
    arguments = normal(1, torch.float32, *shapes(2, width, sides))
    assert_close(select_triton(*arguments), exact(arguments), 20)


@pytest.mark.parametrize("dtype, size", [(torch.float16, 6e4), (torch.bfloat16, 3e38), (torch.float32, 3e38)])
def test_sums_beyond_the_dtype_do_not_overflow(normal, assert_close, dtype, size):
    maps, layers = shapes(2, 3, (31, 67))[:2], shapes(2, 3, (31, 67))[2:]
    arguments = [torch.full_like(m, size) for m in normal(2, dtype, *maps)] + normal(2, torch.float32, *layers)
    arguments[3] = arguments[3] / size
    got = select_triton(*arguments)
    assert got.isfinite().all()
    assert_close(got / size, exact(arguments) / size)


def test_a_small_weight_is_not_rounded_away(normal, assert_close):
    arguments = normal(3, torch.float32, *shapes(1, 2, (3, 3)))
    arguments[0], arguments[5], arguments[6] = arguments[0] * 0, arguments[5] * 0, arguments[6] * 0
    arguments[6][:2] = 40.0
    got, want = select_triton(*arguments), exact(arguments)
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=0)
    assert got.abs().min() > 0


def test_nan_stays_in_its_sample(normal):
    arguments = normal(4, torch.float32, *shapes(3, 5, (3, 7)))
    clean = select_triton(*arguments)
    arguments[1][1, 2, 1, 3] = math.nan
    got = select_triton(*arguments)
    assert torch.equal(got[[0, 2]], clean[[0, 2]])
    assert torch.equal(got.isnan(), plain.select(*arguments).isnan())


def test_refusals(normal):
    arguments = normal(5, torch.float32, *shapes(2, 4, (3, 7)))
    cases = {
        "temporal is not contiguous": (1, arguments[1].to(memory_format=torch.channels_last)),
        r"temporal is torch.float32 \[2, 4, 3, 6\]": (1, arguments[1][..., :6].contiguous()),
        "must be of one dtype": (2, arguments[2].half()),
        r"squeeze_weight has shape \(4, 13\), expected \(4, 14\)": (3, arguments[3][:, 1:]),
        "select_bias has shape": (6, arguments[6][1:]),
    }
    for message, (index, value) in cases.items():
        with pytest.raises(ContractError, match=message):
            select_triton(*arguments[:index], value, *arguments[index + 1 :])


def test_the_definition_is_lgfs(normal):
    from cstm.models.lgfs import LGFS

    spatial, temporal, sentence, *_ = normal(6, torch.float32, *shapes(2, 4, (3, 7)))
    module = LGFS(4, 6).to(spatial.device)
    layers = (module.squeeze.weight, module.squeeze.bias, module.select.weight, module.select.bias)
    with torch.inference_mode():
        want = module([spatial, temporal], sentence)
        torch.testing.assert_close(plain.select(spatial, temporal, sentence, *layers), want, rtol=1e-6, atol=1e-6)
