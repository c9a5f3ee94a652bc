"""What a build's models are worth: each precision's chain against the record, and its masks on held-out clips."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from cstm.calibration.accuracy import MaskAccuracy
from cstm.export.make_models import MakeModels
from cstm.export.reference import Reference
from cstm.export.steps import Info, Steps
from cstm.export.verify import verify_chain
from cstm.runtime.bundle import GOLDEN, onnx_file


def check_chain(steps: Steps, reference: Reference, precision: str) -> dict[str, Any]:
    """The manifest's row of how far the models of `precision`, in a row, are from the recorded inference.

    ParityError where that is too far.
    """
    models, digests = _models(steps, reference, precision)
    check = partial(verify_chain, reference.config, models, steps.folder / GOLDEN, precision)
    info = steps.run(f"chain {precision}", digests | {"golden": steps.digest(GOLDEN)}, [], check)
    return {"backend": "onnxruntime", "precision": precision, **info}


def check_masks(
    steps: Steps, reference: Reference, models: MakeModels, precisions: list[str], max_drop: float | None
) -> list[dict[str, Any]]:
    """The manifest's rows of mean IoU, FP32's and those of `precisions`. ParityError where one drops by more than
    `max_drop` (None: each precision's own budget)."""
    found = {precision: _models(steps, reference, precision) for precision in ("fp32", *precisions)}
    data = models.calibration.data
    check = MaskAccuracy(reference.config, reference.provenance, reference.reader, data)
    files = {precision: paths for precision, (paths, _) in found.items()}

    def measure() -> Info:
        return {"rows": check(files, max_drop, lambda: (models.quantiser, models.plan))}

    inputs = {"models": {p: digests for p, (_, digests) in found.items()}, "data": data, "max_drop": max_drop}
    return steps.run("accuracy", inputs, [], measure, "masks on held-out clips")["rows"]


def _models(steps: Steps, reference: Reference, precision: str) -> tuple[dict[str, Path], dict[str, str]]:
    """Paths and digests of the models by component."""
    files = {name: onnx_file(name, precision) for name in reference.components}
    return {n: steps.folder / f for n, f in files.items()}, {n: steps.digest(f) for n, f in files.items()}
