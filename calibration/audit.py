"""Which activations FP16 cannot hold: found by their ranges, to be kept in FP32."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from rich.table import Table

from cstm.calibration.ranges import FP16_SMALLEST_NORMAL, Ranges
from cstm.files import atomic_path
from cstm.graph.tensor_range import Range

FP16_LARGEST = 65504.0
MARGIN = 2  # the calibration set is not the world
MOST_SMALL = 0.5  # share of the non-zero values that may lose precision
FLOOR, CEILING = 2.0**-20, 2.0**24  # of the plot
COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
ALARM = "#d55e00"

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


def table(ranges: Ranges, findings: list[Finding]) -> Table:
    """A row for each component, then a row for each finding, worst first. headroom: by how much the largest magnitude
    could grow before FP16 ends."""
    shown = Table("component", "activation", title="activations against FP16's limits")
    for title in ("largest", "headroom ×", "subnormal, %"):
        shown.add_column(title, justify="right")
    shown.add_column("kept in FP32")
    for name, tensors in ranges.items():
        figures = _figures(max(r.largest for r in tensors.values()), max(r.small for r in tensors.values()))
        kept = sum(finding.component == name for finding in findings)
        shown.add_row(name, f"all {len(tensors)}", *figures, str(kept))
    shown.add_section()
    for finding in sorted(findings, key=lambda f: (f.largest, f.small), reverse=True):
        figures = _figures(finding.largest, finding.small)
        shown.add_row(finding.component, finding.tensor, *figures, finding.reason)
    return shown


def draw(ranges: Ranges, findings: list[Finding], path: Path) -> None:
    """Every activation's largest magnitude, in the order of `ranges` (see `execution_order`), with FP16's limits and
    the findings; `path` is a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    _draw_limits(axes)
    found = {(finding.component, finding.tensor): finding.largest for finding in findings}
    start, middles, marks = 0, [], []
    for index, (name, tensors) in enumerate(ranges.items()):
        heights = np.clip([r.largest for r in tensors.values()], FLOOR, CEILING)
        places = np.arange(start, start + len(heights))
        axes.plot(places, heights, ".", color=COLOURS[index % len(COLOURS)], markersize=5)
        marks += [
            (p, h, found[name, t]) for p, h, t in zip(places, heights, tensors, strict=True) if (name, t) in found
        ]
        middles.append(places.mean())
        start += len(heights)
    _draw_findings(axes, marks)
    axes.set(xlim=(-5, start + 5), ylim=(FLOOR / 2, CEILING * 2), ylabel="largest magnitude")
    near = [b - a < start / 15 for a, b in zip([-start, *middles], middles, strict=False)]
    labels = [name.replace("_", "\n") for name in ranges]
    axes.set_xticks(middles, ["\n" + label if low else label for label, low in zip(labels, near, strict=True)])
    axes.set_yticks([2.0**power for power in range(-18, 24, 4)])
    for index, label in enumerate(axes.get_xticklabels()):
        label.set_color(COLOURS[index % len(COLOURS)])
    axes.tick_params(axis="x", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


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


def _figures(largest: float, small: float) -> tuple[str, str, str]:
    headroom = FP16_LARGEST / largest if largest > 0 else np.inf
    return f"{largest:.2g}", f"{headroom:.2g}", f"{100 * small:.1f}"


def _draw_limits(axes) -> None:
    axes.set_yscale("log", base=2)
    axes.axhspan(FP16_LARGEST / MARGIN, CEILING * 2, color=ALARM, alpha=0.08, linewidth=0)
    axes.axhspan(FLOOR / 2, FP16_SMALLEST_NORMAL, color="#666666", alpha=0.08, linewidth=0)
    for height, label in ((FP16_LARGEST, "65504, FP16's largest"), (FP16_SMALLEST_NORMAL, "2⁻¹⁴, its smallest normal")):
        axes.axhline(height, color="#222222", linewidth=1)
        axes.text(0, height * 1.2, label, fontsize=9, color="#222222", va="bottom")


def _draw_findings(axes, marks: list[tuple[int, float, float]]) -> None:
    """marks: place, the activation's own height, and the finding's magnitude; one beyond the plot points out of it."""
    inside, beyond = ([m for m in marks if (m[2] > CEILING) == off] for off in (False, True))
    for shown, marker, label in ((inside, "o", "kept in FP32"), (beyond, "^", "kept in FP32, beyond this plot")):
        if shown:
            places, own, largest = np.array(shown).T
            largest = np.clip(largest, FLOOR, CEILING)
            axes.vlines(places, own, largest, color=ALARM, linewidth=0.8)
            look = {"linestyle": "", "markersize": 8, "markerfacecolor": "none", "color": ALARM}
            axes.plot(places, largest, marker=marker, label=f"{label}: {len(shown)}", **look)
    if marks:
        axes.legend(frameon=False, loc="lower right")
