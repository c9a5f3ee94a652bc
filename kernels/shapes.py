"""The network's real shapes: what each operator is launched with at every stage of the `paper` preset."""

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


@dataclass(frozen=True)
class OperatorShape:
    """One operator at one place of the network: its map's shape and its launches, on the device "meta"."""

    operator: str
    where: str
    shape: tuple[int, ...]
    launches: tuple[Launch, ...]


def map_shape(config: CSTMConfig, stream: str, stage: int, batch: int = 1) -> tuple[int, ...]:
    """[B,C,H,W] or [B,C,T,H,W] of X and U at a stage of `stream`."""
    side = config.size >> stage
    depth = (config.frames // TEMPORAL_STRIDES[stage - 1],) if stream == "temporal" else ()
    return (batch, config.channels(stream)[stage - 1], *depth, side, side)


def network_launches(dtype: torch.dtype, batch: int = 1) -> Iterator[OperatorShape]:
    """CMAM at every stage of both streams, then LGFS at every stage; maps and weights of `dtype`."""
    config = CSTMConfig.from_preset("paper")

    def empty(*shape):
        return torch.empty(shape, dtype=dtype, device="meta")

    for stream in STREAMS:
        for stage in STAGES:
            shape = map_shape(config, stream, stage, batch)
            plan = (batch, shape[1], config.max_words)
            _, launches = modulation(empty(*shape), empty(*shape), empty(*plan), empty(batch, plan[2]), empty(*plan))
            yield OperatorShape("modulate", f"{stream} {stage}", shape, tuple(launches))
    for stage in STAGES:
        shape = (batch, config.decoder_width, config.size >> stage, config.size >> stage)
        maps, scores = (empty(*shape), empty(*shape)), empty(batch, 2 * config.decoder_width)
        launches = (pooling(*maps)[1], blending(*maps, scores)[1])
        yield OperatorShape("select", f"fusion {stage}", shape, launches)
