"""A frame's components, as they were made in one precision, linked to the one graph that runs."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx

from cstm.export.made import ONNX, Made
from cstm.export.reference import Reference
from cstm.export.steps import Info, Steps
from cstm.export.verify import keep_if_right, verify_values
from cstm.files import atomic_path
from cstm.graph.link import link
from cstm.graph.macs import count_macs
from cstm.graph.qdq import FORMS, stored_as
from cstm.graph.shared_weights import share_weights
from cstm.graph.upsampling import convolve_half_way
from cstm.models.contract import CLIP, FRAME, FRAME_GRAPH, MASK_LOGITS, frame_components, frame_graph
from cstm.runtime.bundle import onnx_file
from cstm.runtime.session import Session

# Where products are what a frame waits for; BF16 on a CPU runs this file too. In FP16, which GPUs run, and in INT8 they
# cost less against the maps that are then moved, which was not measured.
HALF_WAY = ("fp32",)


class LinkFrame:
    """Configured here; each call is a step that links one precision's models and gives the row of the linked one, whose
    weights stay in the components' files.

    ParityError unless it answers as PyTorch does, for one sentence and for several on the same pixels.
    """

    def __init__(self, steps: Steps, reference: Reference):
        self.steps, self.reference = steps, reference
        self.whole, self.names = frame_graph(reference.config), list(frame_components(reference.config))

    def __call__(self, precision: str, form: str = "cpu") -> Made:
        """Of the models in `precision`. form: of INT8, see `qdq.FORMS`."""
        stored = stored_as(precision, form)
        file = onnx_file(FRAME_GRAPH, stored)
        inputs = {"models": {name: self.steps.digest(onnx_file(name, stored)) for name in self.names}}
        write = partial(self._write, precision, stored, FORMS[form].wrong_in_onnxruntime)
        info = self.steps.run(file, inputs, [file], write, f"frame linked in {stored}")
        return Made(FRAME_GRAPH, stored, ONNX, file, (self.steps.folder / file).stat().st_size, **info)

    def _write(self, precision: str, stored: str, without: tuple[str, ...]) -> Info:
        files = {name: self.steps.folder / onnx_file(name, stored) for name in self.names}
        path = self.steps.folder / onnx_file(FRAME_GRAPH, stored)
        linked = link({name: onnx.load(file) for name, file in files.items()}, self.whole)
        if precision in HALF_WAY:
            linked = convolve_half_way(linked)
        with atomic_path(path) as temporary:
            onnx.save(share_weights(linked, files.values()), temporary)
        real = self.reference.component_samples[FRAME_GRAPH]
        cases = [{name: array[:1] for name, array in real.items()}, real]
        compare = partial(verify_values, path, self.whole, _OneByOne(self.reference), precision, cases, without=without)
        return keep_if_right(path, self.whole, compare) | {"macs": count_macs(linked)}


class _OneByOne(Session):
    """The frame's components in PyTorch, as one session."""

    def __init__(self, reference: Reference):
        super().__init__(frame_graph(reference.config))
        self.chain = reference.chain

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As Session.run."""
        self.specs.check_inputs(inputs)
        pixels = {name: inputs[name] for name in (FRAME, CLIP) if name in inputs}
        plan = {name: array for name, array in inputs.items() if name not in pixels}
        return {MASK_LOGITS: self.chain.mask_logits(pixels, plan)}
