"""Clips and sentences to calibrate on: real ones, chosen by a seed, and refused where they could only mislead."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from cstm.data.open import SPRITES, open_dataset
from cstm.data.sample import Sample
from cstm.errors import CalibrationError, RequestError
from cstm.models.config import CSTMConfig
from cstm.models.contract import CLIP, FRAME, chain_inputs, check_arrays
from cstm.runtime.text import SentenceReader, stack

METHODS = ("max", "percentile", "entropy")
LEAST = 32


@dataclass(frozen=True)
class CalibrationOptions:
    """What ranges are measured on, and how.

    data: "sprites", or a folder of A2D or J-HMDB Sentences, whose training split is used. samples: how many; fewer
    than 32 are refused unless `force`. method: how a range is cut, of METHODS. percentile: of the magnitudes, that the
    method of that name keeps.
    """

    data: str = SPRITES
    samples: int = 64
    seed: int = 0
    method: str = "percentile"
    percentile: float = 99.999
    force: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise RequestError(f"calibration method {self.method!r}; choose from {', '.join(METHODS)}")
        # Written so that NaN, which compares as neither, is refused.
        if not (50 < self.percentile <= 100 and 1 <= self.samples < math.inf and 0 <= self.seed < math.inf):
            raise RequestError("calibration: percentile must be above 50 and at most 100, samples positive, seed >= 0")
        if self.samples < LEAST and not self.force:
            raise CalibrationError(
                f"{self.samples} calibration samples: fewer than {LEAST} do not show a network's ranges, and INT8 would"
                " lose accuracy unseen; take more, or force it"
            )


def calibration_inputs(
    options: CalibrationOptions, config: CSTMConfig, reader: SentenceReader
) -> dict[str, np.ndarray]:
    """The chain's inputs by name, a sample a row. CalibrationError when the data cannot show ranges."""
    return stack_inputs(draw_samples(options, config), config, reader)


def draw_samples(options: CalibrationOptions, config: CSTMConfig, split: str = "train") -> list[Sample]:
    """`options.samples` samples of a split, each of another clip where there are enough."""
    if options.data == SPRITES:
        from cstm.data.sprites.dataset import stream

        size, frames, stride = config.size, config.frames, config.stride
        numbers = range(options.samples)
        return [stream(split, options.seed, number, size, frames, stride, 1)[0] for number in numbers]
    dataset = open_dataset(options.data, split, config)
    drawn = np.random.default_rng(options.seed).permutation(len(dataset.references))
    turns: Counter[str] = Counter()  # every clip once, then every clip again
    order = sorted(drawn, key=lambda index: _next_turn(turns, dataset.references[index].video))[: options.samples]
    if len(order) < min(options.samples, LEAST) and not options.force:
        raise CalibrationError(f"{options.data}: {len(order)} samples in split {split}; {options.samples} are wanted")
    return [dataset.load(dataset.references[index]) for index in order]


def _next_turn(turns: Counter[str], video: str) -> int:
    turns[video] += 1
    return turns[video]


def stack_inputs(samples: list[Sample], config: CSTMConfig, reader: SentenceReader) -> dict[str, np.ndarray]:
    """Samples as the chain's inputs, checked."""
    text = stack([reader(sample.reference.sentence) for sample in samples])
    clips = np.stack([sample.clip for sample in samples])
    arrays = text | {CLIP: clips, FRAME: np.ascontiguousarray(clips[:, :, clips.shape[2] // 2])}
    wanted = chain_inputs(config)
    inputs = {spec.name: arrays[spec.name] for spec in wanted}
    check_inputs(inputs, config)
    return inputs


def check_inputs(inputs: dict[str, np.ndarray], config: CSTMConfig) -> None:
    """CalibrationError when inputs are not a number, ContractError when they are of another shape, CalibrationError
    when every clip is the same or a clip is of one colour: their ranges would not be the network's."""
    check_arrays("calibration", chain_inputs(config), inputs)
    for name, array in inputs.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise CalibrationError(f"calibration: {name} holds values that are no numbers; look at the data")
    for name in {CLIP, FRAME} & inputs.keys():
        pixels = inputs[name].reshape(len(inputs[name]), -1)
        flat = int((pixels.min(1) == pixels.max(1)).sum())
        if flat:
            raise CalibrationError(f"calibration: {flat} of {len(pixels)} {name}s are of one colour; look at the data")
        if len(pixels) > 1 and (pixels == pixels[0]).all():
            raise CalibrationError(f"calibration: all {len(pixels)} {name}s are the same; choose varied ones")
