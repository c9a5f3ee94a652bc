"""Masks against the truth and against FP32's, on clips that calibration has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from cstm.calibration.bootstrap import bounds, drawn_counts
from cstm.calibration.samples import CalibrationOptions, draw_samples, stack_inputs
from cstm.errors import RequestError
from cstm.models.config import CSTMConfig
from cstm.runtime.chain import Chain
from cstm.runtime.overlap import mask_iou
from cstm.runtime.postprocess import masks, probabilities
from cstm.runtime.text import SentenceReader

HELD_OUT_SEED = 77_000  # unlike calibration's and the evaluation's


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


def check_budget(drop: float) -> None:
    """RequestError unless `drop` can be an allowed drop of mean IoU: none exceeds NaN, none falls below it."""
    if not 0 <= drop <= 1:
        raise RequestError(f"the allowed drop of mean IoU is {drop}: it must be from 0 to 1")


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

    def masks(self, chain: Chain) -> np.ndarray:
        """The chain's masks, bool [n,R,R]."""
        found = []
        for inputs in self._single():
            likely = probabilities(chain(inputs))
            found.append(masks(likely, likely.shape[1:], self.config.mask_rule))
        return np.concatenate(found)

    def measure(self, chain: Chain) -> Accuracy:
        """The accuracy of a chain, compared with that of the first one measured."""
        found = self.masks(chain)
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
    low, high = bounds(drawn_counts(len(drops)) @ drops / len(drops))
    return Accuracy(
        mean_iou=float(ours.mean()),
        drop=float(drops.mean()),
        drop_low=low,
        drop_high=high,
        agreement=float(agreement.mean()),
        lowest=float(agreement.min()),
        samples=len(drops),
    )
