"""The values that an activation takes: measured by calibration, read by what halves and quantises graphs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """The values of one activation tensor over the samples.

    low, high: the extremes. limit: the magnitude up to which INT8 shall represent it, by the calibration method.
    small: share of the non-zero values that are below FP16's smallest normal number. size: values in one sample.
    """

    low: float
    high: float
    limit: float
    small: float
    size: int

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(-self.low, self.high)
