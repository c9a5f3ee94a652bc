"""ONNX Runtime: on the CPU, and through its CUDA and TensorRT providers."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cstm.errors import EngineError, MissingDependencyError, first_line
from cstm.files import cache_folder
from cstm.models.contract import FRAME_GRAPH, Component, parts
from cstm.packages import installed_version
from cstm.runtime.backends import Backend
from cstm.runtime.bundle import Bundle
from cstm.runtime.device_array import NO_GPU, cuda_device
from cstm.runtime.quiet_imports import import_onnxruntime
from cstm.runtime.session import Session

PROVIDERS = {
    "onnxruntime": "CPUExecutionProvider",
    "onnxruntime-cuda": "CUDAExecutionProvider",
    "onnxruntime-tensorrt": "TensorrtExecutionProvider",
}


class Bound:
    """An output that stays on the device it was made on, for another session there. shape, dtype: as in numpy."""

    def __init__(self, value: Any, dtype: str):
        self.value = value
        self.shape, self.dtype = tuple(value.shape()), np.dtype(dtype)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Entries along the first axis, on the host."""
        return self.to_numpy()[rows]

    def copy(self) -> Bound:
        """Itself: each run gives new ones."""
        return self

    def to_numpy(self) -> np.ndarray:
        """The values on the host."""
        return self.value.numpy()


class OnnxRuntimeSession(Session):
    """Runs one ONNX file with one provider. EngineError when the provider does not take it.

    device: ONNX Runtime's name of where outputs stay until they are asked for, "cuda" with a GPU's provider; None to
    give numpy arrays.
    without: ONNX Runtime's names of graph optimisers to leave out. threads: as `Backend.threads`.
    """

    def __init__(
        self,
        specs: Component,
        path: str | Path,
        provider: str = "CPUExecutionProvider",
        without: tuple[str, ...] = (),
        threads: int | None = None,
    ):
        super().__init__(specs)
        self.device = None if provider == "CPUExecutionProvider" else "cuda"
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        # Without it, processors that lack VNNI add pairs of 8-bit products in 16 bits, which saturate.
        options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=providers(provider), disabled_optimizers=list(without)
            )
        except Exception as error:  # its own exceptions share no base class
            raise EngineError(f"{path}: ONNX Runtime cannot load it ({first_line(error)})") from error
        if self.session.get_providers()[0] != provider:
            raise EngineError(f"{path}: ONNX Runtime fell back from {provider}; run cstm doctor")

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As Session.run."""
        outputs = self._run(inputs)
        return {name: array.to_numpy() if isinstance(array, Bound) else array for name, array in outputs.items()}

    def enqueue(self, inputs: dict) -> dict:
        """As Session.enqueue: with a GPU's provider nothing goes through the host between two sessions."""
        return self._run(inputs) if self.device else self.run(inputs)

    def _run(self, inputs: dict) -> dict:
        self.specs.check_inputs(inputs)
        if self.session is None:
            raise EngineError(f"{self.specs.name}: the session is closed")
        try:
            values = self._bound(inputs) if self.device else self.session.run(self._names(), inputs)
        except Exception as error:
            reason = first_line(error)
            raise EngineError(f"{self.specs.name}: ONNX Runtime failed ({reason}); run cstm doctor") from error
        return dict(zip(self._names(), values, strict=True))

    def close(self) -> None:
        """As Session.close."""
        self.session = None

    def _bound(self, inputs: dict) -> list[Bound]:
        binding = self.session.io_binding()
        for name, array in inputs.items():
            if isinstance(array, Bound):
                binding.bind_ortvalue_input(name, array.value)
            else:
                binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name in self._names():
            binding.bind_output(name, self.device)
        self.session.run_with_iobinding(binding)
        made = zip(binding.get_outputs(), self.specs.outputs, strict=True)
        return [Bound(value, spec.dtype) for value, spec in made]

    def _names(self) -> list[str]:
        return [spec.name for spec in self.specs.outputs]


class OnnxRuntimeBackend(Backend):
    """FP32 and FP16 ONNX as they are. On the CPU, FP16 operators without a kernel compute in FP32 between casts."""

    def __init__(self, name: str):
        super().__init__(name)
        # CPU and GPU builds are two distributions of one module; the GPU build runs on the CPU as well.
        self.package, self.extra = "onnxruntime", "cpu"
        if name != "onnxruntime" or (self.version() is None and installed_version("onnxruntime-gpu")):
            self.package, self.extra = "onnxruntime-gpu", "gpu"

    def import_library(self) -> ModuleType:
        """As Backend.import_library."""
        return import_onnxruntime()

    def require(self, bundle: Bundle | None = None) -> None:
        """As Backend.require."""
        super().require(bundle)
        onnxruntime = import_onnxruntime()
        provider = PROVIDERS[self.name]
        if provider not in onnxruntime.get_available_providers():
            raise MissingDependencyError(
                f"{self.name}: this onnxruntime lacks {provider}; onnxruntime and onnxruntime-gpu overwrite each other,"
                " keep the one you need"
            )
        if provider != "CPUExecutionProvider" and cuda_device() is None:
            raise MissingDependencyError(f"{self.name}: {NO_GPU}")

    def precisions(self, bundle: Bundle) -> tuple[str, ...]:
        """As Backend.precisions."""
        # INT8 models are in the CPU's form, see `graph.qdq`.
        known = ("fp32", "fp16", "int8") if self.name == "onnxruntime" else ("fp32", "fp16")
        offered = [p for p in known if p in bundle.precisions]
        if self.name == "onnxruntime-tensorrt":
            # Its provider cannot turn TF32 off, so what it would give is no FP32.
            return tuple(p for p in offered if p == "fp16")
        return tuple(offered if self.name == "onnxruntime" else offered[::-1])

    def links(self, bundle: Bundle, precision: str) -> bool:
        """As Backend.links."""
        return bundle.holds(FRAME_GRAPH, precision)

    def open_component(self, bundle: Bundle, component: str, precision: str) -> Session:
        """As Backend.open_component."""
        path = bundle.model(component, precision)
        return OnnxRuntimeSession(parts(bundle.config)[component], path, PROVIDERS[self.name], threads=self.threads)


def providers(provider: str) -> list:
    """What ONNX Runtime is asked for. TensorRT's provider is followed by CUDA's, for what TensorRT does not take."""
    if provider == "CPUExecutionProvider":
        return [provider]
    import_onnxruntime().preload_dlls()
    # FP32 means FP32: TF32 is off unless asked for.
    cuda = ("CUDAExecutionProvider", {"use_tf32": 0})
    if provider == cuda[0]:
        return [cuda]
    kept = str(cache_folder() / "onnxruntime-tensorrt")  # by the model's hash, TensorRT's version and the GPU
    options = {
        "trt_fp16_enable": True,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": kept,
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": kept,
    }
    return [(provider, options), cuda]


def make(name: str) -> Backend:
    """The backend."""
    return OnnxRuntimeBackend(name)
