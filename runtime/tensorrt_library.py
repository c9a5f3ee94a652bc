"""TensorRT's module, `tensorrt` or `tensorrt_rtx`: what it is, what it says, and what its engines are tied to."""

from __future__ import annotations

import functools
import importlib
import re
from collections import deque
from types import ModuleType
from typing import Any

from cstm.errors import EngineError, MissingDependencyError
from cstm.packages import EXTRAS
from cstm.runtime.device_array import cuda_architecture, cuda_device
from cstm.runtime.manifest import BuiltWith

PACKAGES = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx-cu13"}
MOST_LINES = 3
CANNOT_BUILD_FOR = {"75"}  # Turing: TensorRT-RTX 1.7 lists it, and fails when it compiles for it
OLDEST_COMPATIBLE = 80  # Ampere: the least compute capability of hardware-compatible engines
# Why TensorRT calls an engine invalid, and what to do.
WHY_INVALID = {
    "VERSION_MISMATCH": "it was built with another version: rebuild it with `cstm build`",
    "UNSUPPORTED_CC": "it was not built for this GPU's architecture: rebuild it with `cstm build` here",
    "OLD_CUDA_DRIVER": "the driver is too old: update it",
    "OLD_CUDA_RUNTIME": "the CUDA runtime is too old: update it",
    "INSUFFICIENT_GPU_MEMORY": "the GPU's memory is short: close what else uses it, or build for a smaller batch",
    "MALFORMED_ENGINE": "the file is damaged: rebuild it with `cstm build`",
    "CUDA_ERROR": "CUDA failed: see `cstm doctor`",
}


def load(backend: str) -> ModuleType:
    """The module. MissingDependencyError where it is not installed or cannot be loaded."""
    try:
        return importlib.import_module(backend)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f'{backend} cannot be imported ({error}): pip install "cstm[{EXTRAS[backend]}]"'
        ) from error


def tensorrt_version(name: str) -> str | None:
    """The version of the TensorRT called `name`, "tensorrt" or "tensorrt_rtx", by its module; None where there is none,
    or none that can be loaded."""
    try:
        return load(name).__version__
    except MissingDependencyError:
        return None


@functools.cache
def logger(trt: Any) -> Any:
    """Keeps TensorRT's errors, for ours to say. TensorRT keeps the first logger it is given for the whole process."""

    class Errors(trt.ILogger):
        """The last lines that TensorRT called errors."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: deque[str] = deque(maxlen=MOST_LINES)

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT, from any thread."""
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.lines.append(" ".join(message.split()))

    return Errors()


def said(trt: Any) -> str:
    """TensorRT's last errors in one line, which are then forgotten."""
    lines = logger(trt).lines
    told = "; ".join(lines) or "it gave no reason"
    lines.clear()
    return told


def check_version(name: str, backend: str, version: str | None, built_with: BuiltWith) -> None:
    """EngineError unless an engine built with `built_with` runs in this version of `backend`'s module."""
    built = built_with.tensorrt
    if version == built or (built_with.version_compatible and version and _follows(version, built)):
        return
    raise EngineError(
        f"{name}: the engine was built with {backend} {built}, but {version} is installed: "
        f"rebuild it with `cstm build`, or install {backend} {built}"
    )


def _follows(version: str, built: str) -> bool:
    """Whether it is a later one of the same major version."""
    now, then = ([int(part) for part in re.findall(r"\d+", text)] for text in (version, built))
    return now[:1] == then[:1] and now >= then


def check_gpu(name: str, backend: str, gpu: str, architecture: str, built_with: BuiltWith) -> None:
    """EngineError unless an engine of `tensorrt` runs on this GPU; those of `tensorrt_rtx` say so themselves."""
    if backend != "tensorrt" or (built_with.gpu and gpu_model(built_with.gpu) == gpu_model(gpu)):
        return
    if built_with.hardware_compatible and int(architecture) >= OLDEST_COMPATIBLE:
        return
    raise EngineError(
        f"{name}: the engine was built on {built_with.gpu}, but this GPU is {gpu}: rebuild it with `cstm build` here, "
        "or with --hardware-compatible for any GPU from Ampere on"
    )


def gpu_model(name: str) -> str:
    """A GPU's name without its memory's size: engines for the A100 of 40 GB run on that of 80 GB."""
    return re.sub(r"[ -]\d+ ?GB\b", "", name)


def check_validity(name: str, trt: Any, runtime: Any, engine: bytes) -> None:
    """EngineError, saying why, where TensorRT knows from an engine's first bytes that it cannot run it here."""
    if not hasattr(runtime, "get_engine_validity"):
        return
    validity, why = runtime.get_engine_validity(engine[: runtime.engine_header_size])
    flags = trt.EngineInvalidityDiagnostics.__members__
    reasons = [WHY_INVALID.get(flag, flag) for flag, value in flags.items() if int(why) & int(value)]
    if validity == trt.EngineValidity.INVALID and reasons:
        raise EngineError(f"{name}: TensorRT cannot run the engine here: {'; '.join(reasons)}")


def unsupported_gpu(backend: str) -> str | None:
    """Why TensorRT-RTX does not run on the GPU that is here; None where it does, where there is none, and for
    `tensorrt`."""
    architecture = cuda_architecture()
    if backend != "tensorrt_rtx" or architecture is None:
        return None
    named = load(backend).ComputeCapability.__members__
    known = {name.removeprefix("SM") for name in named if name.startswith("SM")} - CANNOT_BUILD_FOR
    if architecture in known:
        return None
    this, *those = (f"{a[:-1]}.{a[-1]}" for a in (architecture, *sorted(known, key=int)))
    return (
        f"{cuda_device()} has compute capability {this}, and TensorRT-RTX runs on {', '.join(those)}; "
        "use tensorrt, or onnxruntime-cuda"
    )
