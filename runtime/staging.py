"""An engine's own input: what comes from the host goes through pinned memory, so that the host can go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cstm.runtime.device_array import DeviceArray, cuda_errors, pinned

if TYPE_CHECKING:
    from cuda.core import Event, Stream


class Staging:
    """An array on the GPU for values that lie elsewhere, and its like in pinned memory.

    shape, dtype: of the largest that will come; smaller ones are its first entries.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str, stream: Stream):
        self.on_gpu = DeviceArray.empty(shape, dtype, stream)
        self._stream = stream
        self._pinned, self._owner = pinned(shape, self.on_gpu.dtype)
        self._read: Event | None = None  # when the GPU has read what was put in last

    def put(self, array: np.ndarray | DeviceArray) -> DeviceArray:
        """The array on the GPU, filled by what is on the stream from now on. One of numpy may be changed at once."""
        on_gpu = self.on_gpu.head(array.shape[0])
        if isinstance(array, DeviceArray):
            on_gpu.assign(array)
            return on_gpu
        with cuda_errors("copying an array"):
            if self._read is not None:
                self._read.sync()
            host = self._pinned[: len(array)]
            np.copyto(host, array, casting="no")
            on_gpu.assign(host)
            self._read = self._stream.record()
        return on_gpu
