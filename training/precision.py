"""Mixed precision and memory layout in training."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from cstm.models.cstm import CSTM, StreamEncoder, as_it_is

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# On the CPU, PyTorch's bfloat16 gradient of a Conv3d's weights on small maps comes out as NaN or 1e33.
FLOAT32_ON_CPU = (3, 4)  # stages, from 0


def autocast(precision: str, device: str) -> torch.autocast:
    """The context to run the network in."""
    return torch.autocast(device, DTYPES.get(precision), enabled=precision in DTYPES)


def channels_last(model: CSTM) -> CSTM:
    """`model` with its convolutions' weights laid out channels last, as they compute fastest; the layout spreads."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last)
        elif isinstance(module, nn.Conv3d):
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last_3d)
    return model


class Float32At:
    """A `Computation`: these stages, from 0, in float32 whatever the context, the others as they are."""

    def __init__(self, stages: Collection[int]):
        self.stages = frozenset(stages)

    def __call__(self, index: int, part: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        """As `Computation`."""
        if index not in self.stages:
            return as_it_is(index, part, *inputs)
        with torch.autocast(inputs[0].device.type, enabled=False):
            return part(*(x.float() for x in inputs))


def keep_float32(model: CSTM, device: str) -> None:
    """Have the parts of `model` that need it on this device compute in float32."""
    if device == "cpu" and "temporal" in model.encoders:
        encoder = model.encoders["temporal"]
        assert isinstance(encoder, StreamEncoder)
        encoder.compute = Float32At(FLOAT32_ON_CPU)
