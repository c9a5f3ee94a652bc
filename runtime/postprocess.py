"""From mask logits to masks. The only post-processing."""

from __future__ import annotations

import numpy as np

from cstm.errors import ContractError


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Mask logits [Q,1,R,R] -> probabilities float32 [Q,R,R]. ContractError on another shape or a logit not finite."""
    if logits.ndim != 4 or logits.shape[1] != 1:
        raise ContractError(f"mask logits have shape {list(logits.shape)}; expected [Q,1,R,R]")
    if not np.isfinite(logits).all():
        raise ContractError("mask logits are not finite: the network overflowed; try another precision or backend")
    logits = logits[:, 0].astype(np.float32)
    # exp of a negative number cannot overflow, and keeps small probabilities exact: half_max compares those too.
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, np.float32(1), small) / (1 + small)


def masks(likely: np.ndarray, size: tuple[int, int], rule: str) -> np.ndarray:
    """Probabilities [Q,R,R] -> masks bool [Q,H,W]: resized bilinearly to `size`, then cut.

    rule: "half_max", above half of the frame's highest probability, or "probability", above 0.5. ContractError on
    another rule.
    """
    if rule not in ("half_max", "probability"):
        raise ContractError(f"mask rule {rule!r}; it must be half_max or probability")
    cut = np.empty((len(likely), *size), bool)
    for index, response in enumerate(likely):
        # The short axis first: the second step, over whole rows, is the fast one.
        resized = _resize(_resize(response, size[1], axis=1), size[0], axis=0)
        cut[index] = resized > (0.5 * resized.max() if rule == "half_max" else 0.5)
    return cut


def scores(likely: np.ndarray) -> np.ndarray:
    """Probabilities [Q,R,R] -> the highest of each, float32 [Q]."""
    return likely.max((1, 2)).astype(np.float32)


def _resize(response: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Linear interpolation of [R,R] along one axis; pixel centres are kept, edges repeat."""
    side = response.shape[axis]
    centres = np.clip((np.arange(length) + 0.5) * (side / length) - 0.5, 0, side - 1)
    low = centres.astype(np.intp)
    high = np.minimum(low + 1, side - 1)
    weight = np.expand_dims((centres - low).astype(np.float32), 1 - axis)
    return response.take(low, axis) * (1 - weight) + response.take(high, axis) * weight
