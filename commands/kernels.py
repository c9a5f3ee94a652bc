"""`cstm kernels`: what the kernels take of a GPU, compiled without one."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.table import Table

from cstm.console import make_console
from cstm.errors import RequestError
from cstm.files import write_json

CAPABILITIES, DTYPES = (80, 86, 89, 90, 120), ("fp16", "bf16", "fp32")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--capabilities", nargs="+", type=int, default=CAPABILITIES, metavar="CC", help="80, 90, ...")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES, help="only these")
    parser.add_argument("--json", type=Path, metavar="F", help="write both tables")


def run(arguments: argparse.Namespace) -> int:
    """Compile, and print what it takes and moves; 0. Exit code 2 on a kernel that does not compile."""
    import triton

    from cstm.bench.kernel_compile import resource_rows, traffic_rows

    if triton.knobs.runtime.interpret:
        raise RequestError("TRITON_INTERPRET is set: kernels are interpreted, not compiled; unset it")
    record = {
        "triton": triton.__version__,
        "resources": resource_rows(arguments.capabilities, arguments.dtypes),
        "traffic": traffic_rows(arguments.dtypes),
    }
    for name in ("resources", "traffic"):
        make_console().print(_table(record[name]))
    if arguments.json:
        write_json(arguments.json, record)
    return 0


def _table(rows: list[dict]) -> Table:
    table = Table(*rows[0])
    for row in rows:
        table.add_row(
            *(f"{v:,}" if isinstance(v, int) else f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values())
        )
    return table
