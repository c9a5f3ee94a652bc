"""What became of the steps, in lines and tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from cstm.bench.gpu_steps.apart import FAIL, PASS, SKIP, Result

EAGER = "eager fp32"


def line(result: Result) -> str:
    """One step, in a line."""
    return f"{result.outcome} {result.name} ({result.seconds:.1f} s): {result.said}"


def summary(results: Sequence[Result], dry: bool) -> list[Table | str]:
    """How many passed, failed and were left out; before it, of a run that is not dry, what a frame takes."""
    counts = {outcome: [r.name for r in results if r.outcome == outcome] for outcome in (PASS, FAIL, SKIP)}
    told = "; ".join(f"{len(names)} {outcome}" for outcome, names in counts.items())
    failed = f": {', '.join(counts[FAIL])}" if counts[FAIL] else ""
    times = {label: ms for result in results for label, ms in result.figures.get("frame_ms", {}).items()}
    if dry:
        return [f"{told}{failed}; a dry run: times mean nothing"]
    return [*([_frame_table(times)] if times else []), told + failed]


def _frame_table(times: dict[str, float]) -> Table:
    shown = Table("one frame, one sentence", "ms", "× eager")
    eager = times.get(EAGER)
    for label, milliseconds in sorted(times.items(), key=lambda item: item[1]):
        shown.add_row(label, f"{milliseconds:.2f}", f"{eager / milliseconds:.2f}" if eager else "")
    return shown
