"""Kernels compiled ahead of time, with no GPU, into what a TensorRT engine carries."""

from __future__ import annotations

import re

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cstm.errors import RequestError
from cstm.kernels.call import KernelCall
from cstm.kernels.launch import OPTIONS, Launch

WARP = 32
OLDEST = 80  # PTX for this capability runs on every later GPU, whose driver compiles it on loading
# Of PTX itself: 8.0, which drivers from CUDA 12.0 on take. Left alone, Triton 3.7 writes 8.7, for drivers from 570 on.
PTX_VERSION = 80
MOST_SHARED = 48 << 10  # bytes that a launch may have without asking the driver for more
POINTERS = {torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.float32: "*fp32"}
ALIGNED = [["tt.divisibility", 16]]  # what Triton's launcher finds out about pointers and integers by itself
SCRATCH = 2  # pointers that Triton adds to every kernel's parameters, for scratch memory; ours need none


def compile_call(launch: Launch, capability: int = OLDEST) -> KernelCall:
    """For GPUs from `capability` on. launch: for a batch of 1; its tensors may be on the device "meta"."""
    with triton.knobs.compilation.scope():
        triton.knobs.compilation.disable_line_info = True  # it names this machine's folders
        compiled = compile_kernel(launch, capability, ptx_version=PTX_VERSION)
    name, shared = compiled.metadata.name, compiled.metadata.shared
    if shared > MOST_SHARED:
        raise RequestError(f"{name} needs {shared} bytes of shared memory a program; a plugin has {MOST_SHARED}")
    written = launch.written
    return KernelCall(
        ptx=without_scratch(compiled.asm["ptx"]),
        entry=name,
        blocks=launch.grid[0],
        columns=launch.grid[1] if len(launch.grid) > 1 else 1,
        threads=compiled.metadata.num_warps * WARP,
        shared=shared,
        scalars=tuple(argument for argument in launch.arguments if isinstance(argument, int)),
        shape=tuple(written.shape[1:]),
        dtype=str(written.dtype).removeprefix("torch."),
    )


def compile_kernel(launch: Launch, capability: int, **options: int) -> triton.compiler.CompiledKernel:
    """Triton's compiled kernel, with its `asm` and `metadata`. options: of Triton's compiler."""
    return triton.compile(source(launch), target=GPUTarget("cuda", capability, WARP), options=OPTIONS | options)


def source(launch: Launch) -> ASTSource:
    """What the launch is compiled from, alignment included."""
    names = launch.kernel.arg_names
    arguments = dict(zip(names, launch.arguments, strict=False))
    signature = {n: POINTERS[v.dtype] if isinstance(v, torch.Tensor) else "i32" for n, v in arguments.items()}
    signature |= dict.fromkeys(launch.constants, "constexpr")
    aligned = [n for n, v in arguments.items() if isinstance(v, torch.Tensor) or v % 16 == 0]
    attributes = {(names.index(name),): ALIGNED for name in aligned}
    return ASTSource(launch.kernel, signature, launch.constants, attributes)


def without_scratch(ptx: str) -> str:
    """The same kernel without the parameters that Triton adds: TensorRT passes those that it knows of, and no more."""
    start = ptx.index("(", ptx.index(".visible .entry")) + 1
    end = ptx.index(")", start)
    parameters = ptx[start:end].split(",")
    for parameter in parameters[-SCRATCH:]:
        name = parameter.split()[-1]
        if len(re.findall(rf"\b{re.escape(name)}\b", ptx)) > 1:
            raise RequestError(f"this Triton's kernels use {name}, which no TensorRT plugin can pass; use triton 3.7")
    return ptx[:start] + ",".join(parameters[:-SCRATCH]) + "\n" + ptx[end:]
