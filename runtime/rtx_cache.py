"""What TensorRT-RTX compiles for a GPU while it runs, kept for the next start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from cstm.errors import CSTMError
from cstm.files import atomic_path


class RuntimeCache:
    """settings: an `IRuntimeConfig` with which kernels for a shape are compiled when it first comes, and taken from
    `path` where an earlier process has left them. path: None to keep nothing. Scratch memory is left to the session."""

    def __init__(self, trt: Any, engine: Any, path: Path | None):
        self.path = path
        self.settings = engine.create_runtime_config()
        self.settings.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        self.settings.dynamic_shapes_kernel_specialization_strategy = (
            trt.DynamicShapesKernelSpecializationStrategy.EAGER
        )
        self._cache = self.settings.create_runtime_cache()
        self._kept = path.read_bytes() if path is not None and path.is_file() else b""
        if self._kept and not self._cache.deserialize(self._kept):
            logging.getLogger(__name__).info("%s: of another version, GPU or driver; compiling anew", path)
        self.settings.set_runtime_cache(self._cache)

    def keep(self) -> None:
        """Write what there is now. A folder that cannot be written to costs the next start its time, no more."""
        if self.path is None or (made := bytes(self._cache.serialize())) == self._kept:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(self.path) as temporary:
                temporary.write_bytes(made)
        except (OSError, CSTMError) as error:
            logging.getLogger(__name__).info("%s: not kept (%s)", self.path, error)
        self._kept = made
