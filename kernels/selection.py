"""`Select`, LGFS's deployed operator, in Triton; `plain.select` is its definition.

Two kernels read the maps: the pools of both streams, then their weighted sum. Between them `plain.stream_scores` makes
the scores: its two matrix products have B rows and are bound by reading the weights once, which cuBLAS does well, so a
kernel of our own would have nothing to save.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from cstm.errors import ContractError
from cstm.kernels.checks import check_maps, check_shapes
from cstm.kernels.launch import Launch
from cstm.kernels.plain import stream_scores
from cstm.kernels.tiles import Tiling, row_means, tile_rows, tiling


@triton.jit
def pool_streams(
    spatial: tl.tensor,
    temporal: tl.tensor,
    channels: tl.tensor,
    positions: tl.tensor,
    pooled: tl.tensor,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
) -> None:
    """Means [B,2E] in FP32, the spatial stream's first. Grid: B * blocks of channels, 2 streams."""
    sample, channel, present = tile_rows(channels, ROWS)
    row = sample * channels + channel
    stream = tl.program_id(1)
    if stream == 0:
        mean = row_means(spatial, row, present, 0, positions, positions, ROWS, SPAN)
    else:
        mean = row_means(temporal, row, present, 0, positions, positions, ROWS, SPAN)
    tl.store(pooled + (2 * sample + stream) * channels + channel, mean, mask=present)


@triton.jit
def blend_streams(
    spatial: tl.tensor,
    temporal: tl.tensor,
    scores: tl.tensor,
    channels: tl.tensor,
    positions: tl.tensor,
    out: tl.tensor,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
) -> None:
    """w_s * S + w_t * V, weights from scores [B,2E]. Grid: B * blocks of channels, spans of positions."""
    sample, channel, present = tile_rows(channels, ROWS)
    place = scores + 2 * sample * channels + channel
    score_spatial = tl.load(place, mask=present, other=0.0).to(tl.float32)
    score_temporal = tl.load(place + channels, mask=present, other=0.0).to(tl.float32)
    # The softmax of a pair. Neither weight is one minus the other: that would round a small one away.
    weight_spatial = tl.sigmoid(score_spatial - score_temporal)
    weight_temporal = tl.sigmoid(score_temporal - score_spatial)
    position = tl.program_id(1) * SPAN + tl.arange(0, SPAN)
    place = (sample * channels + channel).to(tl.int64)[:, None] * positions + position[None, :]
    mask = present[:, None] & (position < positions)[None, :]
    s = tl.load(spatial + place, mask=mask, other=0.0).to(tl.float32)
    v = tl.load(temporal + place, mask=mask, other=0.0).to(tl.float32)
    chosen = weight_spatial[:, None] * s + weight_temporal[:, None] * v
    tl.store(out + place, chosen.to(out.dtype.element_ty), mask=mask)


def select_triton(
    spatial: Tensor,
    temporal: Tensor,
    sentence: Tensor,
    squeeze_weight: Tensor,
    squeeze_bias: Tensor,
    select_weight: Tensor,
    select_bias: Tensor,
) -> Tensor:
    """As `plain.select`, on the GPU, or anywhere under TRITON_INTERPRET=1.

    S and V: one shape [B,E,...] and one dtype, FP16, BF16 or FP32, contiguous. Sentence, weights and biases: one of
    these dtypes, the same for all, with shapes as `plain.select` has them. ContractError otherwise.
    """
    check_maps(spatial=spatial, temporal=temporal)
    batch, width = spatial.shape[:2]
    hidden, text_width = squeeze_weight.shape[0], sentence.shape[-1]
    layers = {
        "sentence": (sentence, (batch, text_width)),
        "squeeze_weight": (squeeze_weight, (hidden, 2 * width + text_width)),
        "squeeze_bias": (squeeze_bias, (hidden,)),
        "select_weight": (select_weight, (2 * width, hidden)),
        "select_bias": (select_bias, (2 * width,)),
    }
    check_shapes(spatial.device, layers)
    if len({value.dtype for value, _ in layers.values()}) > 1:
        raise ContractError(f"{', '.join(layers)} must be of one dtype")
    pooled, pool = pooling(spatial, temporal)
    pool.run()
    scores = stream_scores(pooled, sentence, squeeze_weight, squeeze_bias, select_weight, select_bias)
    out, blend = blending(spatial, temporal, scores)
    blend.run()
    return out


def pooling(spatial: Tensor, temporal: Tensor) -> tuple[Tensor, Launch]:
    """Memory for the means of contiguous maps [B,E,...], [B,2E] in FP32, and the launch that fills it."""
    cut, batch, width, positions = _cut(spatial)
    pooled = torch.empty(batch, 2 * width, dtype=torch.float32, device=spatial.device)
    grid = (batch * cut.blocks(width), 2)
    arguments = (spatial, temporal, width, positions, pooled)
    return pooled, Launch(pool_streams, grid, arguments, {"ROWS": cut.rows, "SPAN": cut.span})


def blending(spatial: Tensor, temporal: Tensor, scores: Tensor) -> tuple[Tensor, Launch]:
    """Memory for the weighted sum of contiguous maps [B,E,...], and the launch that fills it from scores [B,2E]."""
    cut, batch, width, positions = _cut(spatial)
    out = torch.empty_like(spatial)
    grid = (batch * cut.blocks(width), triton.cdiv(positions, cut.span))
    arguments = (spatial, temporal, scores, width, positions, out)
    return out, Launch(blend_streams, grid, arguments, {"ROWS": cut.rows, "SPAN": cut.span})


def _cut(maps: Tensor) -> tuple[Tiling, int, int, int]:
    batch, width, *sides = maps.shape
    positions = math.prod(sides)
    return tiling(width, positions), batch, width, positions
