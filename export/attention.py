"""Which form CMAM and LGFS take in an engine: TensorRT's own layers ("native") or our kernels ("plugin")."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cstm.errors import EngineError, MissingDependencyError, RequestError
from cstm.export.choices import AUTO, NATIVE, PLUGIN
from cstm.export.engines import BuildEngine, EngineOptions, built_with
from cstm.kernels.functions import DOMAIN
from cstm.models.contract import Component
from cstm.runtime.backends.tensorrt import TensorRTSession
from cstm.runtime.device_array import cuda_device
from cstm.runtime.timing import session_medians
from cstm.runtime.tolerance import Difference

REPEATS = 50
APART = 0.03  # relative; INT8 rounds either way where FP16 differs in its last bit


class BuildAttention:
    """Configured here, built by calling: one component's engine.

    backend, max_batch: as in `EngineOptions`. requested: of `choices.ATTENTION`; AUTO builds both where a GPU is and
    keeps the faster, else it takes NATIVE. inputs: real ones of batch 1, asked for only to measure.
    """

    def __init__(
        self,
        component: Component,
        backend: str,
        max_batch: int,
        requested: str,
        timing_cache: Path,
        inputs: Callable[[], dict[str, np.ndarray]],
    ):
        self.component, self.backend, self.max_batch = component, backend, max_batch
        self.requested, self.timing_cache, self.inputs = requested, timing_cache, inputs

    def __call__(self, model: Path, target: Path) -> dict[str, Any]:
        """Write the engine of the ONNX file `model` to `target`; {"attention": its form} and, where both were measured,
        "attention_ms", the median by form, or "attention_note", why AUTO cannot take plugins. A component without these
        operators is NATIVE."""
        can = has_operators(model)
        comparing = can and self.requested == AUTO and cuda_device() is not None
        if comparing and find_spec("triton"):
            return self._faster(model, target)
        form = PLUGIN if can and self.requested == PLUGIN else NATIVE
        self._build(form, model, target)
        note = f'{self.component.name}: no plugins: triton is not installed; pip install "cstm[kernels]"'
        return {"attention": form} | ({"attention_note": note} if comparing else {})

    def _build(self, form: str, model: Path, target: Path) -> None:
        options = EngineOptions(self.backend, self.max_batch, plugins=form == PLUGIN)
        BuildEngine(model, self.component, options, self.timing_cache)(target)

    def _faster(self, model: Path, target: Path) -> dict[str, Any]:
        files = {form: target.with_name(f"{target.name}.{form}") for form in (NATIVE, PLUGIN)}
        try:
            self._build(NATIVE, model, files[NATIVE])
            try:
                self._build(PLUGIN, model, files[PLUGIN])
                spent = self._measure(files)
                form = min(spent, key=lambda form: spent[form])
                told: dict[str, Any] = {"attention": form, "attention_ms": spent}
            except EngineError as error:
                form = NATIVE
                told = {"attention": form, "attention_note": f"{self.component.name}: no plugins: {error}"}
            files[form].replace(target)
        finally:
            for file in files.values():
                file.unlink(missing_ok=True)
        return told

    def _measure(self, files: dict[str, Path]) -> dict[str, float]:
        """Median milliseconds of each, taking turns; copies to and from the GPU are the same for both.

        EngineError where their answers differ.
        """
        inputs = self.inputs()
        with ExitStack() as stack:
            sessions = {form: stack.enter_context(self._open(form, file)) for form, file in files.items()}
            native, plugin = (session.run(inputs) for session in sessions.values())
            for name, array in native.items():
                relative = Difference.between(plugin[name], array).relative
                if not relative < APART:
                    raise EngineError(f"with them {name} differs by {relative:.1e} from TensorRT's own layers")
            seconds = session_medians(list(sessions.values()), inputs, REPEATS)
        return {form: 1e3 * value for form, value in zip(sessions, seconds, strict=True)}

    def _open(self, form: str, file: Path) -> TensorRTSession:
        tied_to = built_with(self.backend, form)
        return TensorRTSession(self.component, file, backend=self.backend, built_with=tied_to, max_batch=self.max_batch)


def check_request(requested: str, backend: str | None) -> None:
    """RequestError or MissingDependencyError where plugins are asked for and cannot be made. backend: None for no
    engines."""
    if requested == PLUGIN and backend is None:
        raise RequestError("--attention plugin: plugins are part of engines, and none are built; see --backend")
    if requested == PLUGIN and find_spec("triton") is None:
        raise MissingDependencyError('triton is not installed, and plugins need it; pip install "cstm[kernels]"')


def has_operators(model: Path) -> bool:
    """Whether the ONNX file holds nodes that plugins can take over."""
    graph = onnx.load(model, load_external_data=False).graph
    return any(node.domain == DOMAIN for node in graph.node)
