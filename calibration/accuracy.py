"""What a precision costs: masks against the truth and against FP32's, on clips that calibration has not seen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cstm.calibration.bootstrap import drawn_counts, interval
from cstm.calibration.samples import CalibrationOptions, draw_samples, stack_inputs
from cstm.errors import ParityError
from cstm.models.config import RANDOM_WEIGHTS, CSTMConfig
from cstm.models.contract import contract
from cstm.runtime.backends.onnxruntime import OnnxRuntimeSession
from cstm.runtime.chain import Chain
from cstm.runtime.overlap import mask_iou
from cstm.runtime.postprocess import masks, probabilities
from cstm.runtime.text import SentenceReader

HELD_OUT_SEED = 77_000  # unlike calibration's and the evaluation's
BUDGETS = {"fp32": 0.0, "fp16": 0.001, "int8": 0.005}
SAMPLES, SAMPLES_UNTRAINED = 192, 8


@dataclass(frozen=True)
class Accuracy:
    """mean_iou: against the truth. drop: by how much it is below FP32's, with its 95 % bootstrap interval. agreement:
    mean IoU with FP32's masks; lowest: its lowest. samples: how many clips."""

    mean_iou: float
    drop: float
    drop_low: float
    drop_high: float
    agreement: float
    lowest: float
    samples: int

    def to_dict(self) -> dict:
        """Fields as JSON can hold them."""
        return asdict(self)


class HeldOut:
    """Samples to judge on, one sentence a clip. inputs: the chain's. truths: bool [n,R,R]. FP32's masks are computed
    once, by the first chain that is `measure`d."""

    def __init__(self, options: CalibrationOptions, config: CSTMConfig, reader: SentenceReader):
        samples = draw_samples(options, config, "test")
        self.config = config
        self.inputs = stack_inputs(samples, config, reader)
        size = (config.size, config.size)
        # Likelihoods of 0 and 1, resized and cut as the network's own.
        self.truths = np.concatenate([masks(s.mask[None].astype(np.float32), size, "probability") for s in samples])
        self.reference: np.ndarray | None = None

    def masks(self, chain: Chain, report: Callable[[int], None] | None = None) -> np.ndarray:
        """The chain's masks, bool [n,R,R]."""
        found = []
        for number, inputs in enumerate(self._single()):
            likely = probabilities(chain(inputs))
            found.append(masks(likely, likely.shape[1:], self.config.mask_rule))
            if report:
                report(number + 1)
        return np.concatenate(found)

    def measure(self, chain: Chain, report: Callable[[int], None] | None = None) -> Accuracy:
        """The accuracy of a chain, compared with that of the first one measured."""
        found = self.masks(chain, report)
        if self.reference is None:
            self.reference = found
        return compare(found, self.reference, self.truths)

    def _single(self) -> Iterator[dict[str, np.ndarray]]:
        for number in range(len(self.truths)):
            yield {name: array[number : number + 1] for name, array in self.inputs.items()}


def compare(found: np.ndarray, reference: np.ndarray, truths: np.ndarray) -> Accuracy:
    """Masks against FP32's and against the truth, bool [n,R,R] each."""
    ours, theirs, agreement = mask_iou(found, truths), mask_iou(reference, truths), mask_iou(found, reference)
    drops = theirs - ours
    low, high = interval(drawn_counts(len(drops)) @ drops / len(drops))
    return Accuracy(
        *map(float, (ours.mean(), drops.mean(), low, high, agreement.mean(), agreement.min())), samples=len(drops)
    )


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

    def __call__(self, models: dict[str, dict[str, Path]], max_drop: float | None, int8) -> list[dict]:
        """Rows {precision, backend, mean_iou, drop, ...}, FP32 first. ParityError, naming what costs most, when a
        precision's drop exceeds `max_drop` (None: its own budget).

        models: ONNX files by precision and component, FP32 first. int8: gives (quantiser, plan), asked for only when
        INT8 is over budget.
        """
        held_out = HeldOut(self.options, self.config, self.reader)
        rows = []
        for precision, files in models.items():
            sessions = {n: OnnxRuntimeSession(c, files[n]) for n, c in contract(self.config).items()}
            with Chain(self.config, sessions) as chain:
                accuracy = held_out.measure(chain)
            rows.append({"precision": precision, "backend": "onnxruntime"} | accuracy.to_dict())
            budget = BUDGETS[precision] if max_drop is None else max_drop
            if self.trained and precision != "fp32" and accuracy.drop > budget:
                self._refuse(precision, accuracy, budget, held_out, int8)
        return rows

    def _refuse(self, precision: str, accuracy: Accuracy, budget: float, held_out: HeldOut, int8) -> None:
        cost, clips = accuracy.drop, accuracy.samples
        text = f"{precision} costs {cost:.4f} mean IoU on {clips} held-out clips, allowed is {budget}"
        if precision != "int8":
            raise ParityError(f"{text}; leave {precision} out, or allow more with --max-miou-drop")
        from cstm.calibration.search import worst_block

        with tempfile.TemporaryDirectory() as folder:
            block, drop = worst_block(*int8(), held_out, Path(folder))
        raise ParityError(f"{text}; the worst block is {block} ({drop:.4f} on its own): make a plan with cstm plan")
