"""A cuda-core whose GPU is host memory.

As on a GPU, what is put on a stream waits there; here it runs only when the host waits for it, or when other work
that is waited for was ordered after it. So a missing wait is seen: outputs are not there yet, inputs are read late.
Memory holds POISON until it is filled and again once it is freed, and is never used twice.
"""

from __future__ import annotations

import ctypes
import itertools
import weakref
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

POISON = 0xFF  # as float32 not a number


class Queue:
    """Work in order: put on now, run when it is waited for. recording: what is put on goes into a graph instead."""

    def __init__(self):
        self.waiting: deque[Callable[[], object]] = deque()
        self.put, self.done = 0, 0
        self.recording: list[Callable[[], object]] | None = None

    def add(self, step: Callable[[], object]) -> None:
        if self.recording is not None:
            self.recording.append(step)
            return
        self.waiting.append(step)
        self.put += 1

    def run(self, until: int) -> None:
        """Run the first `until` steps that were ever put on, as far as they have not run."""
        while self.done < until:
            self.waiting.popleft()()
            self.done += 1


QUEUES: dict[int, Queue] = {}  # by the stream's handle


class FakeStream:
    handles = itertools.count(1000)

    def __init__(self, handle: int):
        self.handle, self.device, self.waited = handle, FakeDevice(), []
        self.queue = QUEUES.setdefault(handle, Queue())

    @classmethod
    def from_handle(cls, handle: int) -> FakeStream:
        return cls(handle)

    def __eq__(self, other):
        return self.handle == other.handle

    __hash__ = None

    def record(self) -> FakeEvent:
        return FakeEvent(self)

    def wait(self, event_or_stream) -> None:
        self.waited.append(event_or_stream)
        event = event_or_stream.record() if isinstance(event_or_stream, FakeStream) else event_or_stream
        self.queue.add(event.sync)

    def sync(self) -> None:
        assert self.queue.recording is None, "CUDA refuses to wait for a stream that is recorded"
        self.queue.run(self.queue.put)

    def create_graph_builder(self) -> FakeGraphBuilder:
        return FakeGraphBuilder(self)


class FakeGraphBuilder:
    """launched: how often any graph was."""

    launched = 0

    def __init__(self, stream: FakeStream):
        self.queue = stream.queue

    def begin_building(self, mode: str) -> None:
        self.queue.recording = []

    def end_building(self) -> None:
        self.steps, self.queue.recording = self.queue.recording, None

    def complete(self) -> SimpleNamespace:
        return SimpleNamespace(launch=self.launch)

    def launch(self, stream: FakeStream) -> None:
        FakeGraphBuilder.launched += 1
        for step in self.steps:
            stream.queue.add(step)


class FakeEvent:
    """A place in a stream. Asking `is_done` gets nothing done: a GPU may be slower than any number of questions."""

    def __init__(self, stream: FakeStream):
        self.stream, self.place = stream, stream.queue.put

    @property
    def is_done(self) -> bool:
        return self.stream.queue.done >= self.place

    def sync(self) -> None:
        self.stream.queue.run(self.place)


