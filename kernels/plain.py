"""`Modulate` and `Select` in plain PyTorch: what the kernels, the custom operators and the ONNX functions answer to.

Means, logits, normalisation, softmax and gate are computed in FP32 where the maps are FP16 or BF16, and the result is
rounded once; FP32 and FP64 maps stay as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def modulate(x: Tensor, u: Tensor, key: Tensor, bias: Tensor, gate: Tensor) -> Tensor:
    """`Modulate`, CMAM's deployed form: X + U * (g - 0.5).

    g = sigmoid(gate . softmax(a / |a|)), a = mean(U) . key + bias.
    X and U [B,C,...] with any number of spatial axes, key and gate [B,C,N], bias [B,N] -> shape and dtype of X.
    """
    wide = _accumulator(x.dtype)
    attention = (_means(u).unsqueeze(1) @ key.to(wide)).squeeze(1) + bias.to(wide)
    weights = l2_normalise(attention).softmax(-1)
    raised = torch.sigmoid((gate.to(wide) @ weights.unsqueeze(-1)).squeeze(-1))
    return (x + u * (per_channel(raised, x) - 0.5)).to(x.dtype)


def select(
    spatial: Tensor,
    temporal: Tensor,
    sentence: Tensor,
    squeeze_weight: Tensor,
    squeeze_bias: Tensor,
    select_weight: Tensor,
    select_bias: Tensor,
) -> Tensor:
    """`Select`, LGFS's deployed form: w_s * S + w_t * V, a channel's two weights the softmax of `stream_scores`.

    S and V [B,E,...], sentence [B,D], squeeze_weight [Z,2E+D], squeeze_bias [Z], select_weight [2E,Z], select_bias [2E]
    -> shape and dtype of S. The two linear layers run in their own dtype, which may be wider than the maps'.
    """
    pooled = torch.cat([_means(spatial), _means(temporal)], dim=1)
    scores = stream_scores(pooled, sentence, squeeze_weight, squeeze_bias, select_weight, select_bias)
    weights = scores.to(pooled.dtype).unflatten(1, (2, -1)).softmax(1)
    chosen = per_channel(weights[:, 0], spatial) * spatial + per_channel(weights[:, 1], temporal) * temporal
    return chosen.to(spatial.dtype)


def stream_scores(
    pooled: Tensor,
    sentence: Tensor,
    squeeze_weight: Tensor,
    squeeze_bias: Tensor,
    select_weight: Tensor,
    select_bias: Tensor,
) -> Tensor:
    """[B,2E]: the spatial stream's score of each channel, then the temporal's, from their means, pooled [B,2E]."""
    evidence = torch.cat([pooled.to(sentence.dtype), sentence], dim=1)
    return F.linear(torch.relu(F.linear(evidence, squeeze_weight, squeeze_bias)), select_weight, select_bias)


def l2_normalise(scores: Tensor) -> Tensor:
    """Scores [B,N] divided by their Euclidean norm over the words."""
    return scores / scores.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def per_channel(gate: Tensor, x: Tensor) -> Tensor:
    """[B,C] shaped to multiply a map [B,C,...]."""
    return gate.reshape(*gate.shape, *([1] * (x.dim() - 2)))


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _means(maps: Tensor) -> Tensor:
    """[B,C], over positions."""
    return maps.flatten(2).mean(-1, dtype=_accumulator(maps.dtype))
