"""The kernels on a real GPU, at the network's shapes: against their definitions in FP64, and timed against them."""

from __future__ import annotations

import pytest
import torch

from cstm.bench.kernel_shapes import DTYPES, network_shapes
from cstm.kernels import ops, plain
from cstm.models.config import CSTMConfig

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]

CONFIG = CSTMConfig.from_preset("paper")
N, D = CONFIG.max_words, CONFIG.text_width
SHAPES = network_shapes()
OPERATORS = {"modulate": (ops.modulate, plain.modulate), "select": (ops.select, plain.select)}


def arguments_of(normal, operator: str, shape: tuple[int, ...], dtype: torch.dtype) -> list[torch.Tensor]:
    batch, channels = shape[:2]
    if operator == "modulate":
        return normal(0, dtype, shape, shape, (batch, channels, N), (batch, N), (batch, channels, N))
    maps, joined = normal(0, dtype, shape, shape), 2 * channels + D
    layers = ((batch, D), (channels, joined), (channels,), (2 * channels, channels), (2 * channels,))
    return maps + [layer * 0.05 for layer in normal(1, torch.float32, *layers)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operator, where, shape", SHAPES, ids=lambda value: str(value))
def test_kernels_match_their_definitions(normal, assert_close, operator, where, shape, dtype):
    torch.backends.cuda.matmul.allow_tf32 = False
    kernel, definition = OPERATORS[operator]
    arguments = arguments_of(normal, operator, (2, *shape[1:]), DTYPES[dtype])
    assert_close(kernel(*arguments), definition(*(a.double() for a in arguments)), 5)


@pytest.mark.parametrize("operator, where, shape", SHAPES, ids=lambda value: str(value))
def test_kernels_are_timed(normal, record_property, operator, where, shape):
    from triton.testing import do_bench

    kernel, definition = OPERATORS[operator]
    arguments = arguments_of(normal, operator, shape, torch.float16)
    times = {name: do_bench(lambda f=f: f(*arguments)) for name, f in (("kernel", kernel), ("plain", definition))}
    reads = 5 if operator == "select" else 4
    bandwidth = reads * arguments[0].numel() * 2 / times["kernel"] / 1e6
    for name, value in (times | {"gigabytes_per_second": bandwidth}).items():
        record_property(name, value)
    print(f"{operator} {where} {shape}: {times['kernel']:.4f} ms, plain {times['plain']:.4f} ms, {bandwidth:.0f} GB/s")
