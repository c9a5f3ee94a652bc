"""How fast does each kernel of ours move its maps, at every place and type, beside a copy of as many bytes on the GPU?

Each is timed with a cold L2 cache, and replayed as a CUDA graph, so that no launch waits for the host.
"""

from __future__ import annotations

import time
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor

from cstm.bench.gpu_steps.operators import OPERATORS, Operator, places
from cstm.bench.gpu_steps.place import Found, Place, tell
from cstm.bench.gpu_steps.torch_side import TorchSide, Work
from cstm.bench.kernel_shapes import DTYPES
from cstm.kernels.launch import Launch

WARM_UP, REPEAT = 5, 20  # milliseconds of each, a timing
BIG, AIM = 4e6, 0.8  # bytes from which a kernel ought to be bound by memory; of a copy's rate
LARGE = 1 << 30  # bytes that the copy moves whose rate is the GPU's
Row = dict[str, Any]


class Timer:
    """Medians. side: whose device it is."""

    def __init__(self, side: TorchSide):
        self.side = side
        self.copy = cache(self._copy)

    def __call__(self, work: Work) -> float:
        """Microseconds of `work`, which fills memory that stays."""
        replay = self.side.captured(work)
        if self.side.dry:
            start = time.perf_counter()
            replay()
            return 1e6 * (time.perf_counter() - start)
        from triton.testing import do_bench

        return 1e3 * do_bench(replay, warmup=WARM_UP, rep=REPEAT, return_mode="median")

    def _copy(self, moved: int) -> float:
        """Microseconds of a copy on the device that reads and writes `moved` bytes together."""
        source, target = (torch.zeros(moved // 2, dtype=torch.uint8, device=self.side.device) for _ in range(2))
        return self(lambda: target.copy_(source))


def run(place: Place) -> Found:
    """Rows by kernel and by operator. Nothing fails by being slow: "slow" lists the big ones that miss the aim."""
    timer = Timer(TorchSide(place))
    large = LARGE >> (10 if place.dry else 0)
    peak = _rate(large, timer.copy(large))
    kernels: list[Row] = []
    operators: list[Row] = []
    for (name, where, shape), dtype in product(places(place.dry), DTYPES):
        tell(f"{name} {where} {dtype}")
        operator = Operator.make(name, shape, dtype, timer.side.device)
        at = {"where": where, "dtype": dtype}
        kernels += [{"kernel": launch.kernel.__name__} | at | _kernel(launch, timer) for launch in operator.launches]
        operators.append({"operator": name} | at | _operator(operator, timer))
    slow = [row for row in kernels if row["bytes"] >= BIG and row["of_copy"] < AIM]
    big = sum(row["bytes"] >= BIG for row in kernels)
    said = f"a copy moves {peak:.0f} GB/s; {big - len(slow)} of {big} big kernels reach {AIM} of one like theirs"
    faster = sum(row["us"] < row["plain_us"] for row in operators)
    said += f"; {faster} of {len(operators)} operators are faster than PyTorch's"
    if place.dry:
        said = f"{len(kernels)} kernels and {len(operators)} operators ran"
    figures = {"copy_gb_s": peak, "kernels": kernels, "operators": operators}
    return Found(said, figures | {"slow": ["{kernel} {where} {dtype}".format_map(row) for row in slow]})


def _kernel(launch: Launch, timer: Timer) -> Row:
    """bytes: of its tensors, each read or written once. of_copy: a copy's time for as many, over its own."""
    moved = sum(a.numel() * a.element_size() for a in launch.arguments if isinstance(a, Tensor))
    spent = timer(launch.run)
    row = {"bytes": moved, "us": spent, "gb_s": _rate(moved, spent), "of_copy": timer.copy(moved) / spent}
    return {name: round(value, 3) for name, value in row.items()}


def _operator(operator: Operator, timer: Timer) -> Row:
    """Ours, and its definition in PyTorch, which makes a new answer each time."""
    _, definition = OPERATORS[operator.name]
    plainly = lambda: operator.out.copy_(definition(*operator.arguments))  # noqa: E731
    return {"us": round(timer(operator.run), 3), "plain_us": round(timer(plainly), 3)}


def _rate(moved: int, microseconds: float) -> float:
    """Gigabytes a second."""
    return round(moved / microseconds / 1e3, 1)
