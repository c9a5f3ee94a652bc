"""The trials of a search, as a table."""

from __future__ import annotations

from rich.table import Table


def table(trials: list[dict], chosen: dict) -> Table:
    """The trials, as `Trial.to_dict` gives them."""
    shown = Table(
        "INT8",
        "mean IoU",
        "drop",
        "95 %",
        f"IoU with {trials[0]['label'].upper()}",
        "ms",
        f"× {trials[0]['label'].upper()}",
    )
    base = trials[0]["ms"]
    for trial in trials:
        shown.add_row(
            trial["label"],
            f"{100 * trial['mean_iou']:.2f}",
            f"{100 * trial['drop']:+.2f}",
            f"{100 * trial['drop_low']:+.2f} to {100 * trial['drop_high']:+.2f}",
            f"{100 * trial['agreement']:.1f}",
            f"{trial['ms']:.1f}",
            f"{base / trial['ms']:.2f}",
            style="bold" if trial == chosen else None,
        )
    return shown
