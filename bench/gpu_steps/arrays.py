"""Are our arrays on the GPU exchanged with PyTorch both ways, without a copy, and read and written from the host?"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch

from cstm.bench.gpu_steps.place import Found, Place, same, tell
from cstm.bench.gpu_steps.torch_side import TorchSide
from cstm.errors import ContractError, ParityError
from cstm.runtime.device_array import DeviceArray, open_device, pinned, view

SHAPE = (2, 3, 64)


class Exchange:
    """values: float32. array: they, on the GPU, by a stream of its own. other: a second stream."""

    def __init__(self, side: TorchSide):
        self.side = side
        device = open_device()
        self.other = device.create_stream()
        self.values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
        self.array = DeviceArray.empty(SHAPE, "float32", device.create_stream())
        self.array.assign(self.values)

    def host(self) -> None:
        """To the host by either stream, whole, in part and as a copy."""
        same(self.array.to_numpy(), self.values, "its own stream")
        same(self.array.to_numpy(self.other), self.values, "another stream")
        same(self.array.copy().to_numpy(), self.values, "a copy")
        same(self.array[1:].to_numpy(self.other), self.values[1:], "a part")

    def pinned(self) -> None:
        """Through page-locked memory."""
        host, _owner = pinned(SHAPE, self.values.dtype)
        host[:] = -self.values
        target = DeviceArray.empty(SHAPE, "float32", self.other)
        target.assign(host)
        same(target.to_numpy(), -self.values, "pinned memory")

    def thread(self) -> None:
        """In a thread, which has no CUDA context to begin with."""
        found: list[np.ndarray] = []
        thread = threading.Thread(target=lambda: found.append(self.array.to_numpy()))
        thread.start()
        thread.join()
        if not found:
            raise ParityError("a second thread could not read the array; its error is above")
        same(found[0], self.values, "a second thread")

    def to_torch(self) -> None:
        """Ours, as PyTorch's, by both protocols."""
        for protocol, take in (("DLPack", torch.from_dlpack), ("the interface", self.side.from_interface)):
            tensor = take(self.array)
            _same_place(tensor.data_ptr(), self.array.ptr, protocol)
            same(tensor.cpu().numpy(), self.values, f"ours by {protocol}")

    def from_torch(self) -> None:
        """PyTorch's, as ours, by both protocols."""
        for protocol, show in (("DLPack", self.side.by_dlpack), ("the interface", self.side.by_interface)):
            tensor = self.side.tensor(self.values) + 1
            seen = view(show(tensor), self.other)
            _same_place(seen.ptr, tensor.data_ptr(), protocol)
            same(seen.to_numpy(), self.values + 1, f"PyTorch's by {protocol}")

    def refused(self) -> None:
        """What lies on the host, or with gaps."""
        gaps = self.side.tensor(self.values).transpose(0, 1)
        for what, given in (("a tensor on the host", torch.zeros(4)), ("gaps", self.side.by_dlpack(gaps))):
            try:
                view(given, self.other)
            except ContractError:
                continue
            raise ParityError(f"{what}: taken, and should have been refused")


CHECKS = (Exchange.host, Exchange.pinned, Exchange.thread, Exchange.to_torch, Exchange.from_torch, Exchange.refused)


def run(place: Place) -> Found:
    """Every check in turn. ParityError where one fails."""
    exchange = Exchange(TorchSide(place))
    for check in CHECKS:
        tell(check.__name__)
        check(exchange)
    return Found(f"{len(CHECKS)} ways right", {"ways": [check.__name__ for check in CHECKS]})


def _same_place(one: Any, other: Any, protocol: str) -> None:
    if one != other:
        raise ParityError(f"{protocol}: copied on the way")
