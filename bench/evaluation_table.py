"""An evaluation's figures, as a table."""

from __future__ import annotations

from rich.box import SIMPLE_HEAVY
from rich.table import Table

from cstm.bench.metrics import NAMES

TITLES = ("mean IoU", "overall IoU", "mAP", *(name.upper().replace("0.", ".") for name in NAMES[3:]))


def table(figures: dict) -> Table:
    """What `metrics.summarise` gives, in per cent; under the first two rows the 95 % intervals that there are."""
    shown = Table("", "n", *TITLES, title=f"{figures['protocol']} protocol, %", box=SIMPLE_HEAVY, padding=0)

    def add(title: str, values: dict, last: bool = False) -> None:
        shown.add_row(title, str(values["n"]), *(_percent(values[name]) for name in NAMES), end_section=last)

    def add_intervals(ci: dict) -> None:
        shown.add_row("  95 %", "", *(_interval(ci.get(name)) for name in NAMES), style="dim", end_section=True)

    add("all", figures)
    add_intervals(figures["ci"])
    add("non-trivial", figures["non_trivial"])
    add_intervals({"mean_iou": figures["ci"]["non_trivial_mean_iou"]})
    for kind in ("per_actor", "per_action", "per_video"):
        for name, values in figures[kind].items():
            add(name, values, last=name == list(figures[kind])[-1])
    if figures["presence"]["n_wrong"]:
        shown.caption = "score above {:.0%} of right sentences ({}), below {:.0%} of wrong ones ({})".format(
            *(figures["presence"][name] for name in ("right_above", "n_right", "wrong_below", "n_wrong"))
        )
    return shown


def presence_table(figures: dict) -> Table:
    """What `presence.presence` gives, in per cent but for the area under the ROC curve."""
    shown = Table("by", "absent", "AUROC", "95 %", "FP at 95 % recall", "recall, FP at the threshold", box=SIMPLE_HEAVY)
    for name in ("frame", "track"):
        for kind, found in figures[name].items():
            low, high = found["auroc_ci"]
            there = f"{_percent(found['recall'])}, {_percent(found['false_positives_there'])}"
            area, span = f"{found['auroc']:.3f}", f"{low:.3f}–{high:.3f}"
            shown.add_row(name, kind, area, span, _percent(found["false_positives"]), there)
    return shown


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _interval(ci: list[float] | None) -> str:
    return "–".join(map(_percent, ci)) if ci else ""
