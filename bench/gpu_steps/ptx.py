"""Does the driver take what an engine's plugin carries: PTX for sm_80 without Triton's scratch pointers?

The five kernels are compiled for a batch of one, as for an engine, and launched as the plugin does, for a larger one.
"""

from __future__ import annotations

import ctypes
import re
from typing import Any

import torch
from torch import Tensor

from cstm.bench.gpu_steps.operators import OPERATORS, answer_error, arguments
from cstm.bench.gpu_steps.place import Found, Place, Skipped, tell
from cstm.bench.kernel_shapes import DTYPES
from cstm.errors import ParityError
from cstm.kernels.aot import compile_call
from cstm.kernels.call import KernelCall
from cstm.kernels.modulation import modulation
from cstm.kernels.plain import stream_scores
from cstm.kernels.plugin_v3 import _launch, _load
from cstm.kernels.selection import blending, pooling
from cstm.runtime.device_array import open_device

SHAPE = (70, 5, 33, 47)  # of maps, without the batch; no axis fills its tiles
BATCH = 3
WANTED = {"version": "8.0", "target": "sm_80"}


def run(place: Place) -> Found:
    """A row for each operator and type: how far the driver's answers are, None in a dry run, which only compiles."""
    import triton

    if triton.knobs.runtime.interpret:
        raise Skipped("Triton interprets its kernels here: nothing is compiled")
    rows = [_row(name, dtype, place) for name in OPERATORS for dtype in DTYPES]
    far = [row for row in rows if row["error"] is not None and not row["error"] < row["bound"]]
    said = "compiled; no driver here to take it" if place.dry else f"{len(rows) - len(far)} of {len(rows)} right"
    return Found(said, {"answers": rows, "ptx": WANTED}, passed=not far)


def _row(name: str, dtype: str, place: Place) -> dict[str, Any]:
    tell(f"{name} {dtype}")
    device = torch.device(place.device)
    given = arguments(name, (BATCH, *SHAPE), dtype, device)
    compiled = _compiled(name, given)
    row: dict[str, Any] = {"operator": name, "dtype": dtype, "error": None, "bound": None}
    if place.dry:
        return row
    open_device()
    answer = {"modulate": _modulate, "select": _select}[name](compiled, given)
    torch.cuda.synchronize()
    expected = OPERATORS[name][1](*(tensor.double() for tensor in given))
    row["error"], row["bound"] = answer_error(answer, expected, dtype)
    return row


def _compiled(name: str, given: list[Tensor]) -> list[KernelCall]:
    """The operator's kernels, as a plugin has them. ParityError where their PTX is for other drivers or GPUs."""
    one = [torch.empty(1, *tensor.shape[1:], dtype=tensor.dtype, device="meta") for tensor in given]
    if name == "modulate":
        launches = modulation(*one)[1]
    else:
        spatial, temporal, *_ = one
        pooled, pool = pooling(spatial, temporal)
        launches = [pool, blending(spatial, temporal, pooled)[1]]
    calls = [compile_call(launch) for launch in launches]
    for call in calls:
        found = {key: match[1] for key in WANTED if (match := re.search(rf"\.{key} ([\w.]+)", call.ptx))}
        if found != WANTED:
            raise ParityError(f"{call.entry}: its PTX is {found}, not {WANTED}")
    return calls


def _modulate(calls: list[KernelCall], given: list[Tensor]) -> Tensor:
    x, u, key, bias, gate = given
    score, weigh, raise_ = calls
    return _call(raise_, x, u, gate, _call(weigh, _call(score, u, key), bias))


def _select(calls: list[KernelCall], given: list[Tensor]) -> Tensor:
    pool, blend = calls
    maps, layers = given[:2], given[2:]
    return _call(blend, *maps, stream_scores(_call(pool, *maps), *layers))


def _call(made: KernelCall, *read: Tensor) -> Tensor:
    """What the kernel writes, launched by the driver on PyTorch's stream."""
    written = torch.empty(BATCH, *made.shape, dtype=getattr(torch, made.dtype), device="cuda")
    values = [*(tensor.data_ptr() for tensor in read), *made.scalars, written.data_ptr()]
    kinds = [ctypes.c_void_p] * len(read) + [ctypes.c_int32] * len(made.scalars) + [ctypes.c_void_p]
    stream = torch.cuda.current_stream().cuda_stream
    _launch(_load(made), (made.blocks * BATCH, made.columns), made, (tuple(values), tuple(kinds)), stream)
    return written
