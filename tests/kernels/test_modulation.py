"""`Modulate` in Triton against its plain definition in FP64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cstm.errors import ContractError
from cstm.kernels import plain
from cstm.kernels.modulation import modulate_triton
from cstm.kernels.tiles import TILE, tiling

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # NumPy's, in the interpreter

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
SIDES = st.lists(st.integers(1, 9), min_size=2, max_size=3)
INF, NAN = math.inf, math.nan


def shapes(batch, channels, sides, words):
    maps, language_plan = (batch, channels, *sides), (batch, channels, words)
    return maps, maps, language_plan, (batch, words), language_plan


def exact(arguments):
    return plain.modulate(*(a.double() for a in arguments))


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(1, 41), SIDES, st.integers(1, 25), st.sampled_from(DTYPES), st.integers(0, 99))
def test_any_shape_and_dtype(normal, assert_close, batch, channels, sides, words, dtype, seed):
    arguments = normal(seed, dtype, *shapes(batch, channels, sides, words))
    got = modulate_triton(*arguments)
    assert got.dtype == dtype and got.shape == arguments[0].shape
    assert_close(got, exact(arguments), 5)


@pytest.mark.parametrize(
    "sides, channels",
    [((3, 41, 53), 5), ((2 * TILE,), 3), ((TILE + 1,), 2), ((16,), 130), ((1, 1), 260)],
)
def test_maps_cut_into_many_tiles(normal, assert_close, sides, channels):
    arguments = normal(1, torch.float32, *shapes(2, channels, sides, 7))
    assert_close(modulate_triton(*arguments), exact(arguments), 5)


def test_many_words(normal, assert_close):
    arguments = normal(2, torch.float32, *shapes(1, 9, (3, 3), 300))
    assert_close(modulate_triton(*arguments), exact(arguments), 5)


@pytest.mark.parametrize("dtype, size", [(torch.float16, 6e4), (torch.bfloat16, 3e38), (torch.float32, 3e38)])
def test_sums_beyond_the_dtype_do_not_overflow(normal, assert_close, dtype, size):
    x, u, key, bias, gate = normal(3, dtype, *shapes(2, 3, (31, 67), 4))
    u = torch.full_like(u, size)
    key = key / 8
    got = modulate_triton(torch.zeros_like(x), u, key, bias, gate)
    want = exact((torch.zeros_like(x), u, key, bias, gate))
    assert got.isfinite().all()
    assert_close(got / size, want / size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros(normal, assert_close, dtype):
    x, u, key, bias, gate = normal(4, dtype, *shapes(2, 5, (3, 7), 6))
    assert torch.equal(modulate_triton(x, torch.zeros_like(u), key, bias, gate), x)
    assert torch.equal(modulate_triton(x, u, key, bias, torch.zeros_like(gate)), x)
    no_logits = (x, u, torch.zeros_like(key), torch.zeros_like(bias), gate)
    assert_close(modulate_triton(*no_logits), exact(no_logits), 5)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_logits_whose_squares_leave_fp32(normal, assert_close, size):
    x, u, key, bias, gate = normal(5, torch.float32, *shapes(2, 5, (3, 7), 6))
    arguments = (x, u, key * size, bias * size, gate)
    assert_close(modulate_triton(*arguments), exact(arguments), 5)


def test_gates_that_saturate(normal, assert_close):
    x, u, key, bias, gate = normal(6, torch.float32, *shapes(1, 4, (3, 5), 3))
    arguments = (x, u, key, bias, gate * 1e30)
    assert_close(modulate_triton(*arguments), exact(arguments), 5)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_bad_value_stays_in_its_sample(normal, bad):
    x, u, key, bias, gate = normal(7, torch.float32, *shapes(3, 5, (3, 7), 6))
    clean = modulate_triton(x, u, key, bias, gate)
    u[1, 2, 1, 3] = bad
    got = modulate_triton(x, u, key, bias, gate)
    assert torch.equal(got[[0, 2]], clean[[0, 2]])
    assert torch.equal(got.isnan(), plain.modulate(x, u, key, bias, gate).isnan())
    assert got[1].isnan().all()


@pytest.mark.parametrize("index", range(2, 5))
def test_nan_in_the_language_plan(normal, index):
    arguments = normal(8, torch.float32, *shapes(2, 5, (3, 7), 6))
    arguments[index][0, 0] = NAN
    assert torch.equal(modulate_triton(*arguments).isnan(), plain.modulate(*arguments).isnan())


def test_a_sample_does_not_depend_on_its_batch(normal):
    arguments = normal(9, torch.float16, *shapes(3, 5, (41, 53), 6))
    together = modulate_triton(*arguments)
    assert torch.equal(together[1:2], modulate_triton(*(a[1:2] for a in arguments)))


def test_the_language_plan_may_have_any_strides(normal):
    x, u, key, bias, gate = normal(10, torch.float32, *shapes(2, 5, (3, 7), 6))
    strided = (key.mT.contiguous().mT, bias, gate.mT.contiguous().mT)
    assert torch.equal(modulate_triton(x, u, *strided), modulate_triton(x, u, key, bias, gate))


def test_refusals(normal):
    x, u, key, bias, gate = normal(11, torch.float32, *shapes(2, 5, (3, 7), 6))
    cases = {
        "x is torch.float64": (x.double(), u.double(), key, bias, gate),
        "u is not contiguous": (x, u.to(memory_format=torch.channels_last), key, bias, gate),
        "u is torch.float16": (x, u.half(), key, bias, gate),
        r"x has shape \(2, 5\)": (x[..., 0, 0], u[..., 0, 0], key, bias, gate),
        "no empty axis": (x[:0], u[:0], key[:0], bias[:0], gate[:0]),
        r"key has shape \(2, 4, 6\), expected \(2, 5, 6\)": (x, u, key[:, :4], bias, gate),
        r"gate has shape \(2, 5, 5\)": (x, u, key, bias, gate[..., :5]),
        "bias has shape": (x, u, key, bias[:1], gate),
        "bias is torch.int64": (x, u, key, bias.long(), gate),
    }
    for message, arguments in cases.items():
        with pytest.raises(ContractError, match=message):
            modulate_triton(*arguments)


@pytest.mark.parametrize("positions, words", [(1, 1), (100, 24), (102400, 20), (400, 1000), (7, 5000)])
def test_tiles_fit_a_program(positions, words):
    cut = tiling(2048, positions, words)
    assert cut.rows * cut.span <= TILE and cut.words >= words
    assert cut.rows == 1 or cut.rows * cut.words <= 2 * TILE
    share = cut.share(2048, positions)
    assert share % cut.span == 0 and math.ceil(positions / share) * cut.blocks(2048) <= max(512, cut.blocks(2048))
