"""Which GPU, driver, CUDA and packages are here?"""

from __future__ import annotations

import subprocess
from typing import Any

from cstm.bench.gpu_steps.place import Found, Place
from cstm.packages import installed_version
from cstm.runtime.tensorrt_library import unsupported_gpu

LEAST_CUDA = (12, 0)  # of the driver, which is to take PTX 8.0
PACKAGES = (
    "torch",
    "triton",
    "numpy",
    "cuda-core",
    "cuda-bindings",
    "safetensors",
    "transformers",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "polygraphy",
    "nvidia-modelopt",
    "onnx-graphsurgeon",
)


def run(place: Place) -> Found:
    """Versions by name. Fails where torch sees no GPU, or the driver is too old for our PTX."""
    import torch

    packages = {name: version for name in PACKAGES if (version := installed_version(name))}
    figures: dict[str, Any] = {"packages": packages, "cuda_of_torch": torch.version.cuda}
    if place.dry:
        return Found(f"no GPU is asked; torch {torch.__version__}, {len(packages)} packages", figures)
    if not torch.cuda.is_available():
        return Found(f"torch {torch.__version__} (CUDA {torch.version.cuda}) sees no GPU", figures, passed=False)
    figures |= _gpu()
    too_old = figures["cuda_of_driver"] < LEAST_CUDA
    if "tensorrt-rtx-cu13" in packages:
        figures["tensorrt_rtx"] = unsupported_gpu("tensorrt_rtx") or "runs on this GPU"
    figures["cuda_of_driver"] = ".".join(map(str, figures["cuda_of_driver"]))
    said = "{gpu}, sm_{capability}, driver {driver} for CUDA {cuda_of_driver}".format_map(figures)
    return Found(f"{said}; torch {torch.__version__}", figures, passed=not too_old)


def _gpu() -> dict[str, Any]:
    import torch
    from cuda.bindings import driver

    told = torch.cuda.get_device_properties(0)
    _, version = driver.cuDriverGetVersion()
    return {
        "gpu": told.name,
        "capability": f"{told.major}{told.minor}",
        "memory_gb": round(told.total_memory / 1e9, 1),
        "multiprocessors": told.multi_processor_count,
        "driver": _driver(),
        "cuda_of_driver": (version // 1000, version % 1000 // 10),
    }


def _driver() -> str | None:
    """Its own version, from nvidia-smi; None where there is none."""
    try:
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None
