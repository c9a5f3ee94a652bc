"""From mask logits to masks. The only post-processing."""

from __future__ import annotations

import numpy as np

from cstm.errors import ContractError

ROUNDING = 1e-5  # far above float32's, of two products and a sum


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
    found = np.zeros((len(likely), *size), bool)
    for mask, response in zip(found, likely, strict=True):
        _cut(mask, response, rule == "half_max")
    return found


def scores(likely: np.ndarray) -> np.ndarray:
    """Probabilities [Q,R,R] -> the highest of each, float32 [Q]."""
    return likely.max((1, 2)).astype(np.float32)


def _cut(mask: np.ndarray, response: np.ndarray, half_max: bool) -> None:
    """Set what is in `mask`, bool [H,W] of zeros, by the response [R,R]; resized only where the mask can be."""
    rows, columns = (_Axis(side, length) for side, length in zip(response.shape, mask.shape, strict=True))
    if half_max:
        # Half of what the resized response has where it peaks, about: at most half of its maximum.
        peak = divmod(int(response.argmax()), response.shape[1])
        spot = rows.at(peak[0]), columns.at(peak[1])
        least = 0.5 * float(_resized(response, rows, columns, spot)[0, 0])
    else:
        least = 0.5
    high = response >= least * (1 - ROUNDING)  # a resized value is never above its neighbours
    if not high.any():
        return
    place = rows.between(np.flatnonzero(high.any(1))), columns.between(np.flatnonzero(high.any(0)))
    resized = _resized(response, rows, columns, place)
    mask[place] = resized > (0.5 * resized.max() if half_max else 0.5)


class _Axis:
    """Linear interpolation from `side` to `length` values along one axis; centres are kept, edges repeat."""

    def __init__(self, side: int, length: int):
        centres = np.clip((np.arange(length) + 0.5) * (side / length) - 0.5, 0, side - 1)
        self.low = centres.astype(np.intp)
        self.high = np.minimum(self.low + 1, side - 1)
        self.weight = (centres - self.low).astype(np.float32)

    def at(self, index: int) -> slice:
        """One of the results that lie nearest to a value."""
        place = min(int(np.searchsorted(self.low, index)), len(self.low) - 1)
        return slice(place, place + 1)

    def between(self, used: np.ndarray) -> slice:
        """The results in which a value from the first to the last of those `used`, indices, has a part."""
        return slice(*np.searchsorted(self.low, (used[0] - 1, used[-1] + 1)))


def _resized(response: np.ndarray, rows: _Axis, columns: _Axis, place: tuple[slice, slice]) -> np.ndarray:
    """A part of [R,R] resized."""
    # The short axis first: the second step, over whole rows, is the fast one.
    wide = _mixed(response, columns, place[1], 1)
    return _mixed(wide, rows, place[0], 0)


def _mixed(values: np.ndarray, along: _Axis, place: slice, axis: int) -> np.ndarray:
    weight = np.expand_dims(along.weight[place], 1 - axis)
    low, high = (values.take(index[place], axis) for index in (along.low, along.high))
    low *= 1 - weight
    high *= weight
    low += high
    return low
