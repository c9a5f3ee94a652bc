"""One launch of a Triton kernel as a value: it can be run, or looked at (compiled ahead, counted) without a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import triton

OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}  # said, because Triton's defaults change between versions


@dataclass(frozen=True)
class Launch:
    """`kernel[grid](*arguments, **constants)`. arguments: the tensors read, integers, then the tensor written, as
    TensorRT wants its plugins' kernels; constants: the kernel's constexprs.

    Made from tensors on the device "meta", it cannot run but says all that a compiler needs.
    """

    kernel: triton.JITFunction
    grid: tuple[int, ...]
    arguments: tuple[Tensor | int, ...]
    constants: dict[str, int]

    @property
    def read(self) -> Tensor:
        """The first tensor read."""
        return _tensor(self.arguments[0])

    @property
    def written(self) -> Tensor:
        """The tensor written."""
        return _tensor(self.arguments[-1])

    def run(self) -> None:
        """Queue the kernel on the current stream of its tensors' GPU."""
        with torch.cuda.device_of(self.read):
            self.kernel[self.grid](*self.arguments, **self.constants, **OPTIONS)


def _tensor(argument: Tensor | int) -> Tensor:
    assert isinstance(argument, Tensor)
    return argument
