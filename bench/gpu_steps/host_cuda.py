"""A stand-in for `cuda.core` in dry runs: its GPU is host memory, and what is put on a stream is done at once.

It shows wrong calls, not missing waits. PyTorch's tensors on the CPU pass for tensors on that GPU.
"""

from __future__ import annotations

import ctypes
import itertools
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

ALIGNMENT = 256  # of memory, in bytes, as on a GPU
Work = Callable[[], object]
_recordings: dict[int, list[Work]] = {}  # by the stream's handle, while it is recorded


def use() -> None:
    """From here on this process's `cuda.core`."""
    module = ModuleType("cuda.core")
    module.__dict__.update(
        Device=Device,
        Stream=Stream,
        Buffer=Buffer,
        LegacyPinnedMemoryResource=Memory,
        utils=SimpleNamespace(StridedMemoryView=View),
    )
    sys.modules["cuda.core"] = module


def put(handle: int, work: Work) -> None:
    """Work for a stream: done at once, or kept where the stream is recorded."""
    recording = _recordings.get(handle)
    if recording is None:
        work()
    else:
        recording.append(work)


class Stream:
    """All work on it is done. handle: a number of its own."""

    handles = itertools.count(16)

    def __init__(self, handle: int):
        self.handle, self.device = handle, Device()

    @classmethod
    def from_handle(cls, handle: int) -> Stream:
        """As of cuda-core, like all names below."""
        return cls(handle)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.handle == other.handle

    __hash__ = None  # type: ignore[assignment]

    def wait(self, event_or_stream: object) -> None:  # noqa: D102
        pass

    def sync(self) -> None:  # noqa: D102
        pass

    def record(self) -> SimpleNamespace:  # noqa: D102
        return SimpleNamespace(is_done=True, sync=lambda: None)

    def create_graph_builder(self) -> GraphBuilder:  # noqa: D102
        return GraphBuilder(self.handle)


class GraphBuilder:
    """Keeps what is put on a stream, to be done whenever the graph is launched."""

    def __init__(self, handle: int):
        self.handle = handle
        self.works: list[Work] = []

    def begin_building(self, mode: str) -> None:  # noqa: D102
        _recordings[self.handle] = self.works

    def end_building(self) -> None:  # noqa: D102
        del _recordings[self.handle]

    def complete(self) -> GraphBuilder:  # noqa: D102
        return self

    def launch(self, stream: Stream) -> None:  # noqa: D102
        for work in self.works:
            work()


class Buffer:
    """Bytes at an address. owner: keeps them."""

    device_id = 0

    def __init__(self, handle: int, size: int, owner: object = None):
        self.handle, self.size, self.owner = handle, size, owner

    @classmethod
    def from_handle(cls, handle: int, size: int, owner: object = None) -> Buffer:  # noqa: D102
        return cls(handle, size, owner)

    def copy_from(self, source: Buffer, *, stream: Stream) -> None:  # noqa: D102
        put(stream.handle, lambda: ctypes.memmove(self.handle, source.handle, self.size))


class Memory:
    """New buffers, of whatever kind."""

    def allocate(self, size: int, stream: Stream | None = None) -> Buffer:  # noqa: D102
        raw = ctypes.create_string_buffer(size + ALIGNMENT)
        return Buffer(-(-ctypes.addressof(raw) // ALIGNMENT) * ALIGNMENT, size, raw)


class Device(Memory):
    """The one there is."""

    device_id, name, arch = 0, "host memory", "80"

    def __init__(self, index: int | None = None):
        pass

    def set_current(self) -> None:  # noqa: D102
        pass

    def create_stream(self, stream: Stream | None = None) -> Stream:  # noqa: D102
        return stream or Stream(next(Stream.handles))


class View:
    """An array that is exchanged. strides: counted in elements; None where they are C's."""

    def __init__(self, ptr: int, shape: tuple[int, ...], dtype: np.dtype, strides: Any, owner: object):
        self.ptr, self.shape, self.dtype, self.strides, self.owner = ptr, shape, dtype, strides, owner

    @classmethod
    def from_dlpack(cls, array: Claimed, stream: int) -> View:  # noqa: D102
        tensor = array.tensor
        dtype = np.dtype(str(tensor.dtype).removeprefix("torch."))
        return cls(tensor.data_ptr(), tuple(tensor.shape), dtype, tensor.stride(), tensor)

    @classmethod
    def from_buffer(cls, buffer: Buffer, shape: tuple[int, ...], *, dtype: np.dtype) -> View:  # noqa: D102
        return cls(buffer.handle, shape, dtype, None, buffer)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the host's: PyTorch without CUDA takes no other

    def __dlpack__(self, *, stream: int, max_version: tuple[int, int] | None = None) -> object:
        return array_at(self.ptr, self.shape, self.dtype).__dlpack__(max_version=max_version)


class Claimed:
    """A tensor on the CPU that says by DLPack that it is on the GPU."""

    def __init__(self, tensor: Any):
        self.tensor, self.shape, self.dtype = tensor, tensor.shape, tensor.dtype

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, Buffer.device_id

    def __dlpack__(self, **options: object) -> object:
        return self.tensor.__dlpack__()


def array_at(address: int, shape: tuple[int, ...], dtype: np.dtype | str) -> np.ndarray:
    """What lies there, which others keep alive."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(address)).view(dtype).reshape(shape)
