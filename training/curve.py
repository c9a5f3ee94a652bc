"""A picture of metrics.csv."""

from __future__ import annotations

import csv
from pathlib import Path

from cstm.files import atomic_path


def draw_curve(metrics: Path, out: Path) -> None:
    """Loss above, mean IoU in training and on held-out clips below, over updates; `out` is a PNG file."""
    from matplotlib.figure import Figure

    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    figure = Figure(figsize=(7, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(steps, [float(row["loss"]) for row in rows], color="#0072b2")
    above.set_ylabel("loss")
    for name, colour in (("train_iou", "#0072b2"), ("held_out_iou", "#d55e00")):
        values = [float(row[name]) for row in rows]
        below.plot(steps, values, color=colour, label=name.replace("_iou", "").replace("_", " "))
    below.legend(frameon=False)
    below.set_ylabel("mean IoU")
    below.set_xlabel("update")
    below.set_ylim(0, 1)
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
