"""A component's engines: from its models, in the form of CMAM and LGFS that was asked for or is faster."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial

import numpy as np

from cstm.export.attention import BuildAttention
from cstm.export.engines import EngineOptions, built_with
from cstm.export.made import Made
from cstm.export.reference import Reference
from cstm.export.steps import Steps
from cstm.graph.qdq import stored_as
from cstm.models.contract import FRAME_GRAPH, frame_components, parts
from cstm.runtime.bundle import engine_file, onnx_file
from cstm.runtime.device_array import cuda_device
from cstm.runtime.manifest import EngineRecord


class MakeEngines:
    """Configured here; each call is a step that makes one component's engine and gives its row and its record.

    options: of all engines. attention: of `choices.ATTENTION`.
    """

    def __init__(self, steps: Steps, reference: Reference, options: EngineOptions, attention: str):
        self.steps, self.reference = steps, reference
        self.options, self.attention = options, attention

    def __call__(self, name: str, precision: str) -> tuple[Made, EngineRecord]:
        """The engine of component `name`, from its model in `precision`."""
        config, stored, backend = self.reference.config, stored_as(precision, "tensorrt"), self.options.backend
        source = onnx_file(name, stored)
        weights = frame_components(config) if name == FRAME_GRAPH else ()
        file, tied_to = engine_file(name, precision, backend), built_with(self.options)
        build = BuildAttention(
            parts(config)[name],
            self.options,
            self.attention,
            self.steps.folder / f"timing_{backend}.cache",
            partial(self._one_sample, name),
        )
        inputs = {
            "onnx": [self.steps.digest(onnx_file(part, stored)) for part in (name, *weights)],
            "max_batch": self.options.max_batch,
            "tied to": asdict(tied_to),
            "attention": [self.attention, cuda_device()],
        }
        write = partial(build, self.steps.folder / source, self.steps.folder / file)
        info = self.steps.run(file, inputs, [file], write, f"{name} {precision} {backend} engine")
        made = Made(name, precision, backend, file, (self.steps.folder / file).stat().st_size, **info)
        tied_to = replace(tied_to, attention=info["attention"])
        return made, EngineRecord(name, backend, precision, file, tied_to)

    def _one_sample(self, name: str) -> dict[str, np.ndarray]:
        return {key: array[:1] for key, array in self.reference.component_samples[name].items()}
