"""From mask logits to masks. The only post-processing."""

from __future__ import annotations

import numpy as np

from cstm.errors import ContractError


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Mask logits [Q,1,R,R] -> probabilities float32 [Q,R,R]. ContractError when a logit is not finite."""
    if not np.isfinite(logits).all():
        raise ContractError("mask logits are not finite: the network overflowed; try another precision or backend")
    positive = np.exp(-np.abs(logits[:, 0].astype(np.float32)))
    return np.where(logits[:, 0] >= 0, 1, positive) / (1 + positive)


def masks(likely: np.ndarray, size: tuple[int, int], rule: str) -> np.ndarray:
    """Probabilities [Q,R,R] -> masks bool [Q,H,W]: resized bilinearly to `size`, then cut.

    rule: "half_max", above half of the frame's highest probability, or "probability", above 0.5.
    """
    resized = _resize(_resize(likely, size[0], axis=1), size[1], axis=2)
    if rule == "half_max":
        return resized > 0.5 * resized.max((1, 2), keepdims=True)
    return resized > 0.5


def scores(likely: np.ndarray) -> np.ndarray:
    """Probabilities [Q,R,R] -> the highest of each, float32 [Q]."""
    return likely.max((1, 2)).astype(np.float32)


def _resize(maps: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Linear interpolation along one axis; pixel centres are kept, edges repeat."""
    side = maps.shape[axis]
    centres = np.clip((np.arange(length, dtype=np.float32) + 0.5) * (side / length) - 0.5, 0, side - 1)
    low = np.floor(centres).astype(np.intp)
    high = np.minimum(low + 1, side - 1)
    weight = (centres - low).reshape([-1 if a == axis else 1 for a in range(maps.ndim)]).astype(np.float32)
    return maps.take(low, axis) * (1 - weight) + maps.take(high, axis) * weight
