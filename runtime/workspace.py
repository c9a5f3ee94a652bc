"""Scratch memory on the GPU for engines that take turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cstm.runtime.device_array import DeviceArray

if TYPE_CHECKING:
    from cuda.core import Event, Stream


class Workspace:
    """One block that several sessions use, one after the other: what a session puts on its stream while it holds the
    block runs after the work of the one before. The block grows to the most that was asked for."""

    def __init__(self) -> None:
        self._block: DeviceArray | None = None
        self._used: tuple[Stream, Event] | None = None
        self._lock = threading.RLock()

    def reserve(self, nbytes: int, stream: Stream) -> None:
        """Let the block hold at least `nbytes`. EngineError where the GPU has no room."""
        with self._lock:
            if self._block is not None and self._block.nbytes >= nbytes:
                return
            if self._block is not None and self._used is not None:
                self._block.stream.wait(self._used[1])  # on which it is freed
            self._block = None
            self._block = DeviceArray.empty((max(nbytes, 1),), "uint8", stream)
            self._used = stream, stream.record()

    @contextmanager
    def held(self, nbytes: int, stream: Stream) -> Iterator[int]:
        """The address of at least `nbytes`, a multiple of 256, for what is put on `stream` within.

        EngineError where the GPU has no room.
        """
        with self._lock:
            self.reserve(nbytes, stream)
            assert self._block is not None and self._used is not None
            if self._used[0] != stream:
                stream.wait(self._used[1])
            try:
                yield self._block.ptr
            finally:
                self._used = stream, stream.record()
