"""Engines of one TensorRT: `tensorrt` on data-centre GPUs, `tensorrt_rtx` on RTX GPUs."""

from __future__ import annotations

import importlib
from types import ModuleType

from cstm.errors import MissingDependencyError
from cstm.files import cache_folder
from cstm.models.contract import FRAME_GRAPH, encoder_name, parts
from cstm.packages import EXTRAS
from cstm.runtime.backends import Backend
from cstm.runtime.bundle import Bundle
from cstm.runtime.device_array import NO_GPU, cuda_device
from cstm.runtime.session import Session
from cstm.runtime.tensorrt_library import PACKAGES, check_version, tensorrt_version, unsupported_gpu
from cstm.runtime.tensorrt_session import TensorRTSession
from cstm.runtime.workspace import Workspace


class TensorRTBackend(Backend):
    """Engines of one TensorRT. FP16 first: it is what the GPU is for."""

    def __init__(self, name: str):
        super().__init__(name)
        self.package, self.extra = PACKAGES[name], EXTRAS[name]
        self._scratch, self._beside = Workspace(), Workspace()

    def import_library(self) -> ModuleType:
        """As Backend.import_library."""
        return importlib.import_module(self.name)

    def version(self) -> str | None:
        """The library's own word: its distribution may be called tensorrt, tensorrt-cu12 or tensorrt-cu13."""
        return tensorrt_version(self.name)

    def require(self, bundle: Bundle | None = None) -> None:
        """As Backend.require. Engines of another version are refused before a GPU is looked for."""
        super().require(bundle)
        engines = [e for e in bundle.manifest.engines if e.backend == self.name] if bundle else []
        for engine in engines:
            check_version(engine.component, self.name, self.version(), engine.built_with)
        if cuda_device() is None:
            raise MissingDependencyError(f"{self.name}: {NO_GPU}")
        if problem := unsupported_gpu(self.name):
            raise MissingDependencyError(f"{self.name}: {problem}")

    def precisions(self, bundle: Bundle) -> tuple[str, ...]:
        """As Backend.precisions."""
        return tuple(p for p in ("fp16", "fp32", "int8") if bundle.engines(self.name, p))

    def links(self, bundle: Bundle, precision: str) -> bool:
        """As Backend.links."""
        return FRAME_GRAPH in bundle.engines(self.name, precision)

    def open_component(self, bundle: Bundle, component: str, precision: str) -> Session:
        """As Backend.open_component. Both encoders may run at once; all else takes turns, and shares scratch memory."""
        engine = bundle.engines(self.name, precision)[component]
        made = bundle.manifest.files[engine.file].sha256
        return TensorRTSession(
            parts(bundle.config)[component],
            bundle.file(engine.file),
            backend=self.name,
            built_with=engine.built_with,
            max_batch=bundle.max_batch,
            workspace=self._beside if component == encoder_name("temporal") else self._scratch,
            cache=cache_folder() / self.name / f"{made}.cache",
        )


def make(name: str) -> Backend:
    """The backend."""
    return TensorRTBackend(name)
