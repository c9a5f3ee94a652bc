"""A TensorRT and a cuda-core that work on host memory, and a toy component for them."""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from cstm.models.contract import Component, TensorSpec

X, FRAME, Y = TensorSpec("x", (3, 4)), TensorSpec("frame", (3, 4), "uint8"), TensorSpec("y", (3, 4))
TOY = Component("toy", (X, FRAME), (Y,))  # y = x + frame
MAX_BATCH = 4
BUILT_WITH = {"tensorrt": "11.4.0", "gpu": "Fake GPU"}


def toy_inputs(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 255, FRAME.with_batch(batch), dtype=np.uint8)
    return {"x": rng.standard_normal(X.with_batch(batch), dtype=np.float32), "frame": frame}


def toy_output(inputs: dict) -> np.ndarray:
    return inputs["x"] + inputs["frame"].astype(np.float32)


# --- A cuda-core whose GPU is host memory. ---


class FakeStream:
    handles = itertools.count(1000)

    def __init__(self, handle: int):
        self.handle, self.device, self.waited = handle, FakeDevice(), []

    from_handle = classmethod(lambda cls, handle: cls(handle))

    def __eq__(self, other):
        return self.handle == other.handle

    def record(self):
        return SimpleNamespace(is_done=False, stream=self)

    def wait(self, event_or_stream):
        self.waited.append(event_or_stream)

    def sync(self):
        pass


class FakeBuffer:
    def __init__(self, handle: int, size: int, owner=None):
        self.handle, self.size, self.owner, self.device_id = handle, size, owner, 0

    from_handle = classmethod(lambda cls, *args, **kwargs: cls(*args, **kwargs))

    def copy_from(self, source, *, stream):
        assert self.size == source.size
        ctypes.memmove(self.handle, source.handle, self.size)


class FakeDevice:
    device_id, name, allocated = 0, "Fake GPU", 0

    def __init__(self, index=None):
        pass

    def set_current(self):
        pass

    def create_stream(self, stream=None):
        return stream or FakeStream(next(FakeStream.handles))

    def allocate(self, size: int, *, stream):
        type(self).allocated += 1
        memory, address = aligned(size)
        return FakeBuffer(address, size, memory)


def aligned(size: int, offset: int = 0):
    memory = ctypes.create_string_buffer(size + 512)
    return memory, -(-ctypes.addressof(memory) // 256) * 256 + offset


class OnGPU:
    """Another library's array, as DLPack (through the fake view below) or as `__cuda_array_interface__`."""

    def __init__(self, values: np.ndarray, protocol: str, offset: int = 0, strides=None):
        self.shape, self.dtype, self.strides = values.shape, values.dtype, strides
        self.memory, self.ptr = aligned(values.nbytes, offset)
        ctypes.memmove(self.ptr, values.ctypes.data, values.nbytes)
        if protocol == "dlpack":
            self.__dlpack__ = self.__dlpack_device__ = lambda: (2, 0)
        else:
            self.__cuda_array_interface__ = {
                "version": 2,
                "shape": self.shape,
                "typestr": self.dtype.str,
                "data": (self.ptr, False),
                "strides": strides and tuple(step * self.dtype.itemsize for step in strides),
            }


FAKE_VIEW = SimpleNamespace(from_dlpack=lambda array, stream: array)
FAKE_CUDA = SimpleNamespace(
    Device=FakeDevice, Stream=FakeStream, Buffer=FakeBuffer, utils=SimpleNamespace(StridedMemoryView=FAKE_VIEW)
)


# --- A TensorRT with one engine, the toy. ---


@dataclass
class FakeContext:
    shapes: list = field(default_factory=list)
    addresses: dict = field(default_factory=dict)

    def set_input_shape(self, name, shape):
        self.shapes.append((name, shape))
        return shape[0] <= MAX_BATCH

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle):
        assert isinstance(stream_handle, int)
        shape = self.shapes[-1][1]
        x, frame, y = (self._array(spec, shape) for spec in (X, FRAME, Y))
        y[:] = x + frame
        return True

    def _array(self, spec, shape):
        pointer = ctypes.cast(self.addresses[spec.name], ctypes.POINTER(np.ctypeslib.as_ctypes_type(spec.dtype)))
        return np.ctypeslib.as_array(pointer, shape)


@dataclass
class FakeEngine:
    tensors: dict
    profile: int = MAX_BATCH
    context: FakeContext = field(default_factory=FakeContext)

    num_io_tensors = property(lambda self: len(self.tensors))

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return "out" if name.startswith("y") else "in"

    def get_tensor_shape(self, name):
        return self.tensors[name][0]

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name=self.tensors[name][1])

    def get_tensor_profile_shape(self, name, profile):
        return [(batch, 3, 4) for batch in (1, 1, self.profile)]

    def create_execution_context(self):
        return self.context
