"""The audit of FP16, as a table."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from cstm.calibration.audit import FP16_LARGEST, Finding
from cstm.calibration.ranges import Ranges


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


def _figures(largest: float, small: float) -> tuple[str, str, str]:
    headroom = FP16_LARGEST / largest if largest > 0 else np.inf
    return f"{largest:.2g}", f"{headroom:.2g}", f"{100 * small:.1f}"
