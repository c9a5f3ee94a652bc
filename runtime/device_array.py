"""Arrays in GPU memory, through cuda-core: allocated once, exchanged without copies, ordered by CUDA streams.

Importing this module needs neither cuda-core nor a GPU; using it does. `cuda_core` is its only door to CUDA.
"""

from __future__ import annotations

import ctypes
import importlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from cstm.errors import ContractError, CSTMError, EngineError, MissingDependencyError

if TYPE_CHECKING:
    from cuda.core import Device, Event, Stream
    from cuda.core.utils import StridedMemoryView

NO_GPU = "no NVIDIA GPU or driver here; use the onnxruntime or openvino backend"
DEFAULT_STREAM = 1  # the default stream in both exchange protocols, where 0 is ambiguous
ON_GPU = (2, 13)  # DLPack's device types: CUDA memory and CUDA managed memory
# How libraries refuse to hand an array on, or break the protocol; CUDA's own errors are none of these.
NOT_EXCHANGED = (AttributeError, BufferError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError)


def cuda_core() -> ModuleType:
    """The module `cuda.core`. MissingDependencyError where it is not installed."""
    try:
        return importlib.import_module("cuda.core")
    except ImportError as error:
        raise MissingDependencyError(
            f'GPU memory needs cuda-core ({error}): pip install "cstm[gpu]" or "cstm[rtx]"'
        ) from error


def cuda_device() -> str | None:
    """The GPU's name, or None where cuda-core, a driver or a GPU is missing. Never raises."""
    return _told_by_gpu("name")


def cuda_architecture() -> str | None:
    """The GPU's compute capability without its point, such as "89"; None as cuda_device has it. Never raises."""
    return _told_by_gpu("arch")


def _told_by_gpu(attribute: str) -> str | None:
    try:
        return str(getattr(cuda_core().Device(), attribute))
    except Exception:
        return None


def open_device(index: int | None = None) -> Device:
    """GPU number `index`, or the one in use, as a `cuda.core.Device` made current in the calling thread.

    Each thread has its own current CUDA context, so work from a new thread begins here.
    MissingDependencyError where there is no driver or no GPU.
    """
    core = cuda_core()
    try:
        device = core.Device(index)
        device.set_current()
    except Exception as error:
        raise MissingDependencyError(
            f"no NVIDIA GPU can be used here ({error}): use the onnxruntime or openvino backend"
        ) from error
    return device


