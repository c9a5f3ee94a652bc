"""OpenVINO on the CPU. Its precision is always set: left alone it computes in BF16 where the processor can.

The text encoder never computes in BF16: it runs once a sentence, and its rounding would reach every frame.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cstm.errors import EngineError
from cstm.models.contract import FRAME_GRAPH, TEXT_ENCODER, Component, parts
from cstm.runtime.backends import Backend
from cstm.runtime.bundle import Bundle
from cstm.runtime.quiet_imports import import_openvino
from cstm.runtime.session import Session
from cstm.signals import interrupts_held

# precision -> (the ONNX it starts from, OpenVINO's name for what it computes in, the CPU capabilities it needs)
# What INT8 leaves in high precision is computed in FP32, or where that is asked for by its name in BF16.
PRECISIONS = {
    "fp32": ("fp32", "f32", {"FP32"}),
    "bf16": ("fp32", "bf16", {"BF16"}),
    "fp16": ("fp16", "f16", {"FP16"}),
    "int8": ("int8", "f32", {"INT8"}),
    "int8_bf16": ("int8", "bf16", {"INT8", "BF16"}),
}
WITHOUT_BF16 = {"bf16": "fp32", "int8_bf16": "int8"}
ANY = -1  # a batch of any size


class OpenVINOSession(Session):
    """Runs one ONNX file on the CPU, computing in `precision`, of PRECISIONS. threads: as `Backend.threads`.

    It is compiled for a batch of 1, whose sizes are then all known, and for any other batch when the first comes.
    """

    def __init__(self, specs: Component, path: str | Path, precision: str = "fp32", threads: int | None = None):
        super().__init__(specs)
        self.path = Path(path)
        self._hint: dict[str, str | int | bool] = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision][1],
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads is not None:
            # Bound to cores, the threads of two processes would share the first ones and leave the others idle.
            self._hint |= {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
        self._lock = threading.Lock()
        with self._loading():
            self._model = _core().read_model(str(path))
        self.requests = {1: self._compiled(1)}

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As Session.run."""
        batch = self.specs.check_inputs(inputs)
        with self._lock:  # a request runs for one thread at a time, and its outputs lie in its own memory
            return self._infer(inputs, 1 if batch == 1 else ANY)

    def close(self) -> None:
        """As Session.close."""
        with self._lock:
            self._model = None
            self.requests.clear()

    def _infer(self, inputs: dict[str, np.ndarray], batch: int) -> dict[str, np.ndarray]:
        if self._model is None:
            raise EngineError(f"{self.specs.name}: the session is closed")
        if batch not in self.requests:
            self.requests[batch] = self._compiled(batch)
        request = self.requests[batch]
        try:
            request.infer({n: np.ascontiguousarray(array) for n, array in inputs.items()}, share_inputs=True)
        except RuntimeError as error:
            raise EngineError(f"{self.specs.name}: OpenVINO failed ({_reason(error)}); run cstm doctor") from error
        return {spec.name: request.get_tensor(spec.name).data.copy() for spec in self.specs.outputs}

    def _compiled(self, batch: int) -> Any:
        """A request for batches of that size, or of ANY."""
        with self._loading():
            model = self._model.clone()
            model.reshape({spec.name: list(spec.with_batch(batch)) for spec in self.specs.inputs})
            return _core().compile_model(model, "CPU", self._hint).create_infer_request()

    @contextmanager
    def _loading(self) -> Iterator[None]:
        try:
            with interrupts_held():  # it calls back into Python for our operators
                yield
        except RuntimeError as error:
            raise EngineError(f"{self.path}: OpenVINO cannot load it ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """What OpenVINO's message comes to: its lines but the places in its sources that they start from."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from ", "Check '"))]
    return "; ".join(told or lines[:1])[:400]


class OpenVINOBackend(Backend):
    """FP32 by default; BF16 from the FP32 model, FP16, INT8, and INT8 with the rest in BF16, only where the processor
    computes in them."""

    package, extra = "openvino", "cpu"

    def import_library(self) -> ModuleType:
        """As Backend.import_library."""
        return import_openvino()

    def precisions(self, bundle: Bundle) -> tuple[str, ...]:
        """As Backend.precisions."""
        able = set(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        if not sums_int8_exactly():
            able.discard("INT8")
        return tuple(p for p, (model, _, needs) in PRECISIONS.items() if model in bundle.precisions and needs <= able)

    def why_not(self, precision: str) -> str:
        """As Backend.why_not."""
        saturates = "INT8" in PRECISIONS.get(precision, ("", "", set()))[2] and not sums_int8_exactly()
        return "this processor lacks VNNI, and OpenVINO's 8-bit sums saturate without it" if saturates else ""

    def links(self, bundle: Bundle, precision: str) -> bool:
        """As Backend.links."""
        return bundle.holds(FRAME_GRAPH, PRECISIONS[precision][0])

    def open_component(self, bundle: Bundle, component: str, precision: str) -> Session:
        """As Backend.open_component."""
        path = bundle.model(component, PRECISIONS[precision][0])
        computed = WITHOUT_BF16.get(precision, precision) if component == TEXT_ENCODER else precision
        return OpenVINOSession(parts(bundle.config)[component], path, computed, self.threads)


@lru_cache(maxsize=1)
def sums_int8_exactly() -> bool:
    """Whether OpenVINO's INT8 convolutions are right on this processor, by one whose sums are the largest there are.

    Without VNNI pairs of uint8 x int8 products are added in 16 bits and saturate, up to 24 % off in our network.
    """
    openvino = import_openvino()
    import openvino.opset13 as ops

    channels, largest, weight = 32, 255, 127
    x = ops.parameter([1, channels, 4, 4], np.float32)
    limits = np.float32(0), np.float32(largest)
    weights = ops.convert(ops.constant(np.full((channels, channels, 1, 1), weight, np.int8)), "f32")
    quantised = ops.fake_quantize(x, *limits, *limits, levels=largest + 1)
    product = ops.convolution(quantised, ops.multiply(weights, np.float32(1)), [1, 1], [0, 0], [0, 0], [1, 1])
    model = openvino.Model([product], [x])
    request = _core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    found = request.infer({0: np.full((1, channels, 4, 4), largest, np.float32)})[0]
    return bool(np.allclose(found, largest * weight * channels))


@lru_cache(maxsize=1)
def _core() -> Any:
    openvino = import_openvino()
    from cstm.kernels.openvino_nodes import extensions

    core = openvino.Core()
    core.add_extension(extensions())
    return core


def make(name: str) -> Backend:
    """The backend."""
    return OpenVINOBackend(name)
