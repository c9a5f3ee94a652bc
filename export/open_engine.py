"""One ONNX file as a session of TensorRT: builds its engine beside it and opens that."""

from __future__ import annotations

from pathlib import Path

from cstm.export.engines import BuildEngine, EngineOptions, built_with
from cstm.models.contract import Component
from cstm.runtime.session import Session
from cstm.runtime.tensorrt_session import TensorRTSession


def open_engine(component: Component, engine: Path, options: EngineOptions) -> Session:
    """The session of an engine that was built here and now with `options`. EngineError when it cannot be loaded."""
    return TensorRTSession(
        component, engine, backend=options.backend, built_with=built_with(options), max_batch=options.max_batch
    )


class OpenEngine:
    """Configured here, opens by calling. backend: "tensorrt" or "tensorrt_rtx". An engine that lies beside the file
    already is taken as it is; the timing cache of all lies there too."""

    def __init__(self, backend: str):
        self.options = EngineOptions(backend)

    def __call__(self, component: Component, path: Path) -> Session:
        """The session. EngineError when the engine cannot be built or loaded."""
        engine = path.with_suffix(".engine")
        if not engine.is_file():
            BuildEngine(path, component, self.options, path.with_name("timing.cache"))(engine)
        return open_engine(component, engine, self.options)
