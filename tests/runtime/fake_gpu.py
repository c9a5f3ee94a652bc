"""A TensorRT and a cuda-core that work on host memory, and a toy component for them.

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
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from cstm.models.contract import Component, TensorSpec
from cstm.runtime.manifest import BuiltWith

X, FRAME, Y = TensorSpec("x", (3, 4)), TensorSpec("frame", (3, 4), "uint8"), TensorSpec("y", (3, 4))
TOY = Component("toy", (X, FRAME), (Y,))  # y = x + frame
MAX_BATCH = 4
BUILT_WITH = BuiltWith("11.4.0", "Fake GPU")
POISON = 0xFF  # as float32 not a number


def toy_inputs(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 255, FRAME.with_batch(batch), dtype=np.uint8)
    return {"x": rng.standard_normal(X.with_batch(batch), dtype=np.float32), "frame": frame}


def toy_output(inputs: dict) -> np.ndarray:
    return inputs["x"] + inputs["frame"].astype(np.float32)


# --- A cuda-core whose GPU is host memory. ---


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


# --- A TensorRT with one engine, the toy. ---


def array_at(address: int, spec: TensorSpec, shape: tuple[int, ...]) -> np.ndarray:
    pointer = ctypes.cast(address, ctypes.POINTER(np.ctypeslib.as_ctypes_type(spec.dtype)))
    return np.ctypeslib.as_array(pointer, shape)


@dataclass
class FakeContext:
    """Addresses and shapes are those of the call; what lies there is read and written when the run's turn comes."""

    shapes: list = field(default_factory=list)
    addresses: dict = field(default_factory=dict)
    profile: int | None = None
    scratch: tuple | None = None

    def set_optimization_profile_async(self, profile, stream_handle):
        self.profile = profile
        return True

    def set_device_memory(self, address, size):
        self.scratch = address, size

    def is_stream_capturable(self, stream_handle):
        return True

    def set_input_shape(self, name, shape):
        self.shapes.append((name, shape))
        return shape[0] <= MAX_BATCH

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle):
        assert isinstance(stream_handle, int)
        shape = self.shapes[-1][1]
        x, frame, y = (array_at(self.addresses[spec.name], spec, shape) for spec in (X, FRAME, Y))
        scratch = array_at(self.scratch[0], X, shape)  # as engines do, it keeps what it has half done there
        queue = FakeStream.from_handle(stream_handle).queue
        queue.add(lambda: np.copyto(scratch, x))
        queue.add(lambda: np.add(scratch, frame, out=y))
        return True


SCRATCH = 3 * 4 * 4  # bytes for each of a batch


class FakeSettings:
    """TensorRT-RTX's IRuntimeConfig. compiled: what its cache holds after a run. taken: what it was given."""

    compiled: ClassVar[bytes] = b"kernels"
    taken: ClassVar[list[bytes]] = []

    def set_execution_context_allocation_strategy(self, strategy):
        self.strategy = strategy

    def create_runtime_cache(self):
        return SimpleNamespace(serialize=lambda: self.compiled, deserialize=lambda blob: not self.taken.append(blob))

    def set_runtime_cache(self, cache):
        self.cache = cache


@dataclass
class FakeEngine:
    """Its contexts are those of `contexts`, in turn: for a batch of one, and for more; further ones are new."""

    tensors: dict
    profile: int = MAX_BATCH
    contexts: list = field(default_factory=lambda: [FakeContext(), FakeContext()])
    given: int = 0
    settings: list = field(default_factory=list)
    num_optimization_profiles = 2

    num_io_tensors = property(lambda self: len(self.tensors))
    one, context = property(lambda self: self.contexts[0]), property(lambda self: self.contexts[1])

    def create_runtime_config(self):
        return FakeSettings()

    def get_device_memory_size_for_profile_v2(self, profile):
        return SCRATCH * (1, self.profile)[profile]

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return "out" if name.startswith("y") else "in"

    def get_tensor_shape(self, name):
        return self.tensors[name][0]

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name=self.tensors[name][1])

    def get_tensor_profile_shape(self, name, profile):
        return [(batch, 3, 4) for batch in ((1, 1, 1), (2, 2, self.profile))[profile]]

    def create_execution_context(self, settings):
        self.settings.append(settings)
        self.given += 1
        return self.contexts[self.given - 1] if self.given <= len(self.contexts) else FakeContext()
