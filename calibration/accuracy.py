"""What a precision costs: masks against the truth and against FP32's, on clips that calibration has not seen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from cstm.calibration.held_out import HELD_OUT_SEED, Accuracy, HeldOut, check_budget
from cstm.calibration.plan import PrecisionPlan
from cstm.calibration.quantiser import Quantiser
from cstm.calibration.samples import CalibrationOptions
from cstm.calibration.worst_block import worst_block
from cstm.errors import ParityError
from cstm.models.config import RANDOM_WEIGHTS, CSTMConfig
from cstm.models.contract import parts
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.chain import Chain
from cstm.runtime.session import Session
from cstm.runtime.text import SentenceReader

BUDGETS = {"fp32": 0.0, "fp16": 0.001, "int8": 0.005}
SAMPLES, SAMPLES_UNTRAINED = 192, 8

Int8 = Callable[[], tuple[Quantiser, PrecisionPlan]]


class MaskAccuracy:
    """The check that ends a build: does a precision keep the masks?

    data: as CalibrationOptions.data. Untrained networks have no accuracy to lose: for them, a few samples tell how far
    the masks agree, and nothing fails.
    """

    def __init__(self, config: CSTMConfig, provenance: dict, reader: SentenceReader, data: str):
        self.trained = provenance["kind"] not in RANDOM_WEIGHTS
        count = SAMPLES if self.trained else SAMPLES_UNTRAINED
        self.options = CalibrationOptions(data=data, samples=count, seed=HELD_OUT_SEED, force=True)
        self.config, self.reader = config, reader

    def __call__(
        self, models: dict[str, dict[str, Path]], max_drop: float | None, int8: Int8
    ) -> list[dict[str, str | float]]:
        """Rows {precision, backend, mean_iou, drop, ...}, FP32 first. ParityError, naming what costs most, when a
        precision's drop exceeds `max_drop` (None: its own budget). RequestError when that is no share.

        models: ONNX files by precision and, as for `Chain`, name, FP32 first. int8: gives (quantiser, plan), asked for
        only when INT8 is over budget.
        """
        if max_drop is not None:
            check_budget(max_drop)
        held_out = HeldOut(self.options, self.config, self.reader)
        rows, known = [], parts(self.config)
        for precision, files in models.items():
            sessions: dict[str, Session] = {name: OnnxRuntimeSession(known[name], file) for name, file in files.items()}
            with Chain(self.config, sessions) as chain:
                accuracy = held_out.measure(chain)
            rows.append({"precision": precision, "backend": "onnxruntime"} | accuracy.to_dict())
            budget = BUDGETS[precision] if max_drop is None else max_drop
            if self.trained and precision != "fp32" and accuracy.drop > budget:
                self._refuse(precision, accuracy, budget, held_out, int8)
        return rows

    def _refuse(self, precision: str, accuracy: Accuracy, budget: float, held_out: HeldOut, int8: Int8) -> None:
        cost, clips = accuracy.drop, accuracy.samples
        text = f"{precision} costs {cost:.4f} mean IoU on {clips} held-out clips, allowed is {budget}"
        if precision != "int8":
            raise ParityError(f"{text}; leave {precision} out, or allow more with --max-miou-drop")
        with tempfile.TemporaryDirectory() as folder:
            block, drop = worst_block(*int8(), held_out, Path(folder))
        raise ParityError(f"{text}; the worst block is {block} ({drop:.4f} on its own): make a plan with cstm plan")
