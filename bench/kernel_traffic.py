"""Bytes that the kernels ask of the memory, against the least that an operator with two readings can move."""

from __future__ import annotations

import torch

from cstm.bench.kernel_shapes import OperatorShape
from cstm.kernels.launch import Launch
from cstm.kernels.modulation import raise_channels, score_words, weigh_words
from cstm.kernels.selection import blend_streams, pool_streams


def traffic(shape: OperatorShape) -> dict[str, int | float]:
    """{"moved", "floor": bytes, "ratio": the one over the other}.

    The floor reads and writes each tensor of the operator once, and a second time those that are pooled first. Moved:
    what programs load and store, caches disregarded; small tensors are read by every program that shares them.
    """
    moved = sum(_moved(launch) for launch in shape.launches)
    floor = _floor(shape)
    return {"moved": moved, "floor": floor, "ratio": moved / floor}


def _floor(shape: OperatorShape) -> int:
    if shape.operator == "modulate":
        score, weigh, apply = (_tensors(launch) for launch in shape.launches)
        (u, key), bias, (x, u, gate) = score[:2], weigh[1], apply[:3]
        return sum(map(_bytes, (u, key, bias, x, u, gate, x)))
    spatial, temporal, scores = _tensors(shape.launches[1])[:3]
    return sum(map(_bytes, (spatial, temporal, spatial, temporal, scores, spatial)))


def _moved(launch: Launch) -> int:
    """Maps are cut into tiles that do not overlap; what belongs to a row or a sample is read again in each tile."""
    tensors = _tensors(launch)
    programs = launch.grid[0]
    columns = launch.grid[-1]
    sizes = [_bytes(tensor) for tensor in tensors]
    if launch.kernel is score_words:
        u, key, parts = sizes
        return u + key * columns + parts
    if launch.kernel in (weigh_words, pool_streams):
        return sum(sizes)
    if launch.kernel is raise_channels:
        x, u, gate, weights, out = sizes
        return x + u + gate * columns + weights // tensors[3].shape[0] * programs * columns + out
    assert launch.kernel is blend_streams
    spatial, temporal, scores, out = sizes
    return spatial + temporal + scores * columns + out


def _tensors(launch: Launch) -> list[torch.Tensor]:
    return [argument for argument in launch.arguments if isinstance(argument, torch.Tensor)]


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
