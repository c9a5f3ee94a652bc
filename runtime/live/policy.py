"""Which frames are segmented when a source is faster than the network. A clip always has all its frames."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cstm.errors import RequestError

WAYS = "block (every frame, the source waits), latest (the newest, older ones are passed over), every=N, latest,every=N"


@dataclass(frozen=True)
class Policy:
    """every: only every N-th decoded frame is a target. latest: a target is passed over once a later one is ready;
    else the source waits, and nothing is passed over."""

    every: int = 1
    latest: bool = False

    @property
    def waiting(self) -> int:
        """How many frames may be ready before the source waits, or, with latest, the oldest are passed over."""
        return 8 if self.latest else 2

    @classmethod
    def parse(cls, text: str) -> Policy:
        """The policy of that name. RequestError where there is none."""
        found = re.fullmatch(r"(block|latest)(,every=\d+)?|every=\d+", text) if isinstance(text, str) else None
        every = int(text.partition("every=")[2] or 1) if found else 0
        if not found or every < 1:
            raise RequestError(f"policy {text!r}: must be one of {WAYS}")
        return cls(every, found[1] == "latest")

    def is_target(self, index: int) -> bool:
        """Whether the `index`-th decoded frame is one."""
        return index % self.every == 0
