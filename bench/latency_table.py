"""Latencies as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table

from cstm.bench.latency import END_TO_END, LatencyRow


def table(rows: Iterable[LatencyRow], memory: Mapping[tuple[str, str], int]) -> Table:
    """Latencies in ms, frames a second, the ratio to PyTorch eager, and the host memory of a process of its own.

    memory: peak bytes by (backend, precision).
    """
    shown = Table("backend", "precision", "part", "p50 ms", "p90", "p99", "frames/s", "× eager", "host MB")
    for row in sorted(rows, key=lambda r: (r.backend, r.precision)):
        whole = row.part == END_TO_END
        used = memory.get((row.backend, row.precision))
        shown.add_row(
            row.backend,
            row.precision,
            row.part,
            *(f"{ms:.2f}" for ms in (row.p50_ms, row.p90_ms, row.p99_ms)),
            f"{1e3 / row.p50_ms:.1f}" if whole else "",
            f"{row.ratio:.2f}" if row.ratio else "",
            f"{used / 1e6:.0f}" if whole and used else "",
            end_section=whole,
        )
    return shown
