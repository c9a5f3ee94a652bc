"""The network's real shapes: what each operator works on at every stage of the `paper` preset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from cstm.kernels.launch import Launch
from cstm.kernels.modulation import modulation
from cstm.kernels.selection import blending, pooling
from cstm.models.config import STAGES, STREAMS, CSTMConfig

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
TEMPORAL_STRIDES = (2, 2, 2, 4, 8)  # frames in a clip over T after stages 1..5
CONFIG = CSTMConfig.from_preset("paper")


@dataclass(frozen=True)
class OperatorShape:
    """One operator at one place of the network: its map's shape and its launches, on the device "meta"."""

    operator: str
    where: str
    shape: tuple[int, ...]
    launches: tuple[Launch, ...]


def network_shapes() -> list[tuple[str, str, tuple[int, ...]]]:
    """(operator, place, shape of its maps for one sample): CMAM in both streams, then LGFS, at stages 1..5."""
    shapes = [("modulate", f"{s} {stage}", _map_shape(s, stage)) for s in STREAMS for stage in STAGES]
    return shapes + [("select", f"fusion {stage}", (1, CONFIG.decoder_width, *_sides(stage))) for stage in STAGES]


def network_launches(dtype: torch.dtype) -> Iterator[OperatorShape]:
    """The launches at each of `network_shapes`, maps and weights of `dtype`."""
    for operator, where, shape in network_shapes():
        launches = _modulation(shape, dtype) if operator == "modulate" else _selection(shape, dtype)
        yield OperatorShape(operator, where, shape, launches)


def _modulation(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Launch, ...]:
    plan = (shape[0], shape[1], CONFIG.max_words)
    shapes = (shape, shape, plan, (plan[0], plan[2]), plan)
    return tuple(modulation(*(torch.empty(s, dtype=dtype, device="meta") for s in shapes))[1])


def _selection(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Launch, ...]:
    shapes = (shape, shape, (shape[0], 2 * shape[1]))
    spatial, temporal, scores = (torch.empty(s, dtype=dtype, device="meta") for s in shapes)
    return pooling(spatial, temporal)[1], blending(spatial, temporal, scores)[1]


def _map_shape(stream: str, stage: int) -> tuple[int, ...]:
    depth = (CONFIG.frames // TEMPORAL_STRIDES[stage - 1],) if stream == "temporal" else ()
    return (1, CONFIG.channels(stream)[stage - 1], *depth, *_sides(stage))


def _sides(stage: int) -> tuple[int, int]:
    return (CONFIG.size >> stage,) * 2
