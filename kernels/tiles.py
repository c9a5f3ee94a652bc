"""How the kernels cut maps [B,C,P] of P positions: a program works on some channels x positions of one sample.

Nothing here depends on the batch or on the GPU, so a sample's result depends on neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

TILE = 2048  # elements a program holds at once: 16 for each of its 128 threads
PROGRAMS = 512  # enough to fill the largest GPUs, for one sample


@dataclass(frozen=True)
class Tiling:
    """A tile's sizes, powers of two. rows: channels, span: positions, words: N rounded up (1 where there is none)."""

    rows: int
    span: int
    words: int

    def blocks(self, channels: int) -> int:
        """Tiles beside each other that hold all channels of a sample."""
        return triton.cdiv(channels, self.rows)

    def share(self, channels: int, positions: int) -> int:
        """Positions, a multiple of `span`, that one program sums: fewer than all of them where channels are few."""
        spans = triton.cdiv(positions, self.span)
        splits = max(1, min(spans, PROGRAMS // self.blocks(channels)))
        return triton.cdiv(spans, splits) * self.span


def tiling(channels: int, positions: int, words: int = 1) -> Tiling:
    """Tiles as wide as the map, up to TILE positions, and as tall as then fits."""
    span = min(TILE, max(16, triton.next_power_of_2(positions)))
    width = triton.next_power_of_2(words)
    rows = max(1, min(TILE // span, 2 * TILE // width, triton.next_power_of_2(channels)))
    return Tiling(rows, span, width)


@triton.jit
def tile_rows(channels: tl.tensor, ROWS: tl.constexpr) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """This program's sample, the channels [ROWS] of its tile, and which of them there are; from the first grid axis."""
    blocks = tl.cdiv(channels, ROWS)
    sample = tl.program_id(0) // blocks
    channel = tl.program_id(0) % blocks * ROWS + tl.arange(0, ROWS)
    return sample, channel, channel < channels


@triton.jit
def row_means(
    maps: tl.tensor,
    row: tl.tensor,
    present: tl.tensor,
    first: tl.tensor,
    last: tl.tensor,
    positions: tl.tensor,
    ROWS: tl.constexpr,
    SPAN: tl.constexpr,
) -> tl.tensor:
    """[ROWS] in FP32: what positions first..last add to the mean of each row of `maps` [rows, positions].

    Dividing before summing keeps the mean of values near the type's maximum finite.
    """
    total = tl.zeros([ROWS, SPAN], tl.float32)
    for start in range(first, last, SPAN):
        position = start + tl.arange(0, SPAN)
        mask = present[:, None] & (position < last)[None, :]
        tile = tl.load(maps + row.to(tl.int64)[:, None] * positions + position[None, :], mask=mask, other=0.0)
        total += tile.to(tl.float32) * (1.0 / positions)
    return tl.sum(total, 1)
