"""The machine that was measured."""

from __future__ import annotations

import platform
from pathlib import Path

from cstm.runtime.device_array import cuda_device


def machine() -> dict[str, str | None]:
    """{platform, processor, gpu}, by name; None without a GPU."""
    return {"platform": platform.platform(), "processor": processor(), "gpu": cuda_device()}


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
