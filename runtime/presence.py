"""Is the actor of a sentence there at all? From a response map, calibrated when the bundle was built."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cstm.runtime.manifest import PresenceRecord

NEAREST = 1e-6  # to 0 and to 1 that a frame's presence counts in a track
MEMORY = 0.4  # seconds after which a frame counts 1/e in a track


class Told(NamedTuple):
    """What is known of sentences' actors in a frame, None where the bundle cannot tell.

    presence: float32 [Q], the probability that each is there, where as many are there as not. track_presence: the
    same by this frame and those before it. seen: bool [Q], whether that reaches the bundle's threshold.
    """

    presence: np.ndarray | None = None
    track_presence: np.ndarray | None = None
    seen: np.ndarray | None = None


def evidence(logits: np.ndarray) -> np.ndarray:
    """Mask logits [Q,1,R,R] -> the log of the mean odds of their pixels, float64 [Q]."""
    flat = logits.reshape(len(logits), -1).astype(np.float64)
    top = flat.max(1)
    return top + np.log(np.exp(flat - top[:, None]).mean(1))


def log_odds(record: PresenceRecord, found: np.ndarray) -> np.ndarray:
    """`evidence` [...] -> log-odds of presence float64 [...]."""
    return record.slope * found + record.bias


class Average:
    """A mean over time that forgets the past exponentially."""

    def __init__(self) -> None:
        self._time = -np.inf
        self._mean = np.zeros(())

    def __call__(self, values: np.ndarray, time: float) -> np.ndarray:
        """The mean with the next values, float64 of any one shape, at `time` in seconds."""
        new = -np.expm1(-max(time - self._time, 0) / MEMORY)  # 1 for the first
        self._mean, self._time = self._mean + new * (values - self._mean), time
        return self._mean


class Track:
    """Presence over a video, a frame at a time. record: the bundle's; None tells nothing."""

    def __init__(self, record: PresenceRecord | None):
        self.record = record
        self._average = Average()

    def __call__(self, logits: np.ndarray, time: float) -> Told:
        """What the next frame tells: mask logits [Q,1,R,R], at `time` in seconds."""
        if self.record is None:
            return Told()
        return self.follow(_probability(log_odds(self.record, evidence(logits))), time)

    def follow(self, presence: np.ndarray, time: float) -> Told:
        """What the next frame tells, of which `presence`, float32 [Q], is known."""
        if self.record is None:
            return Told()
        near = np.clip(presence.astype(np.float64), NEAREST, 1 - NEAREST)
        lately = self._average(np.log(near / (1 - near)), time)
        return Told(presence, _probability(lately), lately >= self.record.threshold)


def _probability(odds: np.ndarray) -> np.ndarray:
    return (0.5 + 0.5 * np.tanh(odds / 2)).astype(np.float32)
