"""What the kernels take; a message for what they do not."""

from __future__ import annotations

import torch

from cstm.errors import ContractError

DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def check_maps(**maps: torch.Tensor) -> None:
    """ContractError unless all are contiguous [B,C,...], not empty, of one shape, dtype and device."""
    (first_name, first), *_ = maps.items()
    for name, value in maps.items():
        _check_dtype(name, value)
        if value.dim() < 3 or value.numel() == 0:
            raise ContractError(f"{name} has shape {tuple(value.shape)}, expected [B,C,...] with no empty axis")
        if not value.is_contiguous():
            raise ContractError(f"{name} is not contiguous: call .contiguous(), or use the plain definition")
        if (value.shape, value.dtype, value.device) != (first.shape, first.dtype, first.device):
            raise ContractError(
                f"{name} is {_describe(value)}, {first_name} {_describe(first)}: shape, dtype and device must be equal"
            )


def check_shapes(device: torch.device, expected: dict[str, tuple[torch.Tensor, tuple[int, ...]]]) -> None:
    """ContractError unless every tensor has its shape, a dtype that the kernels take, and is on `device`."""
    for name, (value, shape) in expected.items():
        _check_dtype(name, value)
        if tuple(value.shape) != shape or 0 in shape:
            raise ContractError(f"{name} has shape {tuple(value.shape)}, expected {shape} with no empty axis")
        if value.device != device:
            raise ContractError(f"{name} is on {value.device}, the maps are on {device}")


def _check_dtype(name: str, value: torch.Tensor) -> None:
    if value.dtype not in DTYPES:
        raise ContractError(f"{name} is {value.dtype}, expected float16, bfloat16 or float32")


def _describe(value: torch.Tensor) -> str:
    return f"{value.dtype} {list(value.shape)} on {value.device}"
