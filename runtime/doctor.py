"""What this machine can run, which versions, and what to install for more."""

from __future__ import annotations

import os
import platform

from rich.table import Table

from cstm.packages import installed_version
from cstm.runtime.backends import MODULES, backend
from cstm.runtime.device_array import cuda_device

TOOLS = {
    "cstm build": ("torch", "onnx", "onnxscript", "onnxslim", "nvidia-modelopt", "polygraphy", "onnxruntime"),
    "engines without a GPU": ("tensorrt-rtx-cu13",),
    "engines on this GPU": ("tensorrt", "cuda-core"),
}


def machine() -> dict[str, str]:
    """The machine in words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = ", ".join(f"{_plural(w, 'worker')} of {_plural(t, 'thread')}" for w, t in partition(cores))
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": f"{cores} ({shares}: cstm segment --threads N, Segmenter(threads=N))",
        "GPU": cuda_device() or "none that CUDA can use",
    }


def partition(cores: int) -> list[tuple[int, int]]:
    """How workers share out `cores`: (workers, threads of each), from one worker with all to one a core."""
    return [(workers, cores // workers) for workers in range(1, cores + 1) if cores % workers == 0]


def backend_table() -> Table:
    """Each backend in the order in which "auto" tries them: its version, and whether it runs or what it lacks."""
    shown = Table("backend", "version", "state", title="cstm segment can run on")
    for name in MODULES:
        found = backend(name)
        problem = (found.problem() or "").removeprefix(f"{name}: ")
        shown.add_row(name, found.version() or "", f"[yellow]{_plain(problem)}" if problem else "[green]ready")
    return shown


def tool_table() -> Table:
    """What the other commands need, and the versions found."""
    shown = Table("for", "package", "version", title="other commands need")
    for purpose, packages in TOOLS.items():
        for package in packages:
            shown.add_row(purpose, package, installed_version(package) or "[yellow]not installed")
    return shown


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
