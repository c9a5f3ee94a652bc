"""A component's ONNX models: FP32 from PyTorch, FP16 and INT8 from that, each verified before it is kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import onnx

from cstm.calibration.audit import Finding, audit, kept_nodes
from cstm.calibration.plan import PrecisionPlan
from cstm.calibration.quantiser import Quantiser
from cstm.calibration.samples import CalibrationOptions
from cstm.export.made import ONNX, Made
from cstm.export.reference import SAMPLES, Reference
from cstm.export.steps import Info, Steps
from cstm.export.to_onnx import export_component
from cstm.export.verify import keep_if_right, verify_values
from cstm.files import atomic_path
from cstm.graph.half import convert_to_fp16
from cstm.graph.macs import count_macs
from cstm.graph.qdq import FORMS
from cstm.runtime.bundle import CHECKPOINT, onnx_file


class MakeModels:
    """Configured here; each call is a step that makes one component's model and gives its row. FP32 comes first.

    calibration: what ranges are measured on. plan: which blocks are INT8 (None: all that can be).
    """

    def __init__(
        self, steps: Steps, reference: Reference, calibration: CalibrationOptions, plan: PrecisionPlan | None = None
    ):
        self.steps, self.reference, self.calibration = steps, reference, calibration
        self.files = {name: steps.folder / onnx_file(name, "fp32") for name in reference.components}
        self.quantiser = Quantiser(reference.config, self.files, reference.reader, calibration, self._measured)
        self._plan = plan
        self._macs: dict[str, int] = {}

    @cached_property
    def plan(self) -> PrecisionPlan:
        """Which blocks are INT8. RequestError when it names any that the network has not."""
        plan = self._plan or PrecisionPlan.everything(self.files)
        plan.check(self.files)
        return plan

    def fp32(self, name: str) -> Made:
        """Component `name` as PyTorch has it."""
        file = onnx_file(name, "fp32")
        inputs = {"checkpoint": self.steps.digest(CHECKPOINT)}
        info = self.steps.run(file, inputs, [file], partial(self._write_fp32, name), f"{name} to ONNX")
        self._macs[name] = info["macs"]
        return self._made(name, "fp32", info)

    def findings(self) -> list[Finding]:
        """What FP16 cannot hold, by the ranges on the calibration samples."""
        inputs = {"onnx": self._digests(), "calibration": asdict(self.calibration)}
        info = self.steps.run("ranges", inputs, [], self._audit, "ranges")
        return [Finding(**finding) for finding in info["findings"]]

    def fp16(self, name: str, findings: Collection[Finding]) -> Made:
        """Component `name` in FP16, but for what `findings`, of any component, say."""
        source, file = onnx_file(name, "fp32"), onnx_file(name, "fp16")
        graph = onnx.load(self.files[name], load_external_data=False).graph
        keep = kept_nodes([finding for finding in findings if finding.component == name], graph)
        inputs = {"onnx": self.steps.digest(source), "samples": self.steps.digest(SAMPLES), "keep": keep}
        info = self.steps.run(file, inputs, [file], partial(self._write_fp16, name, keep), f"{name} to FP16")
        return self._made(name, "fp16", info)

    def int8(self, name: str, form: str) -> Made:
        """Component `name` with the plan's blocks in INT8. form: of `qdq.FORMS`."""
        precision, blocks = FORMS[form].precision, self.plan.int8.get(name, ())
        file = onnx_file(name, precision)
        inputs = {"onnx": self._digests(), "calibration": asdict(self.calibration), "blocks": list(blocks)}
        write = partial(self._write_int8, name, blocks, form)
        info = self.steps.run(file, inputs, [file], write, f"{name} to INT8 ({form})")
        return self._made(name, precision, info)

    def _write_fp32(self, name: str) -> Info:
        component, session = self.reference.components[name], self.reference.sessions[name]
        export_component(session.module, component, self.files[name])
        vocabulary = max(self.reference.config.vocabulary, 2)  # ids below it are safe to draw
        compare = partial(verify_values, self.files[name], component, session, "fp32", vocabulary=vocabulary)
        return keep_if_right(self.files[name], component, compare) | {"macs": count_macs(onnx.load(self.files[name]))}

    def _audit(self) -> Info:
        return {"findings": [asdict(finding) for finding in audit(self.quantiser.ranges, self.files)]}

    def _write_fp16(self, name: str, keep: list[str]) -> Info:
        path, real = self.steps.folder / onnx_file(name, "fp16"), self.reference.component_samples[name]
        model = convert_to_fp16(onnx.load(self.files[name]), real, keep)
        with atomic_path(path) as temporary:
            onnx.save(model, temporary)
        return self._kept(name, path, "fp16")

    def _write_int8(self, name: str, blocks: Collection[str], form: str) -> Info:
        path = self.steps.folder / onnx_file(name, FORMS[form].precision)
        made = self.quantiser.write(name, blocks, form, path)
        return self._kept(name, path, "int8", without=FORMS[form].wrong_in_onnxruntime) | made

    def _kept(self, name: str, path: Path, precision: str, **options: Any) -> Info:
        component, session = self.reference.components[name], self.reference.sessions[name]
        real = self.reference.component_samples[name]
        return keep_if_right(
            path, component, partial(verify_values, path, component, session, precision, [real], **options)
        )

    def _measured(self, count: int) -> None:
        if self.steps.shown:
            self.steps.shown.begins(f"ranges, sample {count} of {self.calibration.samples}")

    def _digests(self) -> dict[str, str]:
        return {name: self.steps.digest(onnx_file(name, "fp32")) for name in self.files}

    def _made(self, name: str, precision: str, info: Info) -> Made:
        file = onnx_file(name, precision)
        size = (self.steps.folder / file).stat().st_size
        facts: Info = {"macs": self._macs[name], **info}
        return Made(name, precision, ONNX, file, size, **facts)
