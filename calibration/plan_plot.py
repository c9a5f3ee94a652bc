"""A plan as a picture: mean IoU against latency."""

from __future__ import annotations

from pathlib import Path

from cstm.files import atomic_path


def draw(plan: dict, path: Path) -> None:
    """A plan, as PrecisionPlan.to_dict gives it -> a PNG of mean IoU against latency with the Pareto front."""
    from matplotlib.figure import Figure

    origin = plan["origin"]
    trials, chosen = origin["trials"], origin["chosen"]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for (name, group), marker in zip(_groups(trials).items(), "sov^", strict=True):
        axes.scatter([t["ms"] for t in group], [100 * t["mean_iou"] for t in group], marker=marker, label=name, s=26)
    front = _front(trials)
    axes.plot([t["ms"] for t in front], [100 * t["mean_iou"] for t in front], color="0.6", lw=1, zorder=0)
    axes.scatter([chosen["ms"]], [100 * chosen["mean_iou"]], s=170, facecolors="none", edgecolors="k", label="chosen")
    axes.axhline(100 * (trials[0]["mean_iou"] - origin["budget"]), color="tab:red", lw=1, ls="--", label="budget")
    axes.set(xlabel=f"ms a frame, {origin['backend']}, without the text encoder", ylabel="mean IoU, %")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def _groups(trials: list[dict]) -> dict[str, list[dict]]:
    """The trials by what they tried, under the legend's names; each is in one group."""
    names = (trials[0]["label"].upper(), "one block", "one component", "search")
    groups: dict[str, list[dict]] = {name: [] for name in names}
    for trial in trials:
        blocks = sum(map(len, trial["int8"].values()))
        whole = trial["label"] in trial["int8"]
        groups[names[blocks if blocks < 2 else 2 if whole else 3]].append(trial)
    return groups


def _front(trials: list[dict]) -> list[dict]:
    """Those that no other beats in both mean IoU and time, the fastest first."""
    front: list[dict] = []
    for trial in sorted(trials, key=lambda t: (t["ms"], -t["mean_iou"])):
        if not front or trial["mean_iou"] > front[-1]["mean_iou"]:
            front.append(trial)
    return front
