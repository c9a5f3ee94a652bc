"""Parity as a table."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from cstm.bench.parity import ParityRow


def table(rows: Iterable[ParityRow]) -> Table:
    """The rows as a table."""
    shown = Table("backend", "precision", "part", "largest difference", "relative", "mask IoU", "within tolerance")
    for row in rows:
        shown.add_row(
            row.backend,
            row.precision,
            row.part,
            f"{row.difference.absolute:.1e}",
            f"{row.difference.relative:.1e}",
            "" if row.iou is None else f"{row.iou:.4f}",
            "[green]yes" if row.passed else "[red]NO",
        )
    return shown
