"""The steps of `bench/gpu_first.py`, in order: one file each beside this one, one table here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cstm.runtime.tolerance import ABSOLUTE, RELATIVE


@dataclass(frozen=True)
class Step:
    """module: whose `run(place, **options)` does it and gives what it found. expects: what that should be, in words.

    seconds: that it may take. compiles: whether it takes Triton's compiler even in a dry run, whose kernels are
    interpreted elsewhere.
    """

    module: str
    expects: str
    seconds: int = 60
    compiles: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


def _engines(precision: str, form: str, expects: str) -> Step:
    options = {"precision": precision, "form": form}
    return Step(f"{__name__}.engines", expects, seconds=300, compiles=True, options=options)


# The first half needs torch, triton, cuda-core and numpy, and safetensors and transformers for the network.
STEPS: dict[str, Step] = {
    "versions": Step(f"{__name__}.versions", "torch sees the GPU; the driver is for CUDA 12.0 or later"),
    "arrays": Step(f"{__name__}.arrays", "equal values at equal addresses: nothing is copied on the way"),
    "sessions": Step(f"{__name__}.sessions", "right answers, whichever side is slow"),
    "kernels": Step(f"{__name__}.kernels", "what rounding once allows, from FP64", seconds=180),
    "bandwidth": Step(f"{__name__}.bandwidth", "big maps: 0.8 of a device copy's rate is the aim", seconds=240),
    "ptx": Step(f"{__name__}.ptx", "the driver takes PTX 8.0 for sm_80; answers as above", seconds=120, compiles=True),
    "graphs": Step(f"{__name__}.graphs", "a replay answers as the plain run, and reads its inputs anew"),
    "network": Step(f"{__name__}.network", "eager and compiled within tolerance of the CPU's eager", seconds=300),
    "bundle": Step(f"{__name__}.bundle", "a bundle that opens", seconds=300),
    "onnxruntime": Step(f"{__name__}.chains", "each component and the whole within tolerance", seconds=180),
    "tensorrt-fp16": _engines("fp16", "native", f"within {RELATIVE['fp16']:g} of PyTorch; replayed as a CUDA graph"),
    "tensorrt-fp16-plugin": _engines("fp16", "plugin", "as native; faster where our kernels are worth it"),
    "tensorrt-int8": _engines("int8", "native", f"within {RELATIVE['int8']:g} of PyTorch; faster than FP16"),
    "tensorrt-fp32": _engines("fp32", "native", f"within {ABSOLUTE['fp32']:g} of PyTorch: TF32 is off"),
}
