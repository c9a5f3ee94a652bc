"""Every component, the whole chain and the linked program against PyTorch, on every backend and precision that runs
here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np

from cstm.calibration.inputs import component_inputs, real_samples
from cstm.data.demo import DEMO_SENTENCES, DEMO_VIDEO
from cstm.errors import CSTMError
from cstm.models.contract import MASK_LOGITS
from cstm.runtime.backends import Backend, backend, runnable
from cstm.runtime.bundle import Bundle
from cstm.runtime.chain import Chain
from cstm.runtime.overlap import mask_iou
from cstm.runtime.postprocess import masks, probabilities
from cstm.runtime.tolerance import MASK_IOU, Difference

Arrays = dict[str, np.ndarray]
CHAIN, LINKED = "whole chain", "linked program"
SAMPLES = 3


@dataclass(frozen=True)
class ParityRow:
    """One comparison. iou: lowest mask IoU over the samples, of whole networks. passed: by `runtime.tolerance`'s rules;
    the masks' IoU counts once the weights are trained."""

    backend: str
    precision: str
    part: str
    difference: Difference
    iou: float | None
    passed: bool


def parity(
    bundle: Bundle,
    backends: list[str] | None = None,
    precisions: list[str] | None = None,
    report: Callable[[ParityRow], None] | None = None,
) -> tuple[list[ParityRow], dict[str, str]]:
    """Compare; (rows, reasons): the ParityRows, and why each backend left out was left out.

    The reference is PyTorch with the bundle's checkpoint, on real frames and sentences. A backend that raises has a
    failed row. report: called with each row.
    """
    pairs, reasons = runnable(bundle, backends, precisions)
    with Chain(bundle.config, backend("torch").open(bundle, "fp32")) as reference:
        count = min(SAMPLES, bundle.max_batch)
        samples = real_samples(bundle.config, bundle.reader, DEMO_VIDEO, list(DEMO_SENTENCES), count)
        inputs = dict(component_inputs(reference, samples))
        outputs = {name: reference.sessions[name].run(arrays) for name, arrays in inputs.items()}
    rows = []
    for found, precision in pairs:
        try:
            for row in _compare(bundle, found, precision, samples, inputs, outputs):
                rows.append(row)
                if report:
                    report(row)
        except CSTMError as error:
            nothing = Difference(np.inf, np.inf, 0.0)
            rows.append(ParityRow(found.name, precision, f"failed: {error}", nothing, None, False))
    return rows, reasons


def _compare(
    bundle: Bundle,
    found: Backend,
    precision: str,
    samples: Arrays,
    inputs: dict[str, Arrays],
    outputs: dict[str, Arrays],
) -> Iterator[ParityRow]:
    """samples: of the whole chain. inputs, outputs: of each component, as the reference has them."""
    with Chain(bundle.config, found.open(bundle, precision)) as chain:
        for name, arrays in inputs.items():
            found_here = chain.sessions[name].run(arrays)
            differences = [Difference.between(found_here[k], expected) for k, expected in outputs[name].items()]
            passed = all(difference.within(precision) for difference in differences)
            yield ParityRow(found.name, precision, name, Difference.worst(differences), None, passed)
        expected = outputs[next(reversed(outputs))][MASK_LOGITS]
        yield _whole(bundle, found, precision, CHAIN, chain(samples), expected)
    if found.links(bundle, precision):
        with Chain(bundle.config, found.open_program(bundle, precision, linked=True)) as linked:
            yield _whole(bundle, found, precision, LINKED, linked(samples), expected)


def _whole(
    bundle: Bundle, found: Backend, precision: str, part: str, actual: np.ndarray, expected: np.ndarray
) -> ParityRow:
    """The row of mask logits [B,1,R,R]."""
    difference = Difference.between(actual, expected)
    iou = lowest_iou(actual, expected, bundle.config.mask_rule) if np.isfinite(actual).all() else 0.0
    passed = difference.within(precision, strict=True) and (iou >= MASK_IOU[precision] or not bundle.trained)
    return ParityRow(found.name, precision, part, difference, iou, passed)


def lowest_iou(actual: np.ndarray, expected: np.ndarray, rule: str) -> float:
    """The lowest intersection over union, over a batch of logits [B,1,R,R], of the masks they give."""
    size = actual.shape[-2:]
    return float(mask_iou(*(masks(probabilities(logits), size, rule) for logits in (actual, expected))).min())


def to_json(rows: list[ParityRow]) -> list[dict]:
    """The rows as JSON can hold them."""
    return [asdict(row) for row in rows]
