"""Frames that know when they were captured."""

from __future__ import annotations

from dataclasses import dataclass

from cstm.runtime.frames import Frame


@dataclass(frozen=True)
class Captured(Frame):
    """at: when it was captured, on `time.monotonic`'s clock. connection: counted from 1; frames of two connections, or
    of two sizes, never meet in one clip."""

    at: float
    connection: int = 1


class CaptureClock:
    """When frames were captured, from their own times and when they came, both in seconds.

    The frame that came soonest after its time sets the clock: that another comes later after its own is delay, which
    counts as age.
    """

    def __init__(self) -> None:
        self._least = float("inf")

    def __call__(self, time: float, came: float) -> float:
        """When the frame of time `time`, which came at `came`, was captured."""
        self._least = min(self._least, came - time)
        return time + self._least
