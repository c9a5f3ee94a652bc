"""Mixed precision and memory layout in training."""

from __future__ import annotations

import functools

import torch
from torch import nn

from cstm.models.cstm import CSTM

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# On the CPU, PyTorch's bfloat16 gradient of a Conv3d's weights on small maps comes out as NaN or 1e33.
FLOAT32_ON_CPU = (3, 4)


def autocast(precision: str, device: str) -> torch.autocast:
    """The context to run the network in."""
    return torch.autocast(device, DTYPES.get(precision), enabled=precision in DTYPES)


def channels_last(model: CSTM) -> CSTM:
    """`model` with its convolutions' weights laid out channels last, as they compute fastest; the layout spreads."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
        elif isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)
    return model


def keep_float32(model: CSTM, device: str) -> None:
    """Have the parts that need it compute in float32 whatever the context. Changes `model` in place, not its names."""
    if device != "cpu" or "temporal" not in model.encoders:
        return
    encoder = model.encoders["temporal"]
    for index in FLOAT32_ON_CPU:
        for part in (encoder.stages[index], *encoder.cmam[index : index + 1]):
            part.forward = functools.partial(_in_float32, part.forward)


def _in_float32(forward, *inputs):
    with torch.autocast("cpu", enabled=False):
        return forward(*(x.float() for x in inputs))