class Memory:
    """Bytes at an address that is a multiple of 256, plus `offset`; poisoned, never given to another, when freed.

    stream: where it was allocated and is freed in order, as cuda-core does; freed at once where None.
    Also an array in host memory, for `numpy.asarray`.
    """

    kept: ClassVar[list[ctypes.Array]] = []
    addresses: ClassVar[list[range]] = []

    def __init__(self, size: int, offset: int = 0, stream: FakeStream | None = None):
        raw = ctypes.create_string_buffer(size + 512)
        self.kept.append(raw)
        self.address, self.size = -(-ctypes.addressof(raw) // 256) * 256 + offset, size
        self.addresses.append(range(self.address, self.address + size))
        poison(self.address, size)
        free = poison if stream is None else lambda *block: stream.queue.add(lambda: poison(*block))
        weakref.finalize(self, free, self.address, size).atexit = False

    @classmethod
    def of(cls, values: np.ndarray, offset: int = 0) -> Memory:
        memory = cls(values.nbytes, offset)
        ctypes.memmove(memory.address, values.ctypes.data, values.nbytes)
        return memory

    @property
    def __array_interface__(self) -> dict:
        return {"version": 3, "shape": (self.size,), "typestr": "|u1", "data": (self.address, False)}


def poison(address: int, size: int) -> None:
    ctypes.memset(address, POISON, size)


def on_host(values: np.ndarray) -> np.ndarray:
    """A copy in host memory that is poisoned as soon as nobody holds it."""
    return np.asarray(Memory.of(values)).view(values.dtype).reshape(values.shape)


class FakeBuffer:
    def __init__(self, handle: int, size: int, owner=None):
        self.handle, self.size, self.owner, self.device_id = handle, size, owner, 0

    @classmethod
    def from_handle(cls, handle: int, size: int, owner=None) -> FakeBuffer:
        return cls(handle, size, owner)

    def copy_from(self, source: FakeBuffer, *, stream: FakeStream) -> None:
        assert self.size == source.size
        target, start, size = self.handle, source.handle, self.size  # the work holds no memory, as on a GPU
        if not any(target in block for block in Memory.addresses):
            poison(target, size)  # numpy's, on the host, to be read only after a wait
        stream.queue.add(lambda: ctypes.memmove(target, start, size))


class FakeDevice:
    device_id, name, arch, allocated = 0, "Fake GPU", "89", 0

    def __init__(self, index=None):
        pass

    def set_current(self):
        pass

    def create_stream(self, stream=None):
        return stream or FakeStream(next(FakeStream.handles))

    def allocate(self, size: int, *, stream):
        type(self).allocated += 1
        memory = Memory(size, stream=stream)
        return FakeBuffer(memory.address, size, memory)


class OnGPU:
    """Another library's array, as DLPack (through the fake view below) or as `__cuda_array_interface__`.

    stream: the library's, on which the array is filled; there at once where None.
    """

    def __init__(self, values: np.ndarray, protocol: str, offset: int = 0, strides=None, stream=None):
        self.shape, self.dtype, self.strides, self.stream = values.shape, values.dtype, strides, stream
        self.memory = Memory.of(values, offset)
        self.ptr = self.memory.address
        if stream is not None:
            poison(self.ptr, values.nbytes)
            stream.queue.add(lambda: ctypes.memmove(self.ptr, values.ctypes.data, values.nbytes))
        if protocol == "dlpack":
            self.__dlpack_device__ = lambda: (2, 0)
            self.__dlpack__ = self._exchange
        else:
            self.__cuda_array_interface__ = {
                "version": 3,
                "shape": self.shape,
                "typestr": self.dtype.str,
                "data": (self.ptr, False),
                "strides": strides and tuple(step * self.dtype.itemsize for step in strides),
                "stream": stream and stream.handle,
            }

    def _exchange(self, stream: int) -> OnGPU:
        if self.stream is not None:
            FakeStream.from_handle(stream).wait(self.stream)
        return self


class FakeView:
    """What another library gives us, and what we give it, by DLPack."""

    def __init__(self, buffer: FakeBuffer, shape, dtype):
        self.buffer, self.shape, self.dtype = buffer, shape, dtype

    @staticmethod
    def from_dlpack(array: OnGPU, stream: int) -> OnGPU:
        return array.__dlpack__(stream=stream)

    @classmethod
    def from_buffer(cls, buffer: FakeBuffer, shape, *, dtype) -> FakeView:
        return cls(buffer, shape, dtype)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, *, stream=None, max_version=None) -> FakeView:
        assert stream == -1, "cuda-core orders what it knows the stream of; here DeviceArray does"
        return self


class FakePinned:
    """Pinned memory: that of the host."""

    def allocate(self, size: int) -> FakeBuffer:
        memory = Memory(size)
        return FakeBuffer(memory.address, size, memory)


FAKE_CUDA = SimpleNamespace(
    Device=FakeDevice,
    Stream=FakeStream,
    Buffer=FakeBuffer,
    LegacyPinnedMemoryResource=FakePinned,
    utils=SimpleNamespace(StridedMemoryView=FakeView),
)
