"""Time stamps as containers hold them become seconds that only grow."""

from __future__ import annotations

# A stamp so many frames earlier than the last belongs to another recording, joined to this one.
RESTART_FRAMES = 3
# Where recordings may be joined, so does one so many seconds later, as in FFmpeg.
LEAP = 10.0


class FrameTimes:
    """The times of frames, by their stamps, which are given one after the other.

    fps: the pace of frames without stamps. joined: whether the container is one in which recordings are joined, so that
    a leap ahead is no pause. A stamp that repeats or goes a little back is held just after the one before, so that the
    frames that follow keep their own times.
    """

    def __init__(self, fps: float, joined: bool = False):
        self._step = 1 / fps
        self._leap = LEAP if joined else float("inf")
        self._last: float | None = None
        self._zero: float | None = None  # the stamp that is time 0

    @property
    def zero(self) -> float:
        """The stamp that is time 0, in seconds; 0 before the first."""
        return self._zero or 0.0

    def __call__(self, stamp: float | None) -> float:
        """A frame's time in seconds, from its stamp in seconds, or None where it has none; the first is 0."""
        self._last = self._time(stamp)
        return self._last

    def _time(self, stamp: float | None) -> float:
        expected = 0.0 if self._last is None else self._last + self._step
        if stamp is None:
            return expected
        if self._last is None or self._zero is None or self._is_elsewhere(stamp - self._zero - self._last):
            self._zero = stamp - expected
            return expected
        time = stamp - self._zero
        return time if time > self._last else self._last + self._step / 10

    def _is_elsewhere(self, ahead: float) -> bool:
        return ahead < -RESTART_FRAMES * self._step or ahead > self._leap
