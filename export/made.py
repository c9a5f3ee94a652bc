"""What a build made: a row for each file, and the table that closes it."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from cstm.models.contract import FRAME_GRAPH, TEXT_ENCODER

ONNX = "onnx"


@dataclass(frozen=True)
class Made:
    """One file of a bundle.

    kind: ONNX, or the backend whose engine it is. file: relative to the bundle's folder. seconds: that it took, now or
    in an earlier build. Of models: nodes; macs; error, {"absolute", "relative"} against PyTorch; quantised, how many
    convolutions. Of engines: attention, and as `BuildAttention` gives them attention_ms and attention_note.
    """

    component: str
    precision: str
    kind: str
    file: str
    bytes: int
    seconds: float
    nodes: int | None = None
    macs: int | None = None
    error: Mapping[str, float] | None = None
    quantised: int | None = None
    attention: str | None = None
    attention_ms: Mapping[str, float] | None = None
    attention_note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As the manifest has it: what does not apply is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None and name != "file"}


def table(rows: Sequence[Made], whole: dict[str, int]) -> Table:
    """Component by precision: nodes, MACs, size, build time, error against PyTorch. whole: from `reference_macs`."""
    shown = Table("component", "precision", "format", "nodes", "GMACs", "MB", "built in", "error against PyTorch")
    for row in rows:
        shown.add_row(
            row.component,
            row.precision,
            f"{row.kind}, {row.attention}" if row.attention else row.kind,
            "" if row.nodes is None else str(row.nodes),
            "" if row.macs is None else f"{row.macs / 1e9:.2f}",
            f"{row.bytes / 1e6:.1f}",
            f"{row.seconds:.1f} s",
            "{absolute:.1e} abs, {relative:.1e} rel".format_map(row.error) if row.error else "",
        )
    macs = {row.component: row.macs for row in rows if row.macs is not None and row.component != FRAME_GRAPH}
    least = min(row.macs for row in rows if row.macs is not None and row.component == FRAME_GRAPH)
    halved = {"upsampled maps": sum(macs.values()) - macs[TEXT_ENCODER] - least}
    left_out = ", ".join(f"{name} {count / 1e9:.1f}" for name, count in (whole | halved).items() if name != "whole")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    shown.caption = (
        f"{(macs[TEXT_ENCODER] + least) / 1e9:.1f} GMACs for one sentence and one frame, linked; "
        f"{(whole['whole'] + macs[TEXT_ENCODER]) / 1e9:.1f} before the exact rewrites (left out: {left_out}). "
        f"At most {peak:.1f} GB of memory. Engines are compared by cstm parity, where a GPU is."
    )
    return shown
