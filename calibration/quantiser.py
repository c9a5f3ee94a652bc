"""INT8 models of a network's components, for any choice of blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx

from cstm.calibration.audit import audit, kept_nodes
from cstm.calibration.inputs import component_inputs
from cstm.calibration.ranges import MeasureRanges, Ranges
from cstm.calibration.samples import CalibrationOptions, calibration_inputs
from cstm.files import atomic_path
from cstm.graph.half import convert_to_fp16
from cstm.graph.qdq import FORMS, count_quantised, quantise
from cstm.models.config import CSTMConfig
from cstm.models.contract import contract
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.chain import Chain
from cstm.runtime.text import SentenceReader


class Quantiser:
    """Configured here; measures the network's ranges once, on first use.

    models: FP32 ONNX by component. report: called with the number of calibration samples done.
    """

    def __init__(
        self,
        config: CSTMConfig,
        models: dict[str, Path],
        reader: SentenceReader,
        options: CalibrationOptions,
        report: Callable[[int], None] | None = None,
    ):
        self.config, self.models, self.reader, self.options, self.report = config, models, reader, options, report

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """The calibration samples as the chain's inputs."""
        return calibration_inputs(self.options, self.config, self.reader)

    @cached_property
    def ranges(self) -> Ranges:
        """Of every activation."""
        return MeasureRanges(self.config, self.models, self.inputs, self.options)(self.report)

    @cached_property
    def component_samples(self) -> dict[str, dict[str, np.ndarray]]:
        """One sample as every component's inputs."""
        one = {name: array[:1] for name, array in self.inputs.items()}
        components = contract(self.config)
        with Chain(self.config, {n: OnnxRuntimeSession(c, self.models[n]) for n, c in components.items()}) as chain:
            return dict(component_inputs(chain, one))

    def write(self, name: str, blocks: Collection[str], form: str, target: Path) -> dict:
        """Write component `name` with `blocks` in INT8 to `target`, atomically; {"quantised": convolutions}.

        form: of `qdq.FORMS`.
        """
        made = self.quantised(name, blocks, form)
        with atomic_path(target) as temporary:
            onnx.save(made, temporary)
        return {"quantised": count_quantised(made.graph)}

    def quantised(self, name: str, blocks: Collection[str], form: str) -> onnx.ModelProto:
        """Component `name` with `blocks` in INT8. Where there are none: the FP32 model itself, or for TensorRT, whose
        engines have FP16 around INT8, FP16."""
        model = onnx.load(self.models[name])
        if blocks:
            return quantise(model, self.ranges[name], blocks, self.component_samples[name], form)
        if FORMS[form].rest == "fp32":
            return model
        findings = audit({name: self.ranges[name]}, {name: self.models[name]})
        return convert_to_fp16(model, self.component_samples[name], kept_nodes(findings, model.graph))
