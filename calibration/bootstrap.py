"""Confidence intervals by resampling whole groups: the samples of one clip or video are alike."""

from __future__ import annotations

import numpy as np

RESAMPLES, CONFIDENCE = 1000, 95


def drawn_counts(groups: int, seed: int = 0) -> np.ndarray:
    """How often each of `groups` groups is drawn, with replacement, in each resample: int [RESAMPLES, groups]. The
    same seed gives the same draws."""
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)


def interval(resampled: np.ndarray) -> list[float] | None:
    """[low, high] of a figure's values over the resamples; those that are no numbers are left out, None without any."""
    values = resampled[~np.isnan(resampled)]
    return list(bounds(values)) if values.size else None


def bounds(values: np.ndarray) -> tuple[float, float]:
    """(low, high) of numbers, at least one, between which the middle CONFIDENCE % of them are."""
    tail = (100 - CONFIDENCE) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
