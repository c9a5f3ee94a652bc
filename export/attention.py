"""Which form CMAM and LGFS take in an engine: TensorRT's own layers ("native") or our kernels ("plugin")."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cstm.errors import EngineError, MissingDependencyError, RequestError
from cstm.export.choices import AUTO, NATIVE, PLUGIN
from cstm.export.engines import BuildEngine, EngineOptions
from cstm.export.open_engine import open_engine
from cstm.kernels.functions import DOMAIN
from cstm.models.contract import Component
from cstm.runtime.device_array import cuda_device
from cstm.runtime.timing import session_medians
from cstm.runtime.tolerance import Difference

REPEATS = 50
APART = 0.03  # relative; INT8 rounds either way where FP16 differs in its last bit


class BuildAttention:
    """Configured here, built by calling: one component's engine.

    options: of the engine; whether it has plugins is decided here. requested: of `choices.ATTENTION`; AUTO builds both
    where a GPU is and keeps the faster, else it takes NATIVE, as it does for engines that other GPUs or versions are to
    run. inputs: real ones of batch 1, asked for only to measure.
    """

    def __init__(
        self,
        component: Component,
        options: EngineOptions,
        requested: str,
        timing_cache: Path,
        inputs: Callable[[], dict[str, np.ndarray]],
    ):
        self.component, self.options = component, options
        self.requested, self.timing_cache, self.inputs = requested, timing_cache, inputs

    def __call__(self, model: Path, target: Path) -> dict[str, Any]:
        """Write the engine of the ONNX file `model` to `target`; {"attention": its form} and, where both were measured,
        "attention_ms", the median by form, or "attention_note", why AUTO cannot take plugins. A component without these
        operators is NATIVE."""
        can = has_operators(model)
        comparing = can and self.requested == AUTO and cuda_device() is not None and not is_compatible(self.options)
        if comparing and find_spec("triton"):
            return self._faster(model, target)
        form = PLUGIN if can and self.requested == PLUGIN else NATIVE
        self._build(form, model, target)
        note = f'{self.component.name}: no plugins: triton is not installed; pip install "cstm[kernels]"'
        return {"attention": form} | ({"attention_note": note} if comparing else {})

    def _build(self, form: str, model: Path, target: Path) -> None:
        BuildEngine(model, self.component, self._options(form), self.timing_cache)(target)

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
            sessions = {
                form: stack.enter_context(open_engine(self.component, file, self._options(form)))
                for form, file in files.items()
            }
            native, plugin = (session.run(inputs) for session in sessions.values())
            for name, array in native.items():
                relative = Difference.between(plugin[name], array).relative
                if not relative < APART:
                    raise EngineError(f"with them {name} differs by {relative:.1e} from TensorRT's own layers")
            seconds = session_medians(list(sessions.values()), inputs, REPEATS)
        return {form: 1e3 * value for form, value in zip(sessions, seconds, strict=True)}

    def _options(self, form: str) -> EngineOptions:
        return replace(self.options, plugins=form == PLUGIN)


def is_compatible(options: EngineOptions) -> bool:
    """Whether other GPUs, or other versions of TensorRT, are to run the engine."""
    return options.hardware_compatible or options.version_compatible


def check_request(requested: str, options: EngineOptions | None) -> None:
    """RequestError or MissingDependencyError where something is asked for that cannot be made. options: None for no
    engines."""
    if requested == PLUGIN and options is None:
        raise RequestError("--attention plugin: plugins are part of engines, and none are built; see --backend")
    if options is not None and is_compatible(options):
        _check_compatible(requested, options)
    if requested == PLUGIN and find_spec("triton") is None:
        raise MissingDependencyError('triton is not installed, and plugins need it; pip install "cstm[kernels]"')


def _check_compatible(requested: str, options: EngineOptions) -> None:
    asked = "--hardware-compatible" if options.hardware_compatible else "--version-compatible"
    if options.backend != "tensorrt":
        raise RequestError(
            f"{asked} is for engines of tensorrt; those of {options.backend} run on every GPU that it supports, and in "
            "the version that built them alone"
        )
    if requested == PLUGIN:
        raise RequestError(f"{asked}: plugins are compiled for the GPU at hand; build with --attention native")


def has_operators(model: Path) -> bool:
    """Whether the ONNX file holds nodes that plugins can take over."""
    graph = onnx.load(model, load_external_data=False).graph
    return any(node.domain == DOMAIN for node in graph.node)
