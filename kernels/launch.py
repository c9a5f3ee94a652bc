"""One launch of a Triton kernel as a value: it can be run, or looked at (compiled ahead, counted) without a GPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch

OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}  # said, because Triton's defaults change between versions


@dataclass(frozen=True)
class Launch:
    """`kernel[grid](*arguments, **constants)`. arguments: the tensors read, integers, then the tensor written, as
    TensorRT wants its plugins' kernels; constants: the kernel's constexprs.

    Made from tensors on the device "meta", it cannot run but says all that a compiler needs.
    """

    kernel: object
    grid: tuple[int, ...]
    arguments: tuple[torch.Tensor | int, ...]
    constants: dict[str, int]

    def run(self) -> None:
        """Queue the kernel on the current stream of its tensors' GPU."""
        with torch.cuda.device_of(self.arguments[0]):
            self.kernel[self.grid](*self.arguments, **self.constants, **OPTIONS)
