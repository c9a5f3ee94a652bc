"""A video that ends, as a source of a stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from cstm.runtime.live.captured import Captured
from cstm.runtime.video import Video


class Recorded:
    """Each frame counts as captured when it is read. As Camera has it, but for what can be lost."""

    def __init__(self, video: Video):
        self.video, self.name, self.fps = video, video.name, video.fps
        self._stopped = threading.Event()

    def stop(self) -> None:
        """No frame follows the one that is being read."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Iterator[Captured]]:
        with self.video:
            yield self._frames()

    def _frames(self) -> Iterator[Captured]:
        for frame in self.video:
            if self._stopped.is_set():
                return
            yield Captured(frame.index, frame.time, frame.image, time.monotonic())