@contextmanager
def cuda_errors(doing: str, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """EngineError in place of CUDA's own exceptions. doing: what failed, as in "copying an array".

    Ours, and those of the types `but`, pass.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (CSTMError, *but)):
            raise
        raise EngineError(
            f"the GPU failed {doing} ({error}): start the program anew, as CUDA may run nothing more in this one; "
            "if it fails again, use the onnxruntime or openvino backend"
        ) from error


class DeviceArray:
    """A C-contiguous array in GPU memory.

    shape, dtype, nbytes: as in numpy. ptr: its address on the GPU.
    stream: the `cuda.core.Stream` whose work fills it. ready: the event, or the stream, to wait for before reading.
    owner: what keeps the memory alive.

    DLPack and `__cuda_array_interface__` hand it on without a copy and in order: `torch.from_dlpack(array)`,
    `cupy.asarray(array)`.
    """

    def __init__(
        self,
        owner: object,
        ptr: int,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        stream: Stream,
        ready: Event | Stream | None = None,
    ):
        self.owner = owner
        self.ptr = ptr
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        self.stream = stream
        self.ready = stream if ready is None else ready

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: DTypeLike, stream: Stream) -> DeviceArray:
        """A new array with undefined values, on the GPU of `stream`. EngineError where it does not fit."""
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        with cuda_errors("making its context current"):
            device = stream.device
            device.set_current()
        try:
            buffer = device.allocate(nbytes, stream=stream)
        except Exception as error:
            raise EngineError(
                f"{device.name} cannot hold another {nbytes / 2**20:.1f} MiB ({error}): "
                "close what else uses the GPU, or build for a smaller batch"
            ) from error
        return cls(buffer, int(buffer.handle), shape, dtype, stream)

    def head(self, batch: int, ready: Event | Stream | None = None) -> DeviceArray:
        """The first `batch` entries along the first axis, in the same memory."""
        shape = (batch, *self.shape[1:])
        ready = self.ready if ready is None else ready
        return DeviceArray(self.owner, self.ptr, shape, self.dtype, self.stream, ready)

    def __getitem__(self, rows: slice) -> DeviceArray:
        """Neighbouring entries along the first axis, in the same memory. ContractError for any other part."""
        if not isinstance(rows, slice) or rows.step not in (None, 1):
            raise ContractError(f"a part of an array on the GPU is a range of its first axis, not {rows!r}")
        start, stop, _ = rows.indices(self.shape[0])
        shape = (max(stop - start, 0), *self.shape[1:])
        ptr = self.ptr + start * math.prod(self.shape[1:]) * self.dtype.itemsize
        return DeviceArray(self.owner, ptr, shape, self.dtype, self.stream, self.ready)

    def order(self, stream: Stream) -> None:
        """Let what is put on `stream` from now on run after this array is filled."""
        if stream != self.stream:
            with cuda_errors("ordering its work"):
                stream.wait(self.ready)

    def assign(self, source: np.ndarray | DeviceArray) -> None:
        """Put a copy of `source`, of this shape and dtype and C-contiguous, on this array's stream.

        `source` must stay alive and unchanged until the stream has got there. ContractError where it does not fit.
        """
        if (tuple(source.shape), source.dtype) != (self.shape, self.dtype):
            raise ContractError(
                f"{source.dtype}{list(source.shape)} does not fit an array on the GPU of {self.dtype}{list(self.shape)}"
            )
        if isinstance(source, DeviceArray):
            source.order(self.stream)
            _copy(self.ptr, source.ptr, self.nbytes, self.stream)
        else:
            if not source.flags.c_contiguous:
                raise ContractError("the array to copy to the GPU is not C-contiguous: use np.ascontiguousarray")
            _copy(self.ptr, source.ctypes.data, self.nbytes, self.stream)

    def copy(self) -> DeviceArray:
        """The same values in memory of their own, filled on the same stream."""
        twin = DeviceArray.empty(self.shape, self.dtype, self.stream)
        twin.assign(self)
        with cuda_errors("ordering its work"):
            twin.ready = self.stream.record()
        return twin

    def to_numpy(self, stream: Stream | None = None) -> np.ndarray:
        """The values on the host. Copies on `stream` (its own where None) and waits for the copy."""
        stream = self.stream if stream is None else stream
        self.order(stream)
        host = np.empty(self.shape, self.dtype)
        _copy(host.ctypes.data, self.ptr, self.nbytes, stream)
        with cuda_errors("finishing its work"):
            stream.sync()
        return host

    @property
    def __cuda_array_interface__(self) -> dict:
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.ptr, False),
            "strides": None,
            "stream": int(self.stream.handle) or DEFAULT_STREAM,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._strided_view().__dlpack_device__()

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        if copy or (dl_device is not None and tuple(dl_device) != self.__dlpack_device__()):
            raise BufferError("a DeviceArray is exchanged where it lies, without a copy")
        if stream != -1:
            with cuda_errors("handing an array on"):
                self.order(cuda_core().Stream.from_handle(stream or DEFAULT_STREAM))
        return self._strided_view().__dlpack__(stream=-1, max_version=max_version)

    def _strided_view(self) -> StridedMemoryView:
        core = cuda_core()
        buffer = core.Buffer.from_handle(self.ptr, self.nbytes, owner=self)
        return core.utils.StridedMemoryView.from_buffer(buffer, self.shape, dtype=self.dtype)


def pinned(shape: tuple[int, ...], dtype: np.dtype) -> tuple[np.ndarray, object]:
    """An array in page-locked host memory, which the GPU copies without the processor, and what keeps it alive."""
    nbytes = math.prod(shape) * dtype.itemsize
    with cuda_errors("taking pinned memory"):
        buffer = cuda_core().LegacyPinnedMemoryResource().allocate(nbytes)
    memory = (ctypes.c_uint8 * nbytes).from_address(int(buffer.handle))
    return np.ctypeslib.as_array(memory).view(dtype).reshape(shape), buffer


def view(array: object, stream: Stream, name: str = "the array") -> DeviceArray:
    """Another library's array on the GPU, readable by what is put on `stream` from now on. No copy is made.

    array: a DeviceArray, or anything with DLPack or `__cuda_array_interface__` (torch, CuPy, PyCUDA's GPUArray).
    ContractError, about `name`, where it is none of these, is not handed on by its library, is not C-contiguous, or
    lies elsewhere than on the GPU of `stream`. EngineError where the GPU fails.
    """
    if isinstance(array, DeviceArray):
        _check_place(name, array.stream.device.device_id, stream)
        array.order(stream)
        return array
    if not (hasattr(array, "__dlpack__") or hasattr(array, "__cuda_array_interface__")):
        raise ContractError(f"{name} is a {type(array).__name__}, neither a numpy array nor an array on the GPU")
    look = _view_dlpack if hasattr(array, "__dlpack__") else _view_interface
    try:
        with cuda_errors("taking an array of another library", but=NOT_EXCHANGED):
            seen, strides = look(array, stream, name)
    except NOT_EXCHANGED as error:
        raise ContractError(
            f"{name}, a {type(array).__name__}, cannot be read where it lies ({error}): "
            "give a plain C-contiguous array of the declared type"
        ) from error
    if not _contiguous(seen.shape, strides):
        raise ContractError(f"{name}, of shape {seen.shape} on the GPU, is not C-contiguous: make it so")
    return seen


def _view_dlpack(array: Any, stream: Stream, name: str) -> tuple[DeviceArray, Sequence[float] | None]:
    """The view, and its strides counted in elements."""
    kind, gpu = array.__dlpack_device__()
    _check_place(name, gpu if kind in ON_GPU else -1, stream)
    found = cuda_core().utils.StridedMemoryView.from_dlpack(array, int(stream.handle) or DEFAULT_STREAM)
    return DeviceArray(found, found.ptr, found.shape, found.dtype, stream), found.strides


def _view_interface(array: Any, stream: Stream, name: str) -> tuple[DeviceArray, Sequence[float] | None]:
    """As `_view_dlpack`."""
    interface = array.__cuda_array_interface__
    if interface.get("mask") is not None:
        raise ContractError(f"{name} is masked: give a plain array")
    core, dtype = cuda_core(), np.dtype(interface["typestr"])
    seen = DeviceArray(array, interface["data"][0], interface["shape"], dtype, stream)
    _check_place(name, core.Buffer.from_handle(seen.ptr, seen.nbytes).device_id, stream)
    # torch and PyCUDA name no stream here; unless told otherwise, both work on the default one.
    stream.wait(core.Stream.from_handle(interface.get("stream") or DEFAULT_STREAM))
    strides = interface.get("strides")
    return seen, None if strides is None else [step / dtype.itemsize for step in strides]


def _check_place(name: str, gpu: int, stream: Stream) -> None:
    here = stream.device.device_id
    if gpu < 0:
        raise ContractError(f"{name} is a foreign array in host memory: give a numpy array, or one on GPU {here}")
    if gpu != here:
        raise ContractError(f"{name} lies on GPU {gpu}: move it to GPU {here}, where the session is")


def _contiguous(shape: Sequence[int], strides: Sequence[float] | None) -> bool:
    if strides is None:
        return True
    expected = 1
    for length, step in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and step != expected:
            return False
        expected *= length
    return True


def _copy(target: int, source: int, nbytes: int, stream: Stream) -> None:
    """Copy between any two addresses, host or GPU; CUDA tells which is which by their values."""
    buffer = cuda_core().Buffer
    with cuda_errors("copying an array"):
        stream.device.set_current()
        buffer.from_handle(target, nbytes).copy_from(buffer.from_handle(source, nbytes), stream=stream)
