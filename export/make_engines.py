"""A component's engines: from its models, in the form of CMAM and LGFS that was asked for or is faster."""

from __future__ import annotations

from functools import partial

import numpy as np

from cstm.export.attention import BuildAttention
from cstm.export.engines import built_with
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

    backend: "tensorrt" or "tensorrt_rtx". attention: of `choices.ATTENTION`. max_batch: the largest batch.
    """

    def __init__(self, steps: Steps, reference: Reference, backend: str, attention: str, max_batch: int):
        self.steps, self.reference = steps, reference
        self.backend, self.attention, self.max_batch = backend, attention, max_batch

    def __call__(self, name: str, precision: str) -> tuple[Made, EngineRecord]:
        """The engine of component `name`, from its model in `precision`."""
        config, stored = self.reference.config, stored_as(precision, "tensorrt")
        source = onnx_file(name, stored)
        weights = frame_components(config) if name == FRAME_GRAPH else ()
        file, tied_to = engine_file(name, precision, self.backend), built_with(self.backend)
        build = BuildAttention(
            parts(config)[name],
            self.backend,
            self.max_batch,
            self.attention,
            self.steps.folder / f"timing_{self.backend}.cache",
            partial(self._one_sample, name),
        )
        inputs = {
            "onnx": [self.steps.digest(onnx_file(part, stored)) for part in (name, *weights)],
            "max_batch": self.max_batch,
            "tensorrt": tied_to.tensorrt,
            "gpu": tied_to.gpu,
            "attention": [self.attention, cuda_device()],
        }
        write = partial(build, self.steps.folder / source, self.steps.folder / file)
        info = self.steps.run(file, inputs, [file], write, f"{name} {precision} {self.backend} engine")
        made = Made(name, precision, self.backend, file, (self.steps.folder / file).stat().st_size, **info)
        record = EngineRecord(name, self.backend, precision, file, built_with(self.backend, info["attention"]))
        return made, record

    def _one_sample(self, name: str) -> dict[str, np.ndarray]:
        return {key: array[:1] for key, array in self.reference.component_samples[name].items()}
