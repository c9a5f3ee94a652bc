"""`Modulate` and `Select` as operators of PyTorch, `cstm::modulate` and `cstm::select`.

Opaque to export, plain on the CPU, Triton on CUDA. For inference: they have no gradient. Importing this module
registers them; it needs no Triton.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

from cstm.kernels import plain


@torch.library.custom_op("cstm::modulate", mutates_args=())
def modulate(x: Tensor, u: Tensor, key: Tensor, bias: Tensor, gate: Tensor) -> Tensor:
    """As `plain.modulate`. On CUDA, maps that are contiguous go to Triton where it is installed."""
    return plain.modulate(x, u, key, bias, gate)


@torch.library.custom_op("cstm::select", mutates_args=())
def select(
    spatial: Tensor,
    temporal: Tensor,
    sentence: Tensor,
    squeeze_weight: Tensor,
    squeeze_bias: Tensor,
    select_weight: Tensor,
    select_bias: Tensor,
) -> Tensor:
    """As `plain.select`. On CUDA, maps that are contiguous go to Triton where it is installed."""
    return plain.select(spatial, temporal, sentence, squeeze_weight, squeeze_bias, select_weight, select_bias)


# The definitions, run on tensors without data, give the result's shape, dtype and strides.
modulate.register_fake(plain.modulate)
select.register_fake(plain.select)


@modulate.register_kernel("cuda")
def _modulate_cuda(x: Tensor, u: Tensor, *language_plan: Tensor) -> Tensor:
    if not _for_triton(x, u):
        return plain.modulate(x, u, *language_plan)
    from cstm.kernels.modulation import modulate_triton

    return modulate_triton(x, u, *language_plan)


@select.register_kernel("cuda")
def _select_cuda(spatial: Tensor, temporal: Tensor, *layers: Tensor) -> Tensor:
    if not _for_triton(spatial, temporal):
        return plain.select(spatial, temporal, *layers)
    from cstm.kernels.selection import select_triton

    return select_triton(spatial, temporal, *layers)


def _for_triton(*maps: Tensor) -> bool:
    """Other layouts are the definition's: a copy of the maps would cost more than the kernels save."""
    return find_spec("triton") is not None and all(m.is_contiguous() and m.dtype != torch.float64 for m in maps)
