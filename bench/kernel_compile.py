"""Every kernel compiled ahead for NVIDIA GPUs, with no GPU: what it takes of one, and how much memory it moves.

Printed by `cstm kernels`.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from triton.backends.nvidia.compiler import get_ptxas, sm_arch_from_capability

from cstm.bench.kernel_shapes import DTYPES, network_launches
from cstm.bench.kernel_traffic import traffic
from cstm.errors import RequestError
from cstm.kernels.aot import compile_kernel, source
from cstm.kernels.launch import Launch

CAPABILITIES = (80, 86, 89, 90, 120)
Row = dict[str, Any]  # a table's, by column


def resources(launch: Launch, capability: int) -> dict[str, int]:
    """{"shared" bytes a program, "registers" a thread, "spills" bytes a thread, stored and loaded}."""
    compiled = compile_kernel(launch, capability)
    return {"shared": compiled.metadata.shared} | _assembled(compiled.asm["ptx"], capability)


def _assembled(ptx: str, capability: int) -> dict[str, int]:
    """ptxas's own account; the kernel that Triton loads is assembled from the same text."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.ptx"
        file.write_text(ptx, encoding="utf-8")
        command = [get_ptxas(capability).path, "-v", f"--gpu-name={sm_arch_from_capability(capability)}", str(file)]
        done = subprocess.run([*command, "-o", str(file.with_suffix(".cubin"))], capture_output=True, text=True)
    if done.returncode:
        raise RequestError(f"ptxas cannot assemble for sm_{capability}: {done.stderr.strip()}")
    spills = re.findall(r"(\d+) bytes spill", done.stderr)
    (registers,) = re.findall(r"Used (\d+) registers", done.stderr)
    return {"registers": int(registers), "spills": sum(map(int, spills))}


def resource_rows(capabilities: Iterable[int] = CAPABILITIES, dtypes: Iterable[str] = tuple(DTYPES)) -> list[Row]:
    """A row for each kernel, dtype and capability: the most it takes over the network's shapes."""
    rows: dict[tuple[str, str, int], dict[str, int]] = {}
    for dtype in dtypes:
        for capability in capabilities:
            for launch in _distinct(launch for shape in network_launches(DTYPES[dtype]) for launch in shape.launches):
                row = rows.setdefault((source(launch).fn.__name__, dtype, capability), {"variants": 0})
                row["variants"] += 1
                for name, value in resources(launch, capability).items():
                    row[name] = max(value, row.get(name, 0))
    keys = ("kernel", "dtype", "capability")
    return [dict(zip(keys, key, strict=True)) | row for key, row in sorted(rows.items())]


def _distinct(launches: Iterable[Launch]) -> list[Launch]:
    """One launch for each that compiles to a kernel of its own."""
    return list({(s.fn.__name__, s.hash()): launch for launch in launches for s in [source(launch)]}.values())


def traffic_rows(dtypes: Iterable[str] = tuple(DTYPES)) -> list[Row]:
    """A row for each dtype and shape of the network: bytes that the kernels move, and the least they could."""
    return [
        {"operator": shape.operator, "where": shape.where, "dtype": dtype, "shape": shape.shape} | traffic(shape)
        for dtype in dtypes
        for shape in network_launches(DTYPES[dtype])
    ]
