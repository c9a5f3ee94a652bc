"""COCO's compressed run-length encoding of masks, as pycocotools writes and reads it.

The runs of a mask, down its columns, alternate between background and mask, background first. From the fourth on, a run
is stored as the difference from the run two before. A number is stored as groups of five bits, lowest first, the last
one's highest bit its sign; a sixth bit says that more groups follow; 48 shifts a group into printable ASCII.
"""

from __future__ import annotations

import numpy as np

from cstm.errors import ContractError

BITS, MORE, FIRST = 5, 32, 48
GROUPS = 13


def encode(mask: np.ndarray) -> dict:
    """bool [H,W] -> {"size": [H, W], "counts": str}. ContractError unless the mask has two axes."""
    mask = np.asarray(mask, bool)
    if mask.ndim != 2:
        raise ContractError(f"a mask has shape {list(mask.shape)}; give bool [H,W]")
    columns = np.flatnonzero(mask.any(0))  # no other is looked at again: masks are small
    first, end = (columns[0], columns[-1] + 1) if columns.size else (0, 0)
    part = mask[:, first:end].ravel(order="F")
    # A mask that starts with foreground starts with a background run of length 0.
    changes = np.flatnonzero(np.diff(part, prepend=False, append=False)) + first * mask.shape[0]
    runs = np.diff(changes, prepend=0, append=mask.size)
    if runs.size > 1 and not runs[-1]:  # foreground to the end
        runs = runs[:-1]
    runs[3:] -= runs[1:-2].copy()
    return {"size": list(mask.shape), "counts": _to_text(runs)}


def decode(encoded: dict) -> np.ndarray:
    """The inverse of `encode`: bool [H,W]. ContractError when the runs do not fill the size."""
    height, width = encoded["size"]
    runs = _from_text(encoded["counts"])
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    if (runs < 0).any() or runs.sum() != height * width:
        raise ContractError(f"run lengths fill {runs.sum()} pixels of {height}x{width}; the encoded mask is damaged")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape((height, width), order="F")


def _to_text(numbers: np.ndarray) -> str:
    """Signed numbers int64 [N] -> ASCII."""
    largest = int(np.abs(numbers).max(initial=0))
    place = np.arange(largest.bit_length() // BITS + 1)
    rest = numbers[:, None] >> BITS * place
    # Groups after the first that leaves nothing but the sign are not written.
    last = np.argmax((rest >= -(1 << BITS - 1)) & (rest < 1 << BITS - 1), axis=1)[:, None]
    groups = (rest & MORE - 1) + FIRST + MORE * (place < last)
    return groups[place <= last].astype(np.uint8).tobytes().decode("ascii")


def _from_text(text: str) -> np.ndarray:
    """ASCII -> signed numbers int64 [N]."""
    groups = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - FIRST
    if not groups.size:
        return groups
    ends = np.flatnonzero(groups < MORE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if groups.min() < 0 or groups.max() >= 2 * MORE or groups[-1] >= MORE or sizes.max() > GROUPS:
        raise ContractError("run lengths hold characters that are no code; the encoded mask is damaged")
    place = np.arange(groups.size) - np.repeat(starts, sizes)
    values = np.add.reduceat((groups & MORE - 1) << BITS * place, starts)
    negative = groups[ends] & MORE >> 1 > 0
    return values - (negative.astype(np.int64) << BITS * sizes)
