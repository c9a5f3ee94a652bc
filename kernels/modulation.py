"""`Modulate`, CMAM's deployed operator, in Triton; `plain.modulate` is its definition.

Three kernels. The first reads U and sums its share of the words' logits: since logits are linear in the mean, each
program multiplies its own part of the mean with its rows of the key. The second, one small program a sample, adds the
parts up and makes them weights. The third reads X and U, makes its channels' gate from the weights, and writes X.
Big tensors are thus read twice (U) or once (X); the second reading of U finds it in the L2 cache where it fits.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from cstm.kernels.checks import check_maps, check_shapes
from cstm.kernels.launch import Launch
from cstm.kernels.tiles import row_means, tile_rows, tiling

PARTS = 64  # partial logits that `weigh_words` adds at once


@triton.jit
def score_words(
    u: tl.tensor,
    key: tl.tensor,
    channels: tl.tensor,
    positions: tl.tensor,
    words: tl.tensor,
    share: tl.tensor,
    parts: tl.tensor,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
    WORDS: tl.constexpr,
) -> None:
    """Partial logits [B, blocks * splits, N] in FP32. Grid: B * blocks of channels, splits of positions."""
    sample, channel, present = tile_rows(channels, ROWS)
    row = sample * channels + channel
    first = tl.program_id(1) * share
    mean = row_means(u, row, present, first, tl.minimum(first + share, positions), positions, ROWS, SPAN)
    word = tl.arange(0, WORDS)
    inside = present[:, None] & (word < words)[None, :]
    keys = tl.load(key + row[:, None] * words + word[None, :], mask=inside, other=0.0).to(tl.float32)
    part = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)
    tl.store(parts + part * words + word, tl.sum(mean[:, None] * keys, 0), mask=word < words)


@triton.jit
def weigh_words(
    parts: tl.tensor,
    bias: tl.tensor,
    count: tl.tensor,
    words: tl.tensor,
    weights: tl.tensor,
    PARTS: tl.constexpr,
    WORDS: tl.constexpr,
) -> None:
    """Weights [B,N] in FP32, from `count` partial logits a sample: sum, L2 norm, softmax. Grid: B."""
    sample = tl.program_id(0)
    word = tl.arange(0, WORDS)
    real = word < words
    total = tl.zeros([PARTS, WORDS], tl.float32)
    for start in range(0, count, PARTS):
        part = start + tl.arange(0, PARTS)
        inside = (part < count)[:, None] & real[None, :]
        total += tl.load(parts + (sample * count + part)[:, None] * words + word[None, :], mask=inside, other=0.0)
    logits = tl.sum(total, 0) + tl.load(bias + sample * words + word, mask=real, other=0.0).to(tl.float32)
    # Scaled by the largest, so that squares neither overflow nor vanish.
    peak = tl.max(tl.abs(logits), 0)
    peak = tl.where(peak > 0, peak, 1.0)
    norm = peak * tl.sqrt(tl.sum((logits / peak) * (logits / peak), 0))
    score = logits / tl.maximum(norm, 1e-12)
    # Scores are at most one: the exponential needs no shift.
    power = tl.where(real, tl.exp(score), 0.0)
    tl.store(weights + sample * words + word, power / tl.sum(power, 0), mask=real)


@triton.jit
def raise_channels(
    x: tl.tensor,
    u: tl.tensor,
    gate: tl.tensor,
    weights: tl.tensor,
    channels: tl.tensor,
    positions: tl.tensor,
    words: tl.tensor,
    out: tl.tensor,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
    WORDS: tl.constexpr,
) -> None:
    """X + U * (sigmoid(gate . weights) - 0.5). Grid: B * blocks of channels, spans of positions."""
    sample, channel, present = tile_rows(channels, ROWS)
    row = sample * channels + channel
    word = tl.arange(0, WORDS)
    inside = present[:, None] & (word < words)[None, :]
    gates = tl.load(gate + row[:, None] * words + word[None, :], mask=inside, other=0.0).to(tl.float32)
    weight = tl.load(weights + sample * words + word, mask=word < words, other=0.0)
    scale = tl.sigmoid(tl.sum(gates * weight[None, :], 1)) - 0.5
    position = tl.program_id(1) * SPAN + tl.arange(0, SPAN)
    place = row.to(tl.int64)[:, None] * positions + position[None, :]
    mask = present[:, None] & (position < positions)[None, :]
    base = tl.load(x + place, mask=mask, other=0.0).to(tl.float32)
    mixed = tl.load(u + place, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + place, (base + mixed * scale[:, None]).to(out.dtype.element_ty), mask=mask)


def modulate_triton(x: Tensor, u: Tensor, key: Tensor, bias: Tensor, gate: Tensor) -> Tensor:
    """As `plain.modulate`, on the GPU, or anywhere under TRITON_INTERPRET=1.

    X and U: one shape [B,C,...] and one dtype, FP16, BF16 or FP32, contiguous. key and gate [B,C,N] and bias [B,N]: of
    any of these dtypes and any strides. ContractError otherwise: a hidden copy of the maps would cost more than the
    kernels save.
    """
    out, launches = modulation(x, u, key, bias, gate)
    for launch in launches:
        launch.run()
    return out


def modulation(x: Tensor, u: Tensor, key: Tensor, bias: Tensor, gate: Tensor) -> tuple[Tensor, list[Launch]]:
    """The output's memory and the three launches that fill it. As `modulate_triton`, which runs them."""
    check_maps(x=x, u=u)
    batch, channels, *sides = x.shape
    words = bias.shape[-1]
    language_plan = {
        "key": (key, (batch, channels, words)),
        "bias": (bias, (batch, words)),
        "gate": (gate, (batch, channels, words)),
    }
    check_shapes(x.device, language_plan)
    key, bias, gate = key.contiguous(), bias.contiguous(), gate.contiguous()

    positions = math.prod(sides)
    cut = tiling(channels, positions, words)
    tile = {"ROWS": cut.rows, "SPAN": cut.span, "WORDS": cut.words}
    programs, share = batch * cut.blocks(channels), cut.share(channels, positions)
    splits, spans = triton.cdiv(positions, share), triton.cdiv(positions, cut.span)
    count = programs // batch * splits
    parts, weights = (torch.empty(batch, n, words, dtype=torch.float32, device=x.device) for n in (count, 1))
    out = torch.empty_like(x)
    score = (u, key, channels, positions, words, share, parts)
    weigh = (parts, bias, count, words, weights)
    apply = (x, u, gate, weights, channels, positions, words, out)
    return out, [
        Launch(score_words, (programs, splits), score, tile),
        Launch(weigh_words, (batch,), weigh, {"PARTS": PARTS, "WORDS": cut.words}),
        Launch(raise_channels, (programs, spans), apply, tile),
    ]
