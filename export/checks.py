"""What a build's models are worth: each precision's chain against the record, and its masks on held-out clips."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from cstm.calibration import presence as calibration
from cstm.calibration.accuracy import MaskAccuracy
from cstm.export.make_models import MakeModels
from cstm.export.reference import Reference
from cstm.export.steps import Info, Steps
from cstm.export.verify import verify_chain
from cstm.models.contract import contract, parts, program
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.bundle import GOLDEN, onnx_file
from cstm.runtime.chain import Chain
from cstm.runtime.manifest import PresenceRecord


def check_chain(steps: Steps, reference: Reference, precision: str, linked: bool) -> dict[str, Any]:
    """The manifest's row of how far the models of `precision`, linked or one by one, are from the recorded inference.

    ParityError where that is too far.
    """
    models, digests = _models(steps, reference, precision, linked)
    check = partial(verify_chain, reference.config, models, steps.folder / GOLDEN, precision)
    chain = "program" if linked else "chain"
    info = steps.run(f"{chain} {precision}", digests | {"golden": steps.digest(GOLDEN)}, [], check)
    return {"backend": "onnxruntime", "precision": precision, "linked": linked, **info}


def check_masks(
    steps: Steps, reference: Reference, models: MakeModels, precisions: list[str], max_drop: float | None
) -> list[dict[str, Any]]:
    """The manifest's rows of mean IoU, FP32's and those of `precisions`. ParityError where one drops by more than
    `max_drop` (None: each precision's own budget)."""
    found = {precision: _models(steps, reference, precision, linked=True) for precision in ("fp32", *precisions)}
    data = models.calibration.data
    check = MaskAccuracy(reference.config, reference.provenance, reference.reader, data)
    files = {precision: paths for precision, (paths, _) in found.items()}

    def measure() -> Info:
        return {"rows": check(files, max_drop, lambda: (models.quantiser, models.plan))}

    inputs = {"models": {p: digests for p, (_, digests) in found.items()}, "data": data, "max_drop": max_drop}
    return steps.run("accuracy", inputs, [], measure, "masks on held-out clips")["rows"]


def fit_presence(steps: Steps, reference: Reference) -> PresenceRecord:
    """What tells, of FP32's responses, whether an actor is there."""
    files, digests = _models(steps, reference, "fp32", linked=True)

    def run() -> Info:
        known = parts(reference.config)
        with Chain(reference.config, {n: OnnxRuntimeSession(known[n], file) for n, file in files.items()}) as chain:
            return asdict(calibration.fit_presence(chain, reference.reader))

    info = steps.run("presence", digests, [], run, "presence of actors")
    return PresenceRecord(**{name: value for name, value in info.items() if name != "seconds"})


def _models(steps: Steps, reference: Reference, precision: str, linked: bool) -> tuple[dict[str, Path], dict[str, str]]:
    """Paths and digests of the models by name."""
    config = reference.config
    digests = {n: steps.digest(onnx_file(n, precision)) for n in (parts if linked else contract)(config)}  # weights too
    return {n: steps.folder / onnx_file(n, precision) for n in (program if linked else contract)(config)}, digests
