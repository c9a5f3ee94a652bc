"""What scenarios are made of, in a process whose CUDA driver is the one built here."""

from __future__ import annotations

import ctypes
import importlib
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np

from cstm.runtime.device_array import DeviceArray, open_device
from cstm.runtime.tensorrt_session import TensorRTSession

from ..fake_gpu import POISON
from ..fake_tensorrt import BUILT_WITH, MAX_BATCH, TOY, FakeEngine, Put, fake_module

VALUES = np.random.default_rng(0).standard_normal((2, 3, 4), dtype=np.float32)
HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
KEPT: list[object] = []  # what work on the GPU may still need


def driver() -> ModuleType:
    """CUDA's own bindings, for what cuda-core does not offer."""
    return importlib.import_module("cuda.bindings.driver")


def put(stream_handle: int, step: Callable[[], object]) -> None:
    """A fake TensorRT's work, on a stream of the driver."""
    function = HOST_FUNCTION(lambda _: step())
    KEPT.append(function)
    assert ctypes.CDLL("libcuda.so.1").cuLaunchHostFunc(ctypes.c_void_p(stream_handle), function, None) == 0


def two_streams() -> tuple:
    device = open_device()
    return device.create_stream(), device.create_stream()


def on_gpu(stream, values: np.ndarray = VALUES) -> DeviceArray:
    """An array that will hold `values` when its stream has got there."""
    KEPT.append(values)
    array = DeviceArray.empty(values.shape, values.dtype, stream)
    array.assign(values)
    return array


def out_of_order(array: DeviceArray, stream) -> np.ndarray:
    """What a copy on `stream` finds there if it waits for nothing else."""
    return DeviceArray(array.owner, array.ptr, array.shape, array.dtype, stream).to_numpy()


def open_session(put: Put = put, **options) -> TensorRTSession:
    """On an engine of its own: y = x + frame."""
    sys.modules["tensorrt"] = fake_module("tensorrt", FakeEngine(put=put))
    session = TensorRTSession(TOY, b"toy", backend="tensorrt", built_with=BUILT_WITH, max_batch=MAX_BATCH, **options)
    KEPT.append(session)
    return session


@contextmanager
def refused(error: type[Exception], said: str) -> Iterator[None]:
    """As pytest's `raises`, which takes longer to import than all of this to run."""
    try:
        yield
    except error as raised:
        assert said in str(raised), raised
    else:
        raise AssertionError(f"no {error.__name__}")


class Theirs:
    """Another library's array, shown by one of the protocols. rows: those that are shown.

    Once nobody holds it, its memory goes to their next array, which their stream will fill.
    """

    def __init__(self, values: np.ndarray, protocol: str, stream, rows: slice = slice(None)):
        whole = on_gpu(stream, values)
        self.array = whole[rows]
        weakref.finalize(self.array, whole.owner.fill, POISON, stream=stream).atexit = False
        if protocol == "dlpack":
            self.__dlpack__, self.__dlpack_device__ = self.array.__dlpack__, self.array.__dlpack_device__
        else:
            self.__cuda_array_interface__ = self.array.__cuda_array_interface__
