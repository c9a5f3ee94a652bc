"""One component's ONNX file as a session of a backend: what plans and benchmarks try models with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cstm.export.engines import BuildEngine, EngineOptions, origin
from cstm.models.contract import Component
from cstm.runtime.session import Session


def model_opener(backend: str) -> Callable[[Component, Path], Session]:
    """What opens an ONNX file as a session of the backend; for TensorRT, by building an engine beside it."""
    if backend == "openvino":
        from cstm.runtime.backends.openvino import OpenVINOSession

        return OpenVINOSession
    if backend == "onnxruntime":
        from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession

        return OnnxRuntimeSession
    from cstm.runtime.backends.tensorrt import TensorRTSession

    def build(component: Component, path: Path) -> Session:
        engine = path.with_suffix(".engine")
        if not engine.is_file():
            BuildEngine(path, component, EngineOptions(backend), path.with_name("timing.cache"))(engine)
        return TensorRTSession(component, engine, module=backend, built_with=origin(backend), max_batch=4)

    return build
