"""Masks moved along with what they cover, from the frame in which they were found to a later one."""

from __future__ import annotations

import numpy as np

FARTHEST = 0.15  # of the frame's side, between two frames


def moved(masks: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """masks: bool [Q,H,W] of the frame whose pixels are `before`, uint8 [3,R,R]. after: those of the later one.

    Each mask is shifted as a whole, by what shifts the picture within it best; where nothing does it stays.
    """
    first, second = (pixels.mean(0, dtype=np.float32) for pixels in (before, after))
    return np.stack([_shifted(mask, _shift(_coarse(mask, first.shape), first, second)) for mask in masks])


def _coarse(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Every so many-th pixel of [H,W], float32 [R,R]."""
    rows, columns = (np.arange(small) * large // small for small, large in zip(shape, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)].astype(np.float32)


def _shift(weight: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """By which share of the sides, down and to the right, `first` has to be shifted so that what `weight` covers,
    [R,R], fits `second`: the least weighted sum of squares, by correlations (Padfield, 2012)."""
    if not weight.any():
        return 0.0, 0.0
    spectra = [np.fft.rfft2(values) for values in (weight, weight * first, second, second**2)]
    weights, weighted, seen, squared = (np.conj(spectra[0]), np.conj(spectra[1]), spectra[2], spectra[3])
    cost = np.fft.irfft2(weights * squared - 2 * weighted * seen, s=first.shape)
    reach = [max(int(FARTHEST * side), 1) for side in first.shape]
    steps = [np.r_[0 : r + 1, -r:0] for r in reach]
    near = cost[np.ix_(*steps)]
    row, column = divmod(int(near.argmin()), near.shape[1])
    return steps[0][row] / first.shape[0], steps[1][column] / first.shape[1]


def _shifted(mask: np.ndarray, share: tuple[float, float]) -> np.ndarray:
    result = np.zeros_like(mask)
    down, right = (round(part * side) for part, side in zip(share, mask.shape, strict=True))
    height, width = mask.shape
    result[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = mask[
        max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return result
