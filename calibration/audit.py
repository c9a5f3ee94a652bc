"""Which activations FP16 cannot hold: found by their ranges, to be kept in FP32."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from cstm.calibration.ranges import Ranges
from cstm.graph.tensor_range import Range

FP16_LARGEST = 65504.0
MARGIN = 2  # the calibration set is not the world
MOST_SMALL = 0.5  # share of the non-zero values that may lose precision

# What an operator passes through on its way to a result that looks harmless: how it is called, and its magnitude by
# the ranges of its first input and of its output.
Estimate = tuple[str, Callable[[Range, Range], float]]
MEAN: Estimate = ("sum", lambda read, made: made.largest * read.size / max(made.size, 1))
ON_THE_WAY: dict[str, Estimate] = {
    "ReduceMean": MEAN,
    "GlobalAveragePool": MEAN,
    "ReduceL2": ("sum of squares", lambda read, made: made.largest**2),
    "LayerNormalization": ("square of the input", lambda read, made: read.largest**2),
}


@dataclass(frozen=True)
class Finding:
    """An activation that FP16 cannot hold.

    node: what makes it; "" for a component's input. largest: the largest magnitude, its own or that which its node
    passes through. small: share of the non-zero values below FP16's smallest normal number. reason: one phrase.
    """

    component: str
    tensor: str
    node: str
    largest: float
    small: float
    reason: str


def audit(ranges: Ranges, models: dict[str, Path]) -> list[Finding]:
    """Activations that FP16 cannot hold: they come within MARGIN of its end, or most of their values lose precision.

    ranges: as `MeasureRanges` gives them. models: FP32 ONNX by component.

    What an operator sums up inside is estimated for means, L2 norms and layer normalisation alone, as if a backend
    summed in FP16: a mean's sum by its result, which is too low where signs cancel; layer normalisation by its largest
    square, not their sum. Softmax subtracts its maximum and needs no care; convolutions and matrix products are taken
    to accumulate in FP32, as backends do. Weights are not looked at: AutoCast keeps those that FP16 cannot hold.
    """
    return [f for name, path in models.items() for f in _findings(name, ranges[name], _graph(path))]


def kept_nodes(findings: Collection[Finding], graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes to keep in FP32, in order: what makes each tensor found, and what reads it, since it would be
    cast, and overflow, on its way to an FP16 node. findings: those of the graph's own component."""
    found = {finding.tensor for finding in findings}
    return [node.name for node in graph.node if not found.isdisjoint([*node.input, *node.output])]


def execution_order(ranges: Ranges, models: dict[str, Path]) -> Ranges:
    """The same ranges, each component's inputs first, then what its nodes make, in the order in which they run."""
    ordered = {}
    for name, path in models.items():
        made = [tensor for node in _graph(path).node for tensor in node.output]
        inputs = ranges[name].keys() - set(made)
        ordered[name] = {t: ranges[name][t] for t in [*sorted(inputs), *made] if t in ranges[name]}
    return ordered


def _graph(path: Path) -> onnx.GraphProto:
    return onnx.load(path, load_external_data=False).graph


def _findings(component: str, ranges: dict[str, Range], graph: onnx.GraphProto) -> Iterator[Finding]:
    makers = {tensor: node for node in graph.node for tensor in node.output}
    for tensor, found in ranges.items():
        node = makers.get(tensor)
        largest, reason = _reason(found, node, ranges)
        if reason:
            yield Finding(component, tensor, node.name if node else "", largest, found.small, reason)


def _reason(found: Range, node: onnx.NodeProto | None, ranges: dict[str, Range]) -> tuple[float, str]:
    """The magnitude to be held and why FP16 cannot; "" where it can."""
    if _overflows(found.largest):
        return found.largest, f"reaches {_beyond(found.largest)}"
    if node and node.op_type in ON_THE_WAY and node.input[0] in ranges:
        what, estimate = ON_THE_WAY[node.op_type]
        largest = estimate(ranges[node.input[0]], found)
        if _overflows(largest):
            return largest, f"{what} reaches {_beyond(largest)}"
    if found.small > MOST_SMALL:
        return found.largest, f"{100 * found.small:.0f} % of its values are below FP16's smallest normal number"
    return found.largest, ""


def _beyond(largest: float) -> str:
    return f"{largest:.1e}, FP16 ends at {FP16_LARGEST:.0f}"


def _overflows(largest: float) -> bool:
    return largest * MARGIN > FP16_LARGEST
