"""Between the thread that reads a source and the one that segments it: few frames, and what becomes of them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from cstm.runtime.live.captured import Captured
from cstm.runtime.live.policy import Policy

SEGMENTED, HELD = "segmented", "held"
LATE, NO_TARGET, CLOSED, NO_MASKS = "late", "not a target", "closed", "no masks yet"


class Ready(NamedTuple):
    """A frame whose clip is there. pixels: uint8 [3,R,R]. clip: uint8 [3,T,R,R]."""

    frame: Captured
    pixels: np.ndarray
    clip: np.ndarray


@dataclass(frozen=True)
class Counts:
    """decoded = segmented + held + all that was dropped + waiting. held: got the masks of another frame. dropped: by
    reason. waiting: for later frames, for the network, or to be taken."""

    decoded: int = 0
    segmented: int = 0
    held: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Decoded, and nothing of the rest yet."""
        return self.decoded - self.segmented - self.held - sum(self.dropped.values())


class Handover:
    """Frames in order, from one thread to another. Closing wakes both."""

    def __init__(self, policy: Policy):
        self.policy = policy
        self._ready: deque[Ready] = deque()
        self._changed = threading.Condition()
        self._counts: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._chosen: int | None = None  # with latest, the next frame to be segmented
        self._ended, self._closed = False, False
        self._error: BaseException | None = None

    @property
    def counts(self) -> Counts:
        """So far. What waits when it is closed comes to nothing, unless it was taken before."""
        with self._changed:
            found = Counts(dropped=dict(self._dropped), **self._counts)
            if self._closed and found.waiting:
                found.dropped[CLOSED] = found.waiting
            return found

    def decoded(self) -> None:
        """A frame was decoded."""
        with self._changed:
            self._counts["decoded"] += 1

    def put(self, ready: Ready) -> bool:
        """Hand the next frame on; waits for room, or makes it, as the policy has it. Whether anybody wants more."""
        with self._changed:
            while len(self._ready) >= self.policy.waiting and not self._closed:
                if self.policy.latest:
                    # All but the chosen one: it would never come to be segmented where the taker is slow.
                    del self._ready[self._ready[0].frame.index == self._chosen]
                    self._dropped[LATE] += 1
                else:
                    self._changed.wait()
            if not self._closed:
                self._ready.append(ready)
                self._changed.notify_all()
            return not self._closed

    def end(self, error: BaseException | None = None) -> None:
        """No more come; error: why, raised once what was handed on is taken."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def take(self) -> tuple[Ready, str | None] | None:
        """The next frame, and why it is not to be segmented, or None where it is; None at the end."""
        with self._changed:
            while not self._ready and not self._ended and not self._closed:
                self._changed.wait()
            if self._closed or not self._ready:
                if self._error and not self._closed:
                    raise self._error
                return None
            ready = self._ready.popleft()
            self._changed.notify_all()
            return ready, self._passed_over(ready.frame)

    def became(self, fate: str) -> None:
        """What was taken is now SEGMENTED or HELD, or was dropped for another reason."""
        with self._changed:
            (self._counts if fate in (SEGMENTED, HELD) else self._dropped)[fate] += 1

    def close(self) -> None:
        """Nobody wants any more."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()

    def _passed_over(self, frame: Captured) -> str | None:
        if not self.policy.is_target(frame.index):
            return NO_TARGET
        if not self.policy.latest:
            return None
        if self._chosen is None or self._chosen < frame.index:
            later = (ready.frame.index for ready in self._ready if self.policy.is_target(ready.frame.index))
            self._chosen = max(later, default=frame.index)
        return LATE if frame.index < self._chosen else None
