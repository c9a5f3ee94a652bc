"""PyTorch as the other side of our exchange: on a GPU, or in a dry run on the host memory that stands in for one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cstm.bench.gpu_steps import host_cuda
from cstm.bench.gpu_steps.host_cuda import Work
from cstm.bench.gpu_steps.place import Place

SLOW = 3_000_000  # of the GPU's cycles, a millisecond or more


class TorchSide:
    """device: PyTorch's. dry: whether it is the CPU, whose `cuda.core` from now on is the stand-in."""

    def __init__(self, place: Place):
        self.device, self.dry = torch.device(place.device), place.dry
        if self.dry:
            host_cuda.use()

    def tensor(self, values: np.ndarray) -> Tensor:
        """A copy of `values` on the device."""
        return torch.from_numpy(values).to(self.device, copy=True)

    def tensor_at(self, address: int, shape: tuple[int, ...], dtype: str) -> Tensor:
        """What lies at an address of the device, which others keep alive. dtype: numpy's name."""
        if self.dry:
            return torch.from_numpy(host_cuda.array_at(address, shape, dtype))
        return torch.as_tensor(_Interface(_interface(address, shape, dtype)), device="cuda")

    def by_dlpack(self, tensor: Tensor) -> Any:
        """The tensor as whoever asks for DLPack sees it on a GPU."""
        return host_cuda.Claimed(tensor) if self.dry else tensor

    def by_interface(self, tensor: Tensor) -> Any:
        """An array that shows nothing of the tensor but its `__cuda_array_interface__`."""
        dtype = str(tensor.dtype).removeprefix("torch.")
        told = _interface(tensor.data_ptr(), tuple(tensor.shape), dtype)
        return _Interface(told if self.dry else tensor.__cuda_array_interface__, tensor)

    def from_interface(self, array: Any) -> Tensor:
        """A tensor made of an array's `__cuda_array_interface__`, for whose values PyTorch does not wait."""
        if not self.dry:
            return torch.as_tensor(array, device="cuda")
        told = array.__cuda_array_interface__
        return self.tensor_at(told["data"][0], told["shape"], told["typestr"])

    def sleep(self, cycles: int = SLOW) -> None:
        """Keep the current stream busy."""
        if not self.dry:
            torch.cuda._sleep(cycles)

    def own_stream(self) -> AbstractContextManager:
        """Within it, PyTorch works on a stream of its own."""
        return nullcontext() if self.dry else torch.cuda.stream(torch.cuda.Stream())

    def put(self, handle: int, work: Work) -> None:
        """Have `work` done on a stream."""
        if self.dry:
            host_cuda.put(handle, work)
        else:
            with torch.cuda.stream(torch.cuda.ExternalStream(handle)):
                work()

    def captured(self, work: Work) -> Work:
        """`work`, which fills memory that stays, as a CUDA graph to replay; itself in a dry run."""
        work()
        if self.dry:
            return work
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay


class _Interface:
    """What has that, and nothing else. owner: keeps the memory."""

    def __init__(self, told: dict[str, Any], owner: object = None):
        self.__cuda_array_interface__, self.owner = told, owner


def _interface(address: int, shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    return {"version": 2, "shape": shape, "typestr": np.dtype(dtype).str, "data": (address, False), "strides": None}
