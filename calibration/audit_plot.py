"""The audit of FP16, as a picture: every activation's range against FP16's limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cstm.calibration.audit import FP16_LARGEST, MARGIN, Finding
from cstm.calibration.ranges import FP16_SMALLEST_NORMAL, Ranges
from cstm.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLOOR, CEILING = 2.0**-20, 2.0**24  # of the plot
COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
ALARM = "#d55e00"


def draw(ranges: Ranges, findings: list[Finding], path: Path) -> None:
    """Every activation's largest magnitude, in the order of `ranges` (see `execution_order`), with FP16's limits and
    the findings; `path` is a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    _draw_limits(axes)
    found = {(finding.component, finding.tensor): finding.largest for finding in findings}
    start = 0
    middles: list[float] = []
    marks: list[tuple[int, float, float]] = []
    for index, (name, tensors) in enumerate(ranges.items()):
        heights = np.clip([r.largest for r in tensors.values()], FLOOR, CEILING)
        places = range(start, start + len(heights))
        axes.plot(places, heights, ".", color=COLOURS[index % len(COLOURS)], markersize=5)
        marks += [
            (p, h, found[name, t]) for p, h, t in zip(places, heights, tensors, strict=True) if (name, t) in found
        ]
        middles.append(start + (len(heights) - 1) / 2)
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


def _draw_limits(axes: Axes) -> None:
    axes.set_yscale("log", base=2)
    axes.axhspan(FP16_LARGEST / MARGIN, CEILING * 2, color=ALARM, alpha=0.08, linewidth=0)
    axes.axhspan(FLOOR / 2, FP16_SMALLEST_NORMAL, color="#666666", alpha=0.08, linewidth=0)
    for height, label in ((FP16_LARGEST, "65504, FP16's largest"), (FP16_SMALLEST_NORMAL, "2⁻¹⁴, its smallest normal")):
        axes.axhline(height, color="#222222", linewidth=1)
        axes.text(0, height * 1.2, label, fontsize=9, color="#222222", va="bottom")


def _draw_findings(axes: Axes, marks: list[tuple[int, float, float]]) -> None:
    """marks: place, the activation's own height, and the finding's magnitude; one beyond the plot points out of it."""
    inside, beyond = ([m for m in marks if (m[2] > CEILING) == off] for off in (False, True))
    for shown, marker, label in ((inside, "o", "kept in FP32"), (beyond, "^", "kept in FP32, beyond this plot")):
        if shown:
            places, own, largest = np.array(shown).T
            largest = np.clip(largest, FLOOR, CEILING)
            axes.vlines(places, own, largest, color=ALARM, linewidth=0.8)
            (points,) = axes.plot(places, largest, marker, label=f"{label}: {len(shown)}", color=ALARM, markersize=8)
            points.set_markerfacecolor("none")
    if marks:
        axes.legend(frameon=False, loc="lower right")
